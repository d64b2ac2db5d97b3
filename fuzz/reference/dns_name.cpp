#include "fuzz/reference/dns_name.hpp"

#include <algorithm>

namespace l4n::fuzz {
namespace {

constexpr std::size_t kLongestLabel = 63;
constexpr std::size_t kLongestName = 255;

}  // namespace

std::optional<std::string> read_name(sys::Bytes data, std::size_t& at) {
  std::string name;
  const std::size_t begin = at;
  while (at < data.size() && at - begin < kLongestName) {
    const std::size_t length = sys::load_u8(&data[at++]);
    if (length == 0) {
      return name;
    }
    if (length > kLongestLabel || length > data.size() - at) {
      return std::nullopt;
    }
    for (const std::byte b : data.subspan(at, length)) {
      name += static_cast<char>(b);
    }
    name += '.';
    at += length;
  }
  return std::nullopt;
}

std::optional<std::vector<std::string>> read_names(sys::Bytes data, std::size_t padding) {
  std::vector<std::string> names;
  for (std::size_t at = 0; at < data.size();) {
    const sys::Bytes rest = data.subspan(at);
    if (rest.size() <= padding &&
        std::all_of(rest.begin(), rest.end(), [](auto b) { return b == std::byte{0}; })) {
      break;
    }
    auto name = read_name(data, at);
    if (!name || name->empty()) {
      return std::nullopt;
    }
    names.push_back(*std::move(name));
  }
  return names;
}

std::string with_dot(std::string_view text) { return std::string(text) + (text.ends_with('.') ? "" : "."); }

// A dot behind every label, so the text is one byte shorter than the labels with their lengths and the root.
bool is_name(std::string_view text) {
  const std::string name = with_dot(text);
  std::size_t label = 0;
  for (const char c : name) {
    if (c == '.' && (label == 0 || label > kLongestLabel)) {
      return false;
    }
    label = c == '.' ? 0 : label + 1;
  }
  return name.size() + 1 <= kLongestName;
}

bool is_host_name(std::string_view text) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  return is_name(text) && text.find_first_not_of(kAllowed) == std::string_view::npos;
}

}  // namespace l4n::fuzz
