// Ethernet addresses.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace l4n::stack {

using MacAddress = std::array<std::uint8_t, 6>;

inline constexpr MacAddress kBroadcastMac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

// The address that x.2, x.3 and the IPv6 router answer from: locally administered, unicast.
inline constexpr MacAddress kGatewayMac{0x52, 0x55, 0x0a, 0x00, 0x02, 0x02};

// Multicast includes broadcast.
[[nodiscard]] constexpr bool is_multicast(const MacAddress& mac) noexcept { return (mac[0] & 1U) != 0; }

}  // namespace l4n::stack
