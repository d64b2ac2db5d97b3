#include "stack/checksum.hpp"

#include <bit>
#include <cstring>

namespace l4n::stack {
namespace {

std::uint16_t fold(std::uint64_t sum) noexcept {
  sum = (sum & 0xffffffffU) + (sum >> 32U);
  sum = (sum & 0xffffU) + (sum >> 16U);
  sum = (sum & 0xffffU) + (sum >> 16U);
  sum = (sum & 0xffffU) + (sum >> 16U);
  return static_cast<std::uint16_t>(sum);
}

std::uint16_t swap16(std::uint16_t v) noexcept { return static_cast<std::uint16_t>((v << 8U) | (v >> 8U)); }

// One's-complement sum in memory order: the byte order of the result is that of the host (RFC 1071 2(B)).
std::uint16_t sum_host_order(const std::byte* p, std::size_t n) noexcept {
  std::uint64_t sum = 0;
  // 32-bit words in a 64-bit accumulator: a 64 KiB frame cannot overflow it.
  while (n >= 16) {
    std::uint32_t word[4];
    std::memcpy(word, p, sizeof word);
    sum += static_cast<std::uint64_t>(word[0]) + word[1];
    sum += static_cast<std::uint64_t>(word[2]) + word[3];
    p += 16;
    n -= 16;
  }
  while (n >= 2) {
    std::uint16_t half = 0;
    std::memcpy(&half, p, sizeof half);
    sum += half;
    p += 2;
    n -= 2;
  }
  if (n == 1) {
    std::uint16_t last = 0;
    std::memcpy(&last, p, 1);
    sum += last;
  }
  return fold(sum);
}

}  // namespace

void ChecksumAccumulator::add(sys::Bytes data) noexcept {
  if (data.empty()) {
    return;
  }
  std::uint16_t part = sum_host_order(data.data(), data.size());
  if constexpr (std::endian::native == std::endian::little) {
    part = swap16(part);
  }
  sum_ += odd_ ? swap16(part) : part;
  odd_ = odd_ != (data.size() % 2 == 1);
}

void ChecksumAccumulator::add_pseudo_header(const sys::IpAddress& src, const sys::IpAddress& dst,
                                            std::uint8_t protocol, std::uint32_t length) noexcept {
  if (src.is_v4()) {
    sum_ += (src.v4().value >> 16U) + (src.v4().value & 0xffffU);
    sum_ += (dst.v4().value >> 16U) + (dst.v4().value & 0xffffU);
  } else {
    add(std::as_bytes(std::span(src.v6().bytes)));
    add(std::as_bytes(std::span(dst.v6().bytes)));
  }
  sum_ += protocol;
  sum_ += (length >> 16U) + (length & 0xffffU);
}

std::uint16_t ChecksumAccumulator::partial() const noexcept { return fold(sum_); }

std::uint16_t internet_checksum(sys::Bytes data) noexcept {
  ChecksumAccumulator sum;
  sum.add(data);
  return sum.finish();
}

}  // namespace l4n::stack
