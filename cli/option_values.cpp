#include "cli/option_values.hpp"

#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace l4n::cli {
namespace {

constexpr unsigned kMinPrefix = 1;
constexpr unsigned kMaxPrefix = 25;
constexpr unsigned kMinPrefix6 = 64;
constexpr unsigned kMaxPrefix6 = 120;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// 1 to `most` decimal digits.
bool is_number(std::string_view text, std::size_t most) {
  return !text.empty() && text.size() <= most && std::all_of(text.begin(), text.end(), is_digit);
}

// Takes everything before `separator` off the front of `rest`, and the separator.
std::string_view cut(std::string_view& rest, char separator) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view head = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return head;
}

// Four numbers of up to three digits: the shape of an address, whatever its value.
bool looks_like_ipv4(std::string_view text) {
  const bool right_dots = std::count(text.begin(), text.end(), '.') == 3;
  bool numbers = true;
  for (int part = 0; part < 4; ++part) {
    numbers = is_number(cut(text, '.'), 3) && numbers;
  }
  return right_dots && numbers;
}

// Of a text that is_number().
unsigned to_unsigned(std::string_view digits) {
  unsigned value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

bool has_host_bits(const sys::Ipv6Network& network) {
  bool any = false;
  for (unsigned bit = network.prefix; bit < 128; ++bit) {
    any = any || (network.address.bytes.at(bit / 8) & (0x80U >> bit % 8)) != 0;
  }
  return any;
}

// Whether the network's addresses are ordinary unicast ones.
bool is_usable(const sys::Ipv6Network& network) {
  constexpr sys::Ipv6Network kSpecial{{}, 64};  // ::, ::1, ::ffff:0:0/96 and more of RFC 4291 2.5
  return !kSpecial.contains(network.address) && !sys::is_multicast(network.address) &&
         !sys::is_link_local(network.address);
}

std::optional<std::uint8_t> parse_hex_byte(std::string_view text) {
  std::uint8_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.empty() || text.size() > 2 || error != std::errc{} || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

sys::Error bad_mac_address(std::string_view text, std::string_view hint) {
  return sys::plain_error(fmt::format(
      "\"{}\" is an invalid MAC address.{}\n"
      "macaddress has to be a valid MAC address (hex string, 6 bytes, each byte separated by a ':').",
      text, hint));
}

bool interface_exists(const std::string& name) { return ::if_nametoindex(name.c_str()) != 0; }

sys::Result<OutboundSource> outbound_source(const std::string& text, std::optional<sys::IpAddress> address,
                                            std::string_view complaint) {
  if (address) {
    return OutboundSource{text, address, {}};
  }
  if (interface_exists(text)) {
    return OutboundSource{text, std::nullopt, text};
  }
  return sys::plain_error(complaint);
}

}  // namespace

std::optional<int> parse_integer(const std::string& text, int min, int max) {
  char* end = nullptr;
  errno = 0;
  const long value = std::strtol(text.c_str(), &end, 10);
  if (errno != 0 || end == text.c_str() || *end != '\0' || value < min || value > max) {
    return std::nullopt;
  }
  return static_cast<int>(value);
}

sys::Result<std::size_t> parse_memory_limit(const std::string& text) {
  constexpr std::string_view kUnits = "KMG";
  constexpr std::uint64_t kLeast = std::uint64_t{1} << 20U;
  constexpr std::uint64_t kMost = std::min<std::uint64_t>(std::uint64_t{1} << 40U, SIZE_MAX);
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [unit, error] = std::from_chars(text.data(), end, number);
  unsigned shift = 0;
  bool good = error == std::errc{};
  if (good && unit != end) {
    const std::size_t found = kUnits.find(static_cast<char>(std::toupper(static_cast<unsigned char>(*unit))));
    good = found != std::string_view::npos && unit + 1 == end;
    shift = good ? 10 * (static_cast<unsigned>(found) + 1) : 0;
  }
  if (!good || number > kMost >> shift || number << shift < kLeast) {
    return sys::plain_error(
        fmt::format("memory-limit must be a size of at least 1M, such as 192M, not {}", text));
  }
  return static_cast<std::size_t>(number << shift);
}

sys::Result<sys::Ipv4Network> parse_cidr(const std::string& text) {
  std::string_view prefix_text = text;
  const std::string_view address_text = cut(prefix_text, '/');
  if (!looks_like_ipv4(address_text) || !is_number(prefix_text, 2)) {
    return sys::plain_error(fmt::format("invalid CIDR: {}", text));
  }
  const auto address = sys::parse_ipv4(address_text);
  if (!address) {
    return sys::plain_error(fmt::format("invalid network address: {}", address_text));
  }
  const unsigned prefix = to_unsigned(prefix_text);
  if (prefix < kMinPrefix || prefix > kMaxPrefix) {
    return sys::plain_error(fmt::format("prefix length needs to be {}-{}", kMinPrefix, kMaxPrefix));
  }
  const sys::Ipv4Network network{*address, prefix};
  if (network.host(0) != *address) {
    return sys::plain_error("CIDR needs to be a network address like 10.0.2.0/24, not like 10.0.2.100/24");
  }
  return network;
}

sys::Result<sys::Ipv6Network> parse_cidr6(const std::string& text) {
  std::string_view prefix_text = text;
  const auto address = sys::parse_ipv6(cut(prefix_text, '/'));
  if (!address || !is_number(prefix_text, 3)) {
    return sys::plain_error(fmt::format("invalid IPv6 CIDR: {}", text));
  }
  const unsigned prefix = to_unsigned(prefix_text);
  if (prefix < kMinPrefix6 || prefix > kMaxPrefix6) {
    return sys::plain_error(fmt::format("IPv6 prefix length needs to be {}-{}", kMinPrefix6, kMaxPrefix6));
  }
  const sys::Ipv6Network network{*address, prefix};
  if (!is_usable(network)) {
    return sys::plain_error(
        fmt::format("IPv6 CIDR needs to be of ordinary unicast addresses, unlike {}", text));
  }
  if (has_host_bits(network)) {
    return sys::plain_error("IPv6 CIDR needs to be a network address like fd00::/64, not like fd00::100/64");
  }
  return network;
}

sys::Result<stack::MacAddress> parse_mac_address(const std::string& text) {
  stack::MacAddress mac{};
  std::string_view rest = text;
  for (std::uint8_t& byte : mac) {
    const auto value = parse_hex_byte(cut(rest, ':'));
    if (!value) {
      return bad_mac_address(text, "");
    }
    byte = *value;
  }
  if (!rest.empty() || text.back() == ':') {
    return bad_mac_address(text, "  Is it too long?");
  }
  return mac;
}

std::string to_text(const stack::MacAddress& mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4],
                     mac[5]);
}

sys::Result<OutboundSource> parse_outbound_addr(const std::string& text) {
  return outbound_source(text, sys::parse_ipv4(text),
                         "outbound-addr has to be valid ipv4 address or interface name.");
}

sys::Result<OutboundSource> parse_outbound_addr6(const std::string& text) {
  return outbound_source(text, sys::parse_ipv6(text),
                         "outbound-addr6 has to be valid ipv6 address or interface name.");
}

}  // namespace l4n::cli
