#include "nat/resolvers.hpp"

#include <algorithm>

namespace l4n::nat {

void Resolvers::set(std::vector<HostTarget> servers) {
  if (servers != servers_) {
    servers_ = std::move(servers);
    preferred_ = 0;
  }
}

std::vector<HostTarget> Resolvers::in_order() const {
  std::vector<HostTarget> order = servers_;
  if (preferred_ > 0 && clock_.now() < preferred_until_) {
    const auto first = order.begin();
    std::rotate(first, first + static_cast<std::ptrdiff_t>(preferred_),
                first + static_cast<std::ptrdiff_t>(preferred_) + 1);
  }
  return order;
}

void Resolvers::answered(const HostTarget& server) noexcept {
  const auto at = std::find(servers_.begin(), servers_.end(), server);
  if (at == servers_.end()) {
    return;
  }
  const auto index = static_cast<std::size_t>(at - servers_.begin());
  if (index != preferred_ || clock_.now() >= preferred_until_) {
    preferred_ = index;
    preferred_until_ = clock_.now() + kPreferenceTime;
  }
}

}  // namespace l4n::nat
