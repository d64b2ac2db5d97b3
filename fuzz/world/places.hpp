// The addresses that programs name by number: ordinary ones, ours, and those that must not be reached.
#pragma once

#include <cstdint>

#include "netns/sys/ip_address.hpp"

namespace l4n::fuzz {

// IPv4 and IPv6 ones in turn.
[[nodiscard]] sys::IpAddress place(std::size_t number);
// The guest's own address in the family of `peer`.
[[nodiscard]] sys::IpAddress guest_address(const sys::IpAddress& peer);
// Where bytes that the guest sends to `remote` have to come out.
[[nodiscard]] sys::Endpoint outside_of(const sys::Endpoint& remote);
// The host's resolver.
[[nodiscard]] sys::Endpoint resolver();
// An errno value with which calls of the host may fail.
[[nodiscard]] int error_number(std::size_t number);

}  // namespace l4n::fuzz
