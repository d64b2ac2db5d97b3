// IpHeader: what the IP headers of both families say, so that what lies behind them need not know which one
// it was. RFC 791, RFC 8200. Pure; numbers are host order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "netns/sys/bytes.hpp"
#include "netns/sys/ip_address.hpp"
#include "stack/packet.hpp"

namespace l4n::stack {

// The header that is written in front of a whole packet, without options or extension headers.
[[nodiscard]] constexpr std::size_t ip_header_size(const sys::IpAddress& address) noexcept {
  return address.is_v4() ? kIpv4HeaderSize : kIpv6HeaderSize;
}
[[nodiscard]] constexpr std::uint16_t ip_ether_type(const sys::IpAddress& address) noexcept {
  return address.is_v4() ? kEtherTypeIpv4 : kEtherTypeIpv6;
}
[[nodiscard]] constexpr std::uint8_t icmp_protocol(const sys::IpAddress& address) noexcept {
  return address.is_v4() ? kProtocolIcmp : kProtocolIcmp6;
}

struct IpHeader {
  sys::IpAddress source;
  sys::IpAddress destination;
  std::uint8_t protocol = 0;  // of the transport, which is behind all extension headers
  std::uint8_t ttl = 64;      // IPv6: hop limit
  std::uint8_t tos = 0;       // IPv6: traffic class
  std::uint32_t id = 0;       // IPv6: of a fragment
  // IPv6 packets are not fragmented on their way, so a whole one has it set.
  bool dont_fragment = false;
  bool more_fragments = false;
  std::uint16_t fragment_offset = 0;              // bytes
  std::uint16_t header_length = kIpv4HeaderSize;  // with options or extension headers
  std::uint32_t total_length = 0;                 // of the packet, its header included

  [[nodiscard]] bool is_v4() const noexcept { return source.is_v4(); }
  [[nodiscard]] bool is_fragment() const noexcept { return more_fragments || fragment_offset != 0; }
};

[[nodiscard]] IpHeader to_ip_header(const Ipv4Header& v4) noexcept;

// The header of a packet of which only the beginning may be there, as ICMP errors quote it.
[[nodiscard]] std::optional<IpHeader> decode_quoted_ip(sys::Bytes packet) noexcept;

// Writes the header of a packet with `payload` bytes behind it: IPv4 with its checksum and fragment fields;
// IPv6 without a fragment header. `out` holds at least ip_header_size(). Returns that size.
std::size_t encode_ip(sys::MutableBytes out, const IpHeader& header, std::size_t payload) noexcept;

// Whether an ICMP error may be sent about `packet` (from its IP header on, whole or as far as it is there):
// never about an ICMP error, a fragment other than the first, a broadcast or multicast destination, or a
// source that is not one host (RFC 1122 3.2.2, RFC 4443 2.4 e). A subnet's own broadcast address is the
// policy's to know.
[[nodiscard]] bool may_send_ip_error(sys::Bytes packet) noexcept;

}  // namespace l4n::stack
