// Which addresses of its networks a guest is given, by hand (`-c`), as the target of forwards and by DHCPv6.
#pragma once

#include <cstdint>

#include "netns/sys/ip_address.hpp"

namespace l4n::nat {

// The recommended address: x.100.
[[nodiscard]] constexpr sys::Ipv4Address guest_address(const sys::Ipv4Network& network) noexcept {
  return network.host(100);
}

// x::100, and x::64 (100 in decimal) in a network of 256 addresses, which has no other. DHCPv6 gives this one
// to its first client and the next ones to the others.
[[nodiscard]] constexpr std::uint16_t guest_number(const sys::Ipv6Network& network) noexcept {
  constexpr unsigned kSmallest = 120;
  return network.prefix < kSmallest ? 0x100 : 0x64;
}
[[nodiscard]] constexpr sys::Ipv6Address guest_address(const sys::Ipv6Network& network) noexcept {
  return network.host(guest_number(network));
}

}  // namespace l4n::nat
