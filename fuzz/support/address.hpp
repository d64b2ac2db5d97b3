// Addresses among a fuzzer's bytes.
#pragma once

#include "fuzz/engine/input.hpp"
#include "netns/sys/ip_address.hpp"
#include "stack/mac_address.hpp"

namespace l4n::fuzz {

[[nodiscard]] stack::MacAddress take_mac(Input& in);
// Any address.
[[nodiscard]] sys::Ipv6Address take_any_ipv6(Input& in);

// Mostly one that means something to somebody: of the guest, of the gateway, of a machine outside, of a
// group.
[[nodiscard]] sys::Ipv4Address take_ipv4(Input& in);
[[nodiscard]] sys::Ipv6Address take_ipv6(Input& in);
[[nodiscard]] sys::IpAddress take_ip(Input& in, bool is_v4);

}  // namespace l4n::fuzz
