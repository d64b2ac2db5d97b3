// Byte strings for tests: from numbers, from hexadecimal text, at random.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "netns/sys/bytes.hpp"

namespace l4n::test {

using ByteString = std::vector<std::byte>;

[[nodiscard]] inline ByteString byte_string(std::initializer_list<unsigned> values) {
  ByteString out;
  for (const unsigned value : values) {
    out.push_back(static_cast<std::byte>(value));
  }
  return out;
}

// The bytes of a text, without a terminator.
[[nodiscard]] inline ByteString text_bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// "45 00 1c" (blanks are for the eye).
[[nodiscard]] inline ByteString from_hex(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c != ' ' && c != '\n') {
      digits += c;
    }
  }
  ByteString out;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    out.push_back(static_cast<std::byte>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  return out;
}

[[nodiscard]] inline ByteString concat(std::initializer_list<sys::Bytes> parts) {
  ByteString out;
  for (const sys::Bytes part : parts) {
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}

[[nodiscard]] inline ByteString random_bytes(std::mt19937& random, std::size_t size) {
  ByteString out(size);
  for (std::byte& b : out) {
    b = static_cast<std::byte>(random());
  }
  return out;
}

[[nodiscard]] inline bool same_bytes(sys::Bytes a, sys::Bytes b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace l4n::test
