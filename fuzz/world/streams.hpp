// The bytes of a connection's two directions, as functions of who sends and of the offset. So whoever sees a
// byte at an offset knows what it must be, whatever was repeated, reordered or lost on the way. Offsets count
// modulo 2^32, as sequence numbers do: there are bytes in front of the first one, too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "netns/sys/bytes.hpp"

namespace l4n::fuzz {

// The first byte is the sender's number, which names it.
[[nodiscard]] std::byte stream_byte(std::uint8_t sender, std::size_t offset) noexcept;
[[nodiscard]] std::vector<std::byte> stream_bytes(std::uint8_t sender, std::size_t offset, std::size_t size);
// The offset in `data` of the first byte that differs from the sender's stream; data.size() when none does.
[[nodiscard]] std::size_t first_difference(std::uint8_t sender, std::size_t offset, sys::Bytes data) noexcept;

// Which parts of a stream were ever sent: how far the receiver can have come at most.
class SentRanges {
 public:
  void add(std::uint32_t offset, std::uint32_t size);
  // All before this offset was sent.
  [[nodiscard]] std::uint32_t contiguous() const noexcept { return contiguous_; }

 private:
  std::uint32_t contiguous_ = 0;
  std::map<std::uint32_t, std::uint32_t> later_;  // begin -> end
};

}  // namespace l4n::fuzz
