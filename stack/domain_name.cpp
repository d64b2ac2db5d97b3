#include "stack/domain_name.hpp"

#include <algorithm>

namespace l4n::stack {
namespace {

constexpr std::size_t kLongestName = 255;  // RFC 1035 2.3.4
constexpr std::size_t kLongestLabel = 63;

bool is_name_character(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

}  // namespace

std::vector<std::byte> encode_domain_name(std::string_view name) {
  if (name.ends_with('.')) {
    name.remove_suffix(1);
  }
  if (name.empty() || name.size() + 2 > kLongestName) {
    return {};
  }
  std::vector<std::byte> out;
  out.reserve(name.size() + 2);
  for (std::size_t at = 0; at <= name.size();) {
    const std::string_view label = name.substr(at, name.find('.', at) - at);
    if (label.empty() || label.size() > kLongestLabel ||
        !std::all_of(label.begin(), label.end(), is_name_character)) {
      return {};
    }
    out.push_back(static_cast<std::byte>(label.size()));
    const auto bytes = std::as_bytes(std::span(label));
    out.insert(out.end(), bytes.begin(), bytes.end());
    at += label.size() + 1;
  }
  out.push_back(std::byte{0});
  return out;
}

std::vector<std::byte> encode_search_list(std::span<const std::string> names, std::size_t limit) {
  std::vector<std::byte> list;
  for (const std::string& name : names) {
    const std::vector<std::byte> encoded = encode_domain_name(name);
    if (list.size() + encoded.size() > limit) {
      break;
    }
    list.insert(list.end(), encoded.begin(), encoded.end());
  }
  return list;
}

}  // namespace l4n::stack
