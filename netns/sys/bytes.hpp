// Bounds-checked reading and writing of network-order fields.
//
// ByteReader never reads past its span: a short read yields zeros and sets failed(), so a codec reads all
// its fields and asks once. ByteWriter is the same for output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace l4n::sys {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

// Unchecked big-endian access for code that has verified the length before.
[[nodiscard]] inline std::uint8_t load_u8(const std::byte* p) noexcept {
  return std::to_integer<std::uint8_t>(*p);
}
[[nodiscard]] inline std::uint16_t load_be16(const std::byte* p) noexcept {
  return static_cast<std::uint16_t>((load_u8(p) << 8U) | load_u8(p + 1));
}
[[nodiscard]] inline std::uint32_t load_be32(const std::byte* p) noexcept {
  return (static_cast<std::uint32_t>(load_be16(p)) << 16U) | load_be16(p + 2);
}
inline void store_be16(std::byte* p, std::uint16_t v) noexcept {
  p[0] = static_cast<std::byte>(v >> 8U);
  p[1] = static_cast<std::byte>(v);
}
inline void store_be32(std::byte* p, std::uint32_t v) noexcept {
  store_be16(p, static_cast<std::uint16_t>(v >> 16U));
  store_be16(p + 2, static_cast<std::uint16_t>(v));
}

class ByteReader {
 public:
  explicit ByteReader(Bytes data) noexcept : data_(data) {}

  [[nodiscard]] std::uint8_t u8() noexcept { return take(1) ? load_u8(&data_[at_ - 1]) : std::uint8_t{0}; }
  [[nodiscard]] std::uint16_t be16() noexcept {
    return take(2) ? load_be16(&data_[at_ - 2]) : std::uint16_t{0};
  }
  [[nodiscard]] std::uint32_t be32() noexcept { return take(4) ? load_be32(&data_[at_ - 4]) : 0U; }
  // The next `n` bytes; empty when there are fewer.
  [[nodiscard]] Bytes bytes(std::size_t n) noexcept { return take(n) ? data_.subspan(at_ - n, n) : Bytes{}; }
  void skip(std::size_t n) noexcept { static_cast<void>(take(n)); }

  [[nodiscard]] std::size_t left() const noexcept { return data_.size() - at_; }
  [[nodiscard]] Bytes rest() const noexcept { return data_.subspan(at_); }
  [[nodiscard]] bool failed() const noexcept { return failed_; }

 private:
  bool take(std::size_t n) noexcept {
    if (n > left()) {
      failed_ = true;
      at_ = data_.size();
      return false;
    }
    at_ += n;
    return true;
  }

  Bytes data_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

class ByteWriter {
 public:
  explicit ByteWriter(MutableBytes out) noexcept : out_(out) {}

  void u8(std::uint8_t v) noexcept {
    if (take(1)) {
      out_[at_ - 1] = static_cast<std::byte>(v);
    }
  }
  void be16(std::uint16_t v) noexcept {
    if (take(2)) {
      store_be16(&out_[at_ - 2], v);
    }
  }
  void be32(std::uint32_t v) noexcept {
    if (take(4)) {
      store_be32(&out_[at_ - 4], v);
    }
  }
  void bytes(Bytes data) noexcept {
    if (!data.empty() && take(data.size())) {
      std::memcpy(&out_[at_ - data.size()], data.data(), data.size());
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return at_; }
  [[nodiscard]] bool failed() const noexcept { return failed_; }

 private:
  bool take(std::size_t n) noexcept {
    if (n > out_.size() - at_) {
      failed_ = true;
      return false;
    }
    at_ += n;
    return true;
  }

  MutableBytes out_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

}  // namespace l4n::sys
