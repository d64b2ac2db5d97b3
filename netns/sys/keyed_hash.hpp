// SipHash-2-4 (Aumasson, Bernstein 2012): a short keyed hash. The flow tables use it so that a guest cannot
// choose colliding flows, and TCP's initial sequence numbers are made with it (RFC 6528).
#pragma once

#include <array>
#include <cstdint>

#include "netns/sys/bytes.hpp"

namespace l4n::sys {

struct HashKey {
  std::uint64_t k0 = 0;
  std::uint64_t k1 = 0;

  // From getrandom(2); ends the process when the kernel has no randomness, which cannot happen after boot.
  [[nodiscard]] static HashKey random();
};

[[nodiscard]] std::uint64_t siphash(const HashKey& key, Bytes data) noexcept;

}  // namespace l4n::sys
