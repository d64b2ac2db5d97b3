// Packets for tests, built byte by byte and with a checksum of their own, so that nothing of the code under
// test vouches for itself.
#pragma once

#include <cstdint>

#include "netns/sys/ip_address.hpp"
#include "stack/mac_address.hpp"
#include "tests/support/byte_string.hpp"

namespace l4n::test {

inline constexpr stack::MacAddress kGuestMac{0x02, 0x11, 0x22, 0x33, 0x44, 0x55};

// RFC 1071 as plainly as it can be said: 16-bit words, the carry added at once.
[[nodiscard]] std::uint16_t plain_sum(sys::Bytes data);
[[nodiscard]] std::uint16_t plain_checksum(sys::Bytes data);
// The sum over pseudo-header and segment, inverted. 0 for a segment that includes its checksum.
[[nodiscard]] std::uint16_t plain_transport_checksum(const sys::IpAddress& source,
                                                     const sys::IpAddress& destination, std::uint8_t protocol,
                                                     sys::Bytes segment);
// The 12 or 40 bytes of RFC 9293 3.1 and RFC 8200 8.1.
[[nodiscard]] ByteString pseudo_header(const sys::IpAddress& source, const sys::IpAddress& destination,
                                       std::uint8_t protocol, std::size_t length);

[[nodiscard]] ByteString be16(unsigned value);
[[nodiscard]] ByteString be32(std::uint32_t value);

struct Ipv4Spec {
  sys::Ipv4Address source = sys::make_ipv4(10, 0, 2, 100);
  sys::Ipv4Address destination = sys::make_ipv4(192, 0, 2, 1);
  std::uint8_t protocol = 6;
  std::uint16_t fragment = 0x4000;  // flags and offset as on the wire
  ByteString options{};             // a multiple of 4 bytes
};
[[nodiscard]] ByteString ipv4_packet(const Ipv4Spec& spec, sys::Bytes payload);

struct TcpSpec {
  std::uint16_t source_port = 40000;
  std::uint16_t destination_port = 80;
  std::uint32_t seq = 1000;
  std::uint32_t ack = 0;
  std::uint8_t flags = 0x02;
  std::uint16_t window = 64240;
  ByteString options{};  // a multiple of 4 bytes
  ByteString payload{};
};
// With its checksum between those two addresses.
[[nodiscard]] ByteString tcp_segment(const Ipv4Spec& ip, const TcpSpec& spec);
[[nodiscard]] ByteString udp_datagram(const Ipv4Spec& ip, std::uint16_t source_port,
                                      std::uint16_t destination_port, sys::Bytes payload);
[[nodiscard]] ByteString icmp_message(std::uint8_t type, std::uint8_t code, sys::Bytes rest);

[[nodiscard]] ByteString ethernet_frame(std::uint16_t ether_type, sys::Bytes payload,
                                        const stack::MacAddress& to = stack::kGatewayMac,
                                        const stack::MacAddress& from = kGuestMac);

struct Ipv6Spec {
  sys::IpAddress source = sys::parse_ip("fd00::100").value();
  sys::IpAddress destination = sys::parse_ip("2001:db8::1").value();
  std::uint8_t next_header = 6;
};
// `rest`: all behind the fixed header, extension headers among it.
[[nodiscard]] ByteString ipv6_packet(const Ipv6Spec& spec, sys::Bytes rest);
// The segment, datagram or message with its checksum between those two addresses, which is at `checksum_at`.
[[nodiscard]] ByteString with_checksum(const Ipv6Spec& spec, ByteString segment, std::size_t checksum_at);

// Whole frames, from the guest to the gateway.
[[nodiscard]] ByteString tcp_frame(const TcpSpec& spec, Ipv4Spec ip = {});
[[nodiscard]] ByteString udp_frame(sys::Bytes payload, Ipv4Spec ip = {});
[[nodiscard]] ByteString echo_frame(sys::Bytes payload, Ipv4Spec ip = {});

void overwrite(ByteString& data, std::size_t at, sys::Bytes with);

}  // namespace l4n::test
