#include "fuzz/reference/option_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "fuzz/support/text.hpp"

namespace l4n::fuzz {
namespace {

constexpr std::string_view kDigits = "0123456789";

bool consists_of(std::string_view text, std::string_view allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

// Of digits only; what is too large for anybody stays so.
std::int64_t value_of(std::string_view digits) {
  constexpr std::int64_t kTooLarge = std::int64_t{1} << 40U;
  std::int64_t value = 0;
  for (const char c : digits) {
    value = std::min(value * 10 + (c - '0'), kTooLarge);
  }
  return value;
}

// The bits of an address from the first to the last.
template <std::size_t size>
std::vector<bool> bits_of(const std::array<std::uint8_t, size>& bytes) {
  std::vector<bool> bits;
  for (const std::uint8_t byte : bytes) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      bits.push_back((byte >> (7 - bit) & 1U) != 0);
    }
  }
  return bits;
}

bool any_behind(const std::vector<bool>& bits, std::size_t prefix) {
  return std::find(bits.begin() + static_cast<std::ptrdiff_t>(prefix), bits.end(), true) != bits.end();
}

bool is_octet(const std::string& digits) {
  return value_of(digits) <= 255 && (digits.size() == 1 || digits[0] != '0');
}

}  // namespace

std::optional<int> expected_integer(const std::string& text, int min, int max) {
  const std::size_t begin = text.find_first_not_of(" \t\n\v\f\r");
  if (begin == std::string::npos) {
    return std::nullopt;
  }
  const bool signed_text = text[begin] == '-' || text[begin] == '+';
  const std::string digits = text.substr(begin + (signed_text ? 1 : 0));
  if (!consists_of(digits, kDigits)) {
    return std::nullopt;
  }
  const std::int64_t value = text[begin] == '-' ? -value_of(digits) : value_of(digits);
  return value >= min && value <= max ? std::optional(static_cast<int>(value)) : std::nullopt;
}

ExpectedCidr expected_cidr(const std::string& text) {
  const std::vector<std::string> halves = pieces(text, '/');
  const std::vector<std::string> octets = pieces(halves[0], '.');
  const auto is_short_number = [](const std::string& s) { return consists_of(s, kDigits) && s.size() <= 3; };
  if (halves.size() != 2 || octets.size() != 4 ||
      !std::all_of(octets.begin(), octets.end(), is_short_number) || !consists_of(halves[1], kDigits) ||
      halves[1].size() > 2) {
    return {std::nullopt, "invalid CIDR: " + text};
  }
  if (!std::all_of(octets.begin(), octets.end(), is_octet)) {
    return {std::nullopt, "invalid network address: " + halves[0]};
  }
  std::array<std::uint8_t, 4> bytes{};
  std::transform(octets.begin(), octets.end(), bytes.begin(),
                 [](const std::string& s) { return static_cast<std::uint8_t>(value_of(s)); });
  const auto prefix = static_cast<unsigned>(value_of(halves[1]));
  if (prefix < 1 || prefix > 25) {
    return {std::nullopt, "prefix length needs to be 1-25"};
  }
  if (any_behind(bits_of(bytes), prefix)) {
    return {std::nullopt, "CIDR needs to be a network address"};
  }
  return {sys::Ipv4Network{sys::make_ipv4(bytes[0], bytes[1], bytes[2], bytes[3]), prefix}, ""};
}

std::optional<sys::Ipv6Network> expected_cidr6(const std::string& text) {
  const std::vector<std::string> halves = pieces(text, '/');
  const auto address = sys::parse_ipv6(halves[0]);
  if (halves.size() != 2 || !address || !consists_of(halves[1], kDigits) || halves[1].size() > 3) {
    return std::nullopt;
  }
  const auto prefix = static_cast<unsigned>(value_of(halves[1]));
  const std::vector<bool> bits = bits_of(address->bytes);
  const bool special = !any_behind({bits.begin(), bits.begin() + 64}, 0);
  const unsigned first = address->bytes[0] * 256U + address->bytes[1];
  const bool scoped = first >= 0xff00 || (first >= 0xfe80 && first <= 0xfebf);
  if (prefix < 64 || prefix > 120 || special || scoped || any_behind(bits, prefix)) {
    return std::nullopt;
  }
  return sys::Ipv6Network{*address, prefix};
}

std::optional<std::array<std::uint8_t, 6>> expected_mac(const std::string& text) {
  const std::vector<std::string> parts = pieces(text, ':');
  std::array<std::uint8_t, 6> mac{};
  if (parts.size() != mac.size()) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < mac.size(); ++i) {
    if (parts[i].size() > 2 || !consists_of(parts[i], "0123456789abcdefABCDEF")) {
      return std::nullopt;
    }
    mac.at(i) = static_cast<std::uint8_t>(std::stoul(parts[i], nullptr, 16));
  }
  return mac;
}

}  // namespace l4n::fuzz
