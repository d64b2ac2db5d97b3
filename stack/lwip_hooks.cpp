#include "stack/lwip_hooks.hpp"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>

#include "hooks.h"
#include "lwip/arch.h"
#include "lwip/priv/tcp_priv.h"

namespace l4n::stack {
namespace {

struct IsnSource {
  sys::HashKey key;
  const sys::Clock* clock = nullptr;
};

IsnSource& isn_source() noexcept {
  static IsnSource source;
  return source;
}

std::uint32_t keyed_isn(sys::Bytes tuple) noexcept {
  const IsnSource& source = isn_source();
  // One step every 4 microseconds (RFC 9293 3.4.1), over a hash of the connection.
  const auto ticks = source.clock == nullptr ? 0 : source.clock->now().time_since_epoch().count() / 4000;
  return static_cast<std::uint32_t>(sys::siphash(source.key, tuple)) + static_cast<std::uint32_t>(ticks);
}

}  // namespace

void set_isn_source(const sys::HashKey& key, const sys::Clock* clock) noexcept {
  isn_source() = {key, clock};
}

}  // namespace l4n::stack

extern "C" {

// lwIP would like its timer started. GuestTcp decides that for each connection by itself.
void tcp_timer_needed(void) {}

u32_t l4n_lwip_isn(const ip_addr_t* local_ip, u16_t local_port, const ip_addr_t* remote_ip,
                   u16_t remote_port) {
  // Only the address words: the rest of ip_addr_t is padding and a zone.
  std::array<std::byte, 2 * 16 + 2 * sizeof(u16_t)> tuple{};
  std::byte* at = tuple.data();
  for (const ip_addr_t* ip : {local_ip, remote_ip}) {
    if (IP_IS_V6(ip)) {
      std::memcpy(at, ip_2_ip6(ip)->addr, 16);
    } else {
      std::memcpy(at, &ip_2_ip4(ip)->addr, 4);
    }
    at += 16;
  }
  std::memcpy(at, &local_port, sizeof local_port);
  std::memcpy(at + sizeof local_port, &remote_port, sizeof remote_port);
  return l4n::stack::keyed_isn(tuple);
}

uint32_t l4n_lwip_random(void) { return static_cast<uint32_t>(l4n::sys::HashKey::random().k0); }

void l4n_lwip_assert(const char* message, const char* file, int line) {
  std::fprintf(stderr, "lwIP assertion failed: %s (%s:%d)\n", message, file, line);
  std::abort();
}
}
