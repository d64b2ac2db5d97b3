// Packets as the tests see them: built and taken apart by code of their own, so that an error in the codecs
// of stack/ cannot hide by being made twice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "netns/sys/bytes.hpp"
#include "netns/sys/ip_address.hpp"
#include "stack/mac_address.hpp"
#include "stack/packet.hpp"
#include "stack/vnet_header.hpp"

namespace l4n::integration {

using Data = std::vector<std::byte>;
using Flags = stack::TcpFlags;

inline constexpr stack::MacAddress kGuestMac{0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

[[nodiscard]] Data bytes_of(std::string_view text);
// The same bytes for the same seed, on every machine.
[[nodiscard]] Data random_data(std::size_t size, std::uint32_t seed);
void append(Data& to, sys::Bytes more);
// Several datagrams in one: pieces of `size` bytes, the last may be shorter. 0: it is one datagram.
[[nodiscard]] std::vector<Data> cut(sys::Bytes data, std::size_t size);

// One's-complement sum of the data (RFC 1071), not inverted, added to `sum`. Odd lengths are padded.
[[nodiscard]] std::uint16_t ones_sum(sys::Bytes data, std::uint32_t sum = 0) noexcept;
// That of the pseudo-header.
[[nodiscard]] std::uint16_t pseudo_sum(const sys::IpAddress& source, const sys::IpAddress& destination,
                                       std::uint8_t protocol, std::size_t length) noexcept;

struct TcpSegment {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint32_t seq = 0;
  std::uint32_t ack = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;  // as on the wire
  Data options;
  Data payload;

  [[nodiscard]] bool has(std::uint8_t flag) const noexcept { return (flags & flag) != 0; }
  // The value of an option (without kind and length), or nothing.
  [[nodiscard]] std::optional<Data> option(std::uint8_t kind) const;
  [[nodiscard]] std::optional<std::uint16_t> mss() const;
  [[nodiscard]] std::optional<std::uint8_t> window_scale() const;
  // Sequence numbers that it takes.
  [[nodiscard]] std::uint32_t length() const noexcept {
    return static_cast<std::uint32_t>(payload.size()) + (has(Flags::kSyn) ? 1U : 0U) +
           (has(Flags::kFin) ? 1U : 0U);
  }
};

struct UdpDatagram {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  Data payload;
};

struct IcmpMessage {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  Data rest;  // from the fifth octet on
  // What an ICMP error quotes: the original packet from its IP header on.
  [[nodiscard]] Data quoted() const;
};

// A frame taken apart. Exactly one of the optional members is set, or none for what is not understood and for
// fragments.
struct Packet {
  stack::VnetHeader vnet;
  stack::MacAddress destination_mac{};
  stack::MacAddress source_mac{};
  std::uint16_t ether_type = 0;
  sys::IpAddress source;
  sys::IpAddress destination;
  std::uint8_t protocol = 0;
  std::uint8_t ttl = 0;  // hop limit
  std::uint8_t tos = 0;  // traffic class
  std::uint32_t id = 0;
  bool dont_fragment = false;
  bool more_fragments = false;
  std::size_t fragment_offset = 0;  // bytes
  std::size_t ip_size = 0;
  std::size_t pieces = 1;  // fragments in which the packet came
  std::optional<TcpSegment> tcp;
  std::optional<UdpDatagram> udp;
  std::optional<IcmpMessage> icmp;
  Data arp;
  Data payload;  // of a fragment

  [[nodiscard]] bool is_fragment() const noexcept { return more_fragments || fragment_offset > 0; }
  // Without options and extension headers.
  [[nodiscard]] std::size_t ip_header() const noexcept { return source.is_v4() ? 20 : 40; }
  [[nodiscard]] std::string text() const;
};

// Builders: frames from their Ethernet header on, packets from their IP header on, with correct lengths and
// checksums.
[[nodiscard]] Data ethernet_frame(std::uint16_t ether_type, sys::Bytes payload,
                                  const stack::MacAddress& source = kGuestMac,
                                  const stack::MacAddress& destination = stack::kGatewayMac);
// Of an IP packet, whichever its version.
[[nodiscard]] Data ip_frame(sys::Bytes packet, const stack::MacAddress& source = kGuestMac,
                            const stack::MacAddress& destination = stack::kGatewayMac);
// IPv6 has neither an id nor the flag.
struct IpFields {
  std::uint8_t ttl = 64;
  std::uint8_t tos = 0;
  std::uint16_t id = 0;
  bool dont_fragment = false;
};
// Both addresses are of one family, in all of these.
[[nodiscard]] Data ip_packet(const sys::IpAddress& source, const sys::IpAddress& destination,
                             std::uint8_t protocol, sys::Bytes payload, const IpFields& fields = {});
// `partial`: the checksum field holds the pseudo-header sum only.
[[nodiscard]] Data tcp_packet(const sys::IpAddress& source, const sys::IpAddress& destination,
                              const TcpSegment& segment, bool partial);
// What goes before a frame whose checksum is left to the receiver: behind `ip_header` bytes of IP header,
// that many bytes into the transport's.
[[nodiscard]] stack::VnetHeader partial_checksum(std::size_t ip_header, std::uint16_t offset);
[[nodiscard]] Data udp_packet(const sys::IpAddress& source, const sys::IpAddress& destination,
                              const UdpDatagram& datagram, const IpFields& fields = {});
[[nodiscard]] Data icmp_packet(const sys::IpAddress& source, const sys::IpAddress& destination,
                               const IcmpMessage& message, const IpFields& fields = {});
[[nodiscard]] IcmpMessage echo_request(std::uint16_t id, std::uint16_t sequence, sys::Bytes data);
[[nodiscard]] Data arp_packet(std::uint16_t operation, sys::Ipv4Address sender, sys::Ipv4Address target,
                              const stack::MacAddress& sender_mac = kGuestMac);
[[nodiscard]] Data mss_option(std::uint16_t mss);
[[nodiscard]] Data window_scale_option(std::uint8_t shift);

// Takes a frame apart; `frame` begins at the Ethernet header. Lengths that do not fit give nothing.
[[nodiscard]] std::optional<Packet> parse_frame(const stack::VnetHeader& vnet, sys::Bytes frame);

struct LinkRules {
  bool vnet = true;
  unsigned mtu = 1500;
  std::uint16_t mss = 0;  // of the guest's end of this connection, 0: not known
  bool cuts_udp = false;  // the guest's kernel cuts several datagrams that come as one
};
// What is wrong with a frame that was sent to the guest; empty when it is in order. Checks the header and
// transport checksums (full, or partial where the virtio header says so), every length, and that a
// super-segment is marked as one exactly when it is larger than the guest's MSS. The transport checksum of a
// packet in fragments can be checked only once it is whole (FragmentCollector).
[[nodiscard]] std::string find_fault(const stack::VnetHeader& vnet, sys::Bytes frame, const LinkRules& rules);

}  // namespace l4n::integration
