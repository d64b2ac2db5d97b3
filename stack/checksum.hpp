// The Internet checksum (RFC 1071).
#pragma once

#include <cstdint>

#include "netns/sys/bytes.hpp"
#include "netns/sys/ip_address.hpp"

namespace l4n::stack {

// A running one's-complement sum over pieces; every piece but the last has even length, or is told to the
// object by its odd length (the next piece is then added byte-swapped).
class ChecksumAccumulator {
 public:
  void add(sys::Bytes data) noexcept;
  // RFC 9293 3.1 / RFC 8200 8.1.
  void add_pseudo_header(const sys::IpAddress& src, const sys::IpAddress& dst, std::uint8_t protocol,
                         std::uint32_t length) noexcept;

  // The folded sum, not inverted: what a partial checksum field holds.
  [[nodiscard]] std::uint16_t partial() const noexcept;
  // The value of the checksum field. Verifying data that includes its checksum gives 0.
  [[nodiscard]] std::uint16_t finish() const noexcept { return static_cast<std::uint16_t>(~partial()); }

 private:
  std::uint64_t sum_ = 0;
  bool odd_ = false;
};

[[nodiscard]] std::uint16_t internet_checksum(sys::Bytes data) noexcept;

}  // namespace l4n::stack
