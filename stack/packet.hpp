// Wire formats as structs and the pure functions that read and write them: Ethernet II, IPv4 (RFC 791),
// TCP (RFC 9293), UDP (RFC 768), ICMP (RFC 792) and ICMPv6 (RFC 4443). Everything is bounds-checked; numbers
// are host order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "netns/sys/bytes.hpp"
#include "netns/sys/ip_address.hpp"
#include "stack/mac_address.hpp"

namespace l4n::stack {

inline constexpr std::size_t kEthernetHeaderSize = 14;
inline constexpr std::size_t kIpv4HeaderSize = 20;  // without options
inline constexpr std::size_t kIpv6HeaderSize = 40;  // without extension headers
inline constexpr std::size_t kTcpHeaderSize = 20;   // without options
inline constexpr std::size_t kUdpHeaderSize = 8;
inline constexpr std::size_t kIcmpHeaderSize = 8;

inline constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;
inline constexpr std::uint16_t kEtherTypeArp = 0x0806;

inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolIcmp6 = 58;

struct EthernetHeader {
  MacAddress destination{};
  MacAddress source{};
  std::uint16_t ether_type = 0;
};
[[nodiscard]] std::optional<EthernetHeader> decode_ethernet(sys::Bytes frame) noexcept;
void encode_ethernet(sys::MutableBytes out, const EthernetHeader& header) noexcept;

struct Ipv4Header {
  sys::Ipv4Address source;
  sys::Ipv4Address destination;
  std::uint8_t protocol = 0;
  std::uint8_t ttl = 64;
  std::uint8_t tos = 0;
  std::uint16_t id = 0;
  bool dont_fragment = false;
  bool more_fragments = false;
  std::uint16_t fragment_offset = 0;  // bytes
  std::uint16_t header_length = kIpv4HeaderSize;
  std::uint16_t total_length = 0;

  [[nodiscard]] bool is_fragment() const noexcept { return more_fragments || fragment_offset != 0; }
};
// Checks version, header length, total length against what is there, and the header checksum.
[[nodiscard]] std::optional<Ipv4Header> decode_ipv4(sys::Bytes packet) noexcept;
// The same for a packet of which only the beginning is there, as ICMP errors quote it: the whole header must
// be, and total_length tells how long the packet was.
[[nodiscard]] std::optional<Ipv4Header> decode_quoted_ipv4(sys::Bytes packet) noexcept;
// Writes 20 bytes with a correct header checksum. header_length is taken as 20.
void encode_ipv4(sys::MutableBytes out, const Ipv4Header& header) noexcept;

struct TcpFlags {
  static constexpr std::uint8_t kFin = 0x01;
  static constexpr std::uint8_t kSyn = 0x02;
  static constexpr std::uint8_t kRst = 0x04;
  static constexpr std::uint8_t kPsh = 0x08;
  static constexpr std::uint8_t kAck = 0x10;
  static constexpr std::uint8_t kUrg = 0x20;
};

struct TcpHeader {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint32_t seq = 0;
  std::uint32_t ack = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;  // as on the wire, not scaled
  std::uint16_t header_length = kTcpHeaderSize;
  // Options, read from SYN segments only (RFC 9293 3.7.1, RFC 7323 2).
  std::optional<std::uint16_t> mss;
  std::optional<std::uint8_t> window_scale;

  [[nodiscard]] bool has(std::uint8_t flag) const noexcept { return (flags & flag) != 0; }
  // A SYN as it opens a connection: the answer to one, or a reset, does not (RFC 9293 3.10.7.2).
  [[nodiscard]] bool opens() const noexcept {
    return has(TcpFlags::kSyn) && !has(TcpFlags::kAck) && !has(TcpFlags::kRst);
  }
};
// Checks the data offset, and walks the options of a SYN: a malformed option list is refused there. The
// options of other segments are not looked at, for nothing in them is used.
[[nodiscard]] std::optional<TcpHeader> decode_tcp(sys::Bytes segment) noexcept;
// Writes 20 bytes; the options and the checksum (left 0) are the caller's.
void encode_tcp(sys::MutableBytes out, const TcpHeader& header) noexcept;

struct UdpHeader {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint16_t length = 0;    // header and payload
  std::uint16_t checksum = 0;  // 0: the sender made none
};
// The length must be at least 8 and at most what is there; bytes after it are not part of the datagram.
[[nodiscard]] std::optional<UdpHeader> decode_udp(sys::Bytes datagram) noexcept;

struct IcmpType {
  static constexpr std::uint8_t kEchoReply = 0;
  static constexpr std::uint8_t kUnreachable = 3;
  static constexpr std::uint8_t kEchoRequest = 8;
  static constexpr std::uint8_t kTimeExceeded = 11;
  static constexpr std::uint8_t kParameterProblem = 12;
};
// Codes of kUnreachable.
struct IcmpUnreachable {
  static constexpr std::uint8_t kNetwork = 0;
  static constexpr std::uint8_t kHost = 1;
  static constexpr std::uint8_t kPort = 3;
  static constexpr std::uint8_t kFragmentationNeeded = 4;  // and DF set; carries the next-hop MTU (RFC 1191)
  static constexpr std::uint8_t kProhibited = 13;
};
// Codes of kTimeExceeded.
struct IcmpTimeExceeded {
  static constexpr std::uint8_t kTransit = 0;
  static constexpr std::uint8_t kReassembly = 1;
};

struct Icmp6Type {
  static constexpr std::uint8_t kUnreachable = 1;
  static constexpr std::uint8_t kPacketTooBig = 2;  // carries the next-hop MTU
  static constexpr std::uint8_t kTimeExceeded = 3;  // codes as those of ICMP
  static constexpr std::uint8_t kParameterProblem = 4;
  static constexpr std::uint8_t kEchoRequest = 128;
  static constexpr std::uint8_t kEchoReply = 129;
};
// Codes of Icmp6Type::kUnreachable.
struct Icmp6Unreachable {
  static constexpr std::uint8_t kNoRoute = 0;
  static constexpr std::uint8_t kProhibited = 1;
  static constexpr std::uint8_t kBeyondScope = 2;  // of the source address
  static constexpr std::uint8_t kAddress = 3;
  static constexpr std::uint8_t kPort = 4;
};

// Fields of an echo message, which holds at least kIcmpHeaderSize bytes.
[[nodiscard]] std::uint16_t echo_id(sys::Bytes message) noexcept;
[[nodiscard]] std::uint16_t echo_sequence(sys::Bytes message) noexcept;
// Replaces the identifier and corrects the checksum (RFC 1624); a wrong one stays wrong.
void set_echo_id(sys::MutableBytes message, std::uint16_t id) noexcept;

// Whether an ICMP error may be sent about `packet` (from its IP header on, whole or as far as it is there):
// never about an ICMP error, a fragment other than the first, a broadcast or multicast destination, or a
// source that is not one host (RFC 1122 3.2.2). A subnet's own broadcast address is the policy's to know.
[[nodiscard]] bool may_send_icmp_error(sys::Bytes packet) noexcept;

// True when the transport checksum of `segment` (TCP or UDP) verifies.
[[nodiscard]] bool transport_checksum_valid(const sys::IpAddress& source, const sys::IpAddress& destination,
                                            std::uint8_t protocol, sys::Bytes segment) noexcept;

}  // namespace l4n::stack
