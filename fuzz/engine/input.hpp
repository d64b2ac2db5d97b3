// Input: takes typed values from a fuzzer's bytes. It never fails; behind the end there are zeros.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "netns/sys/bytes.hpp"

namespace l4n::fuzz {

class Input {
 public:
  explicit Input(sys::Bytes data) noexcept : data_(data) {}

  [[nodiscard]] bool empty() const noexcept { return data_.empty(); }
  [[nodiscard]] std::size_t left() const noexcept { return data_.size(); }

  [[nodiscard]] std::uint8_t u8() noexcept {
    const sys::Bytes taken = bytes(1);
    return taken.empty() ? std::uint8_t{0} : sys::load_u8(taken.data());
  }
  [[nodiscard]] std::uint16_t u16() noexcept {
    const std::uint8_t high = u8();
    return static_cast<std::uint16_t>(high << 8U | u8());
  }
  [[nodiscard]] std::uint32_t u32() noexcept {
    const std::uint32_t high = u16();
    return high << 16U | u16();
  }
  [[nodiscard]] bool boolean() noexcept { return (u8() & 1U) != 0; }
  // From `low` to `high`, both included. Takes as many bytes as the range needs.
  [[nodiscard]] std::uint32_t in_range(std::uint32_t low, std::uint32_t high) noexcept {
    const std::uint32_t span = high - low;
    const std::uint32_t value = span < 0x100 ? u8() : span < 0x10000 ? u16() : u32();
    return span == 0xffffffff ? value : low + value % (span + 1);
  }
  // The next `n` bytes, fewer at the end.
  [[nodiscard]] sys::Bytes bytes(std::size_t n) noexcept {
    const sys::Bytes taken = data_.first(std::min(n, data_.size()));
    data_ = data_.subspan(taken.size());
    return taken;
  }
  [[nodiscard]] sys::Bytes rest() noexcept { return bytes(data_.size()); }

 private:
  sys::Bytes data_;
};

}  // namespace l4n::fuzz
