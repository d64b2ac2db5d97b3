#include "fuzz/world/streams.hpp"

#include <algorithm>

namespace l4n::fuzz {

std::byte stream_byte(std::uint8_t sender, std::size_t offset) noexcept {
  const auto number = static_cast<std::uint32_t>(offset);
  if (number == 0) {
    return static_cast<std::byte>(sender);
  }
  const auto mixed = (number + 0x1000193U * sender) * 0x9e3779b1U;
  return static_cast<std::byte>(mixed >> 24U);
}

std::vector<std::byte> stream_bytes(std::uint8_t sender, std::size_t offset, std::size_t size) {
  std::vector<std::byte> data(size);
  std::generate(data.begin(), data.end(), [&] { return stream_byte(sender, offset++); });
  return data;
}

std::size_t first_difference(std::uint8_t sender, std::size_t offset, sys::Bytes data) noexcept {
  std::size_t i = 0;
  while (i < data.size() && data[i] == stream_byte(sender, offset + i)) {
    ++i;
  }
  return i;
}

void SentRanges::add(std::uint32_t offset, std::uint32_t size) {
  std::uint32_t& end = later_[offset];
  end = std::max(end, offset + size);
  while (!later_.empty() && later_.begin()->first <= contiguous_) {
    contiguous_ = std::max(contiguous_, later_.begin()->second);
    later_.erase(later_.begin());
  }
}

}  // namespace l4n::fuzz
