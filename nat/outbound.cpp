#include "nat/outbound.hpp"

#include <algorithm>
#include <cerrno>

namespace l4n::nat {
OutboundChoice choose_outbound(const Outbound& outbound, const sys::IpAddress& destination) noexcept {
  if (!outbound.wanted || !destination.is_v4() || sys::is_loopback(destination)) {
    return {};
  }
  if (outbound.address == sys::Ipv4Address{}) {
    return {.possible = false};
  }
  const bool inside =
      std::find(outbound.own.begin(), outbound.own.end(), destination.v4()) != outbound.own.end();
  return {.source = outbound.address, .interface_index = inside ? 0 : outbound.interface_index};
}

int outbound_error(const OutboundChoice& choice, int error) noexcept {
  const bool chosen = choice.source != sys::Ipv4Address{};
  return chosen && (error == EADDRNOTAVAIL || error == EINVAL || error == ENODEV) ? ENETUNREACH : error;
}

}  // namespace l4n::nat
