#include "fuzz/support/text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace l4n::fuzz {

std::string text(sys::Bytes bytes) {
  std::string out(bytes.size(), '\0');
  std::transform(bytes.begin(), bytes.end(), out.begin(), [](std::byte b) { return static_cast<char>(b); });
  return out;
}

std::vector<std::string> pieces(std::string_view whole, char separator) {
  std::vector<std::string> out(1);
  for (const char c : whole) {
    if (c == separator) {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

std::vector<std::string> lines(sys::Bytes bytes) { return pieces(text(bytes), '\n'); }

std::string printable(std::string_view text, std::string_view kept) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= ' ' && c <= '~' && c != '\\') || kept.find(c) != std::string_view::npos;
    out += plain ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace l4n::fuzz
