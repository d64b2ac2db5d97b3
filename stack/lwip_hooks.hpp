// What lwIP asks of us by plain C functions. lwIP is one global instance per process, so this is its global
// side; GuestTcp sets it up.
#pragma once

#include "netns/sys/clock.hpp"
#include "netns/sys/keyed_hash.hpp"

namespace l4n::stack {

// The key and the clock of the initial sequence numbers (RFC 6528). `clock` must outlive all use of lwIP;
// null ends the use.
void set_isn_source(const sys::HashKey& key, const sys::Clock* clock) noexcept;

}  // namespace l4n::stack
