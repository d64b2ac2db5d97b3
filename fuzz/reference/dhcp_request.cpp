#include "fuzz/reference/dhcp_request.hpp"

#include <algorithm>

#include "tests/support/dhcp_client.hpp"

namespace l4n::fuzz {
namespace {

constexpr unsigned kPad = 0;
constexpr unsigned kRequestedAddress = 50;
constexpr unsigned kOverload = 52;
constexpr unsigned kType = 53;
constexpr unsigned kServer = 54;
constexpr unsigned kMaxSize = 57;
constexpr unsigned kClientId = 61;
constexpr unsigned kEnd = 255;

unsigned at(sys::Bytes data, std::size_t i) { return sys::load_u8(&data[i]); }

// One field. False when an option is cut off.
bool read_field(DhcpOptions& options, sys::Bytes field) {
  std::size_t i = 0;
  while (i < field.size() && at(field, i) != kEnd) {
    if (at(field, i) == kPad) {
      ++i;
      continue;
    }
    if (i + 1 >= field.size() || i + 2 + at(field, i + 1) > field.size()) {
      return false;
    }
    const sys::Bytes value = field.subspan(i + 2, at(field, i + 1));
    std::vector<std::byte>& whole = options[at(field, i)];
    whole.insert(whole.end(), value.begin(), value.end());
    i += 2 + value.size();
  }
  return true;
}

// An option that may be absent, but not of another size.
bool fits(const DhcpOptions& options, unsigned code, std::size_t least, std::size_t most) {
  const auto found = options.find(code);
  return found == options.end() || (found->second.size() >= least && found->second.size() <= most);
}

std::optional<std::uint32_t> number(const DhcpOptions& options, unsigned code) {
  const auto found = options.find(code);
  if (found == options.end()) {
    return std::nullopt;
  }
  std::uint32_t value = 0;
  for (const std::byte b : found->second) {
    value = value * 256 + std::to_integer<std::uint32_t>(b);
  }
  return value;
}

std::optional<sys::Ipv4Address> address(const DhcpOptions& options, unsigned code) {
  const auto value = number(options, code);
  return value ? std::optional(sys::Ipv4Address{*value}) : std::nullopt;
}

// An Ethernet client's request with the magic cookie, from a station's own address.
bool is_request(sys::Bytes m) {
  if (m.size() < test::kDhcpOptionsAt || at(m, 0) != 1 || at(m, 1) != 1 || at(m, 2) != 6) {
    return false;
  }
  const sys::Bytes mac = m.subspan(28, 6);
  const bool zero = std::all_of(mac.begin(), mac.end(), [](std::byte b) { return b == std::byte{0}; });
  return !zero && at(mac, 0) % 2 == 0 && sys::load_be32(&m[test::kDhcpCookieAt]) == 0x63825363;
}

bool well_formed(const DhcpOptions& options) {
  const auto type = number(options, kType);
  return type && fits(options, kType, 1, 1) && *type >= 1 && *type <= 8 &&
         fits(options, kRequestedAddress, 4, 4) && fits(options, kServer, 4, 4) &&
         fits(options, kMaxSize, 2, 2) && fits(options, kClientId, 2, 255);
}

}  // namespace

std::optional<DhcpOptions> read_dhcp_options(sys::Bytes m) {
  DhcpOptions options;
  if (!read_field(options, m.subspan(test::kDhcpOptionsAt)) || !fits(options, kOverload, 1, 1)) {
    return std::nullopt;
  }
  const std::uint32_t overload = number(options, kOverload).value_or(0);
  const bool file = overload == 1 || overload == 3;
  const bool name = overload == 2 || overload == 3;
  if (overload > 3 || (file && !read_field(options, m.subspan(test::kDhcpFileAt, 128))) ||
      (name && !read_field(options, m.subspan(test::kDhcpServerNameAt, 64)))) {
    return std::nullopt;
  }
  return options;
}

std::optional<nat::DhcpRequest> expected_dhcp_request(sys::Bytes m) {
  if (!is_request(m)) {
    return std::nullopt;
  }
  const auto options = read_dhcp_options(m);
  if (!options || !well_formed(*options)) {
    return std::nullopt;
  }
  nat::DhcpRequest request;
  request.type = static_cast<nat::DhcpType>(*number(*options, kType));
  request.xid = sys::load_be32(&m[4]);
  request.broadcast = at(m, 10) >= 0x80;
  request.ciaddr = {sys::load_be32(&m[12])};
  request.giaddr = {sys::load_be32(&m[24])};
  for (std::size_t i = 0; i < request.chaddr.size(); ++i) {
    request.chaddr.at(i) = static_cast<std::uint8_t>(at(m, 28 + i));
  }
  request.requested_address = address(*options, kRequestedAddress);
  request.server_id = address(*options, kServer);
  if (const auto size = number(*options, kMaxSize)) {
    request.max_message_size = static_cast<std::uint16_t>(*size);
  }
  if (const auto id = options->find(kClientId); id != options->end()) {
    request.client_id = id->second;
  }
  return request;
}

}  // namespace l4n::fuzz
