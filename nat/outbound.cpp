#include "nat/outbound.hpp"

#include <algorithm>
#include <cerrno>

namespace l4n::nat {

OutboundChoice choose_outbound(const Outbound& outbound, const sys::IpAddress& destination) noexcept {
  const OutboundFamily& family = destination.is_v4() ? outbound.v4 : outbound.v6;
  if (!family.wanted || sys::is_loopback(destination)) {
    return {};
  }
  if (sys::is_unspecified(family.address)) {
    return {.possible = false};
  }
  const bool inside = std::find(family.own.begin(), family.own.end(), destination) != family.own.end();
  return {.source = family.address, .interface_index = inside ? 0 : family.interface_index};
}

int outbound_error(const OutboundChoice& choice, int error) noexcept {
  const bool chosen = !sys::is_unspecified(choice.source);
  return chosen && (error == EADDRNOTAVAIL || error == EINVAL || error == ENODEV) ? ENETUNREACH : error;
}

}  // namespace l4n::nat
