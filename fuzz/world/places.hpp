// The addresses that programs name by number: ordinary ones, ours, and those that must not be reached.
#pragma once

#include <cstdint>
#include <vector>

#include "nat/host.hpp"
#include "netns/sys/ip_address.hpp"

namespace l4n::fuzz {

// IPv4 and IPv6 ones in turn.
[[nodiscard]] sys::IpAddress place(std::size_t number);
// The guest's own address in the family of `peer`.
[[nodiscard]] sys::IpAddress guest_address(const sys::IpAddress& peer);
// Whether `outside` is where bytes that the guest sends to `remote` have to come out.
[[nodiscard]] bool leads_to(const sys::Endpoint& remote, const sys::Endpoint& outside);
// The host's resolvers, the first `count` of those that there are.
[[nodiscard]] std::vector<nat::HostTarget> resolvers(std::size_t count);
[[nodiscard]] bool is_resolver(const sys::Endpoint& endpoint);
// An errno value with which calls of the host may fail.
[[nodiscard]] int error_number(std::size_t number);

}  // namespace l4n::fuzz
