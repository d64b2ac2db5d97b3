#include "netns/monitor_messages.hpp"

#include <algorithm>

namespace l4n::netns {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kNameservers = 1;
constexpr std::uint8_t kTargetGone = 2;
constexpr std::uint8_t kInterfaceAddresses = 3;
constexpr std::uint8_t kV4 = 4;
constexpr std::uint8_t kV6 = 6;
constexpr std::size_t kAddressSize = 16;
constexpr std::size_t kV4Size = 4;

bool is_within_limits(const Nameservers& m) {
  const bool search_fits = m.search.size() <= kMaxSearchDomains &&
                           std::all_of(m.search.begin(), m.search.end(), [](const std::string& domain) {
                             return !domain.empty() && domain.size() <= 255;
                           });
  const auto v4 = static_cast<std::size_t>(std::count_if(
      m.servers.begin(), m.servers.end(), [](const NameserverAddress& s) { return s.address.is_v4(); }));
  return search_fits && v4 <= kMaxNameserversPerFamily && m.servers.size() - v4 <= kMaxNameserversPerFamily;
}

void write_server(sys::ByteWriter& out, const NameserverAddress& server) {
  out.u8(server.address.is_v4() ? kV4 : kV6);
  out.be32(server.scope_id);
  if (server.address.is_v4()) {
    out.be32(server.address.v4().value);
    for (std::size_t i = kV4Size; i < kAddressSize; ++i) {
      out.u8(0);
    }
  } else {
    out.bytes(std::as_bytes(std::span(server.address.v6().bytes)));
  }
}

std::optional<NameserverAddress> read_server(sys::ByteReader& in) {
  const std::uint8_t family = in.u8();
  const std::uint32_t scope_id = in.be32();
  const sys::Bytes address = in.bytes(kAddressSize);
  if (in.failed()) {
    return std::nullopt;
  }
  if (family == kV6) {
    sys::Ipv6Address v6;
    std::memcpy(v6.bytes.data(), address.data(), kAddressSize);
    return NameserverAddress{v6, scope_id};
  }
  const auto rest = address.subspan(kV4Size);
  const bool padded = std::all_of(rest.begin(), rest.end(), [](std::byte b) { return b == std::byte{0}; });
  if (family != kV4 || scope_id != 0 || !padded) {
    return std::nullopt;
  }
  return NameserverAddress{sys::Ipv4Address{sys::load_be32(address.data())}, 0};
}

std::optional<MonitorMessage> read_nameservers(sys::ByteReader& in) {
  const std::size_t count = in.u8();
  Nameservers m;
  for (std::size_t i = 0; i < count; ++i) {
    const auto server = read_server(in);
    if (!server) {
      return std::nullopt;
    }
    m.servers.push_back(*server);
  }
  const std::size_t domains = in.u8();
  for (std::size_t i = 0; i < domains && !in.failed(); ++i) {
    const sys::Bytes text = in.bytes(in.u8());
    m.search.emplace_back(reinterpret_cast<const char*>(text.data()), text.size());
  }
  if (in.failed() || in.left() != 0 || !is_within_limits(m)) {
    return std::nullopt;
  }
  return m;
}

sys::IpAddress read_address(sys::ByteReader& in, bool is_v4) {
  if (is_v4) {
    return sys::Ipv4Address{in.be32()};
  }
  sys::Ipv6Address v6;
  const sys::Bytes bytes = in.bytes(v6.bytes.size());
  std::copy(bytes.begin(), bytes.end(), std::as_writable_bytes(std::span(v6.bytes)).begin());
  return v6;
}

void write_address(sys::ByteWriter& out, const sys::IpAddress& address) {
  if (address.is_v4()) {
    out.be32(address.v4().value);
  } else {
    out.bytes(std::as_bytes(std::span(address.v6().bytes)));
  }
}

std::optional<MonitorMessage> read_interface(sys::ByteReader& in) {
  InterfaceAddresses m;
  const std::uint8_t family = in.u8();
  m.is_v4 = family == kV4;
  m.index = in.be32();
  m.address = read_address(in, m.is_v4);
  const std::size_t count = in.u8();
  for (std::size_t i = 0; i < count && !in.failed(); ++i) {
    m.own.push_back(read_address(in, m.is_v4));
  }
  if (in.failed() || in.left() != 0 || (family != kV4 && family != kV6)) {
    return std::nullopt;
  }
  return m;
}

// False: beyond the limits.
bool write(sys::ByteWriter& out, const Nameservers& m) {
  if (!is_within_limits(m)) {
    return false;
  }
  out.u8(kNameservers);
  out.u8(static_cast<std::uint8_t>(m.servers.size()));
  for (const NameserverAddress& server : m.servers) {
    write_server(out, server);
  }
  out.u8(static_cast<std::uint8_t>(m.search.size()));
  for (const std::string& domain : m.search) {
    out.u8(static_cast<std::uint8_t>(domain.size()));
    out.bytes(std::as_bytes(std::span(domain)));
  }
  return true;
}

bool write(sys::ByteWriter& out, const TargetGone& /*m*/) {
  out.u8(kTargetGone);
  return true;
}

bool write(sys::ByteWriter& out, const InterfaceAddresses& m) {
  const bool one_family =
      m.address.is_v4() == m.is_v4 &&
      std::all_of(m.own.begin(), m.own.end(), [&m](const sys::IpAddress& a) { return a.is_v4() == m.is_v4; });
  if (m.own.size() > kMaxOwnAddresses || !one_family) {
    return false;
  }
  out.u8(kInterfaceAddresses);
  out.u8(m.is_v4 ? kV4 : kV6);
  out.be32(m.index);
  write_address(out, m.address);
  out.u8(static_cast<std::uint8_t>(m.own.size()));
  for (const sys::IpAddress& address : m.own) {
    write_address(out, address);
  }
  return true;
}

}  // namespace

std::size_t encode(const MonitorMessage& message, sys::MutableBytes out) {
  sys::ByteWriter writer(out);
  writer.u8(kVersion);
  const bool fits = std::visit([&writer](const auto& m) { return write(writer, m); }, message);
  return writer.failed() || !fits ? 0 : writer.size();
}

std::optional<MonitorMessage> decode_monitor_message(sys::Bytes data) {
  sys::ByteReader in(data);
  const std::uint8_t version = in.u8();
  const std::uint8_t type = in.u8();
  if (in.failed() || version != kVersion) {
    return std::nullopt;
  }
  if (type == kNameservers) {
    return read_nameservers(in);
  }
  if (type == kInterfaceAddresses) {
    return read_interface(in);
  }
  if (type == kTargetGone && in.left() == 0) {
    return TargetGone{};
  }
  return std::nullopt;
}

}  // namespace l4n::netns
