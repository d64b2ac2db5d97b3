// A session program: what the guest, the host and time do, one operation after the other. Eight bytes each,
// so that mutations can move whole operations.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fuzz/engine/input.hpp"
#include "fuzz/engine/random.hpp"

namespace l4n::fuzz {

enum class OperationKind : std::uint8_t {
  // the guest's TCP; `who` is one of its connections
  syn,
  data,
  ack,
  window,
  finish,
  reset,
  segment,
  syn_ack,
  automatic,
  repeat,
  // the host's TCP; `who` is one of its sockets
  connects,
  accept,
  refuse,
  write,
  host_finish,
  host_reset,
  allow,
  limit,
  break_sends,
  // time and the wire
  advance,
  full,
  neighbour,
  // datagrams; `who` is a port of the guest's, or one of the host's sockets
  udp,
  udp_answer,
  udp_error,
  ping,
  ping_answer,
  dns,
  dns_answer,
  dns_error,
  fragment,
  // port forwards
  forward,
  client,
  udp_client,
  remove_forward,
  forward_range,
  // what the host has not, and what an administrator changes
  no_sockets,
  break_pings,
  udp_limits,
  exhaust,
  resolvers,
  search,
  port_ends,
  count
};

struct Operation {
  static constexpr std::size_t kSize = 8;

  OperationKind kind = OperationKind::syn;
  bool at_once = false;  // the next operation comes before the gateway has seen this one
  std::uint8_t who = 0;
  std::uint16_t a = 0;
  std::uint16_t b = 0;
  std::uint16_t c = 0;

  // From exactly kSize bytes.
  [[nodiscard]] static Operation take(Input& in) noexcept;
  void put(sys::MutableBytes out) const noexcept;
  // "data 1 length=100 offset=-3 flags=0"
  [[nodiscard]] std::string text() const;
};

// Fields hold signed numbers in 16 bits.
[[nodiscard]] constexpr std::int32_t as_signed(std::uint16_t value) noexcept {
  return static_cast<std::int16_t>(value);
}

// --- mutation ---

// Behind `header` bytes that are no operations: inserts, deletes, repeats, moves or changes some.
std::size_t mutate_operations(sys::MutableBytes data, std::size_t header, std::size_t size,
                              std::size_t max_size, Random& random);

}  // namespace l4n::fuzz
