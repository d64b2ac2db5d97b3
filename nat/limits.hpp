// How much the guest may have of the host at once: what an administrator can set, and what descriptors allow.
#pragma once

#include <cstddef>

#include "netns/sys/clock.hpp"

namespace l4n::nat {

struct Limits {
  std::size_t tcp_flows = 16384;    // attempts included
  std::size_t tcp_attempts = 1024;  // connections that are not established yet
  std::size_t udp_flows = 4096;
  std::size_t ping_flows = 256;
  std::size_t dns_questions = 512;
  std::size_t dns_spare = 128;  // sockets that wait for another question
  // Bytes that TCP connections may hold, all together.
  std::size_t memory = std::size_t{192} * 1024 * 1024;
  // How long a connection is silent before the guest is asked whether it is still there; 0: never.
  sys::Duration tcp_keepalive = std::chrono::hours(2);

  friend bool operator==(const Limits&, const Limits&) = default;
};

// `wanted`, as far as so many descriptors of the process carry it: each of these costs one. When they do not
// suffice for all, a part stays for the program itself, listeners and the API; of the rest flows get the
// most, TCP and UDP in proportion to what was wanted. Nothing becomes 0.
[[nodiscard]] Limits within_descriptors(const Limits& wanted, std::size_t descriptors) noexcept;

// `wanted`, with as many TCP flows as the memory carries: each has some of its own, whatever the others do.
[[nodiscard]] Limits within_memory(const Limits& wanted) noexcept;

}  // namespace l4n::nat
