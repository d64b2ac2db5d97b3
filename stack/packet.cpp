#include "stack/packet.hpp"

#include <algorithm>

#include "stack/checksum.hpp"

namespace l4n::stack {
namespace {

constexpr std::uint16_t kDontFragment = 0x4000;
constexpr std::uint16_t kMoreFragments = 0x2000;
constexpr std::uint16_t kOffsetMask = 0x1fff;

MacAddress load_mac(const std::byte* p) noexcept {
  MacAddress mac;
  std::memcpy(mac.data(), p, mac.size());
  return mac;
}

// The options of a SYN. False when the list is malformed.
bool read_syn_options(sys::Bytes options, TcpHeader& header) noexcept {
  constexpr std::uint8_t kEnd = 0;
  constexpr std::uint8_t kNop = 1;
  constexpr std::uint8_t kMss = 2;
  constexpr std::uint8_t kWindowScale = 3;
  sys::ByteReader reader(options);
  while (reader.left() > 0) {
    const std::uint8_t kind = reader.u8();
    if (kind == kEnd) {
      return true;
    }
    if (kind == kNop) {
      continue;
    }
    const std::uint8_t length = reader.u8();
    if (reader.failed() || length < 2 || length - 2U > reader.left()) {
      return false;
    }
    sys::ByteReader value(reader.bytes(length - 2U));
    if (kind == kMss && length == 4) {
      header.mss = value.be16();
    } else if (kind == kWindowScale && length == 3) {
      header.window_scale = std::min<std::uint8_t>(value.u8(), 14);  // RFC 7323 2.3
    }
  }
  return true;
}

// 224/4 and 240/4, the limited broadcast among them.
bool is_multicast_or_reserved(sys::Ipv4Address a) noexcept { return a.value >> 29U == 7; }

// Not 0/8, loopback, multicast, reserved or broadcast.
bool is_one_host(sys::Ipv4Address a) noexcept {
  const std::uint32_t first = a.value >> 24U;
  return first != 0 && first != 127 && !is_multicast_or_reserved(a);
}

// Types that ask for something, and their replies. A type that nobody has heard of may be an error.
bool is_icmp_query(std::uint8_t type) noexcept {
  constexpr std::uint8_t kRouterAdvertisement = 9;
  constexpr std::uint8_t kRouterSolicitation = 10;
  constexpr std::uint8_t kTimestamp = 13;
  constexpr std::uint8_t kAddressMaskReply = 18;
  return type == IcmpType::kEchoReply || type == IcmpType::kEchoRequest || type == kRouterAdvertisement ||
         type == kRouterSolicitation || (type >= kTimestamp && type <= kAddressMaskReply);
}

}  // namespace

std::optional<EthernetHeader> decode_ethernet(sys::Bytes frame) noexcept {
  if (frame.size() < kEthernetHeaderSize) {
    return std::nullopt;
  }
  return EthernetHeader{load_mac(&frame[0]), load_mac(&frame[6]), sys::load_be16(&frame[12])};
}

void encode_ethernet(sys::MutableBytes out, const EthernetHeader& header) noexcept {
  std::memcpy(&out[0], header.destination.data(), header.destination.size());
  std::memcpy(&out[6], header.source.data(), header.source.size());
  sys::store_be16(&out[12], header.ether_type);
}

std::optional<Ipv4Header> decode_ipv4(sys::Bytes packet) noexcept {
  const auto header = decode_quoted_ipv4(packet);
  return header && header->total_length <= packet.size() ? header : std::nullopt;
}

std::optional<Ipv4Header> decode_quoted_ipv4(sys::Bytes packet) noexcept {
  if (packet.size() < kIpv4HeaderSize || sys::load_u8(&packet[0]) >> 4U != 4) {
    return std::nullopt;
  }
  Ipv4Header h;
  h.header_length = static_cast<std::uint16_t>((sys::load_u8(&packet[0]) & 0x0fU) * 4U);
  h.total_length = sys::load_be16(&packet[2]);
  if (h.header_length < kIpv4HeaderSize || h.header_length > packet.size() ||
      h.total_length < h.header_length) {
    return std::nullopt;
  }
  if (internet_checksum(packet.first(h.header_length)) != 0) {
    return std::nullopt;
  }
  const std::uint16_t fragment = sys::load_be16(&packet[6]);
  h.tos = sys::load_u8(&packet[1]);
  h.id = sys::load_be16(&packet[4]);
  h.dont_fragment = (fragment & kDontFragment) != 0;
  h.more_fragments = (fragment & kMoreFragments) != 0;
  h.fragment_offset = static_cast<std::uint16_t>((fragment & kOffsetMask) * 8U);
  h.ttl = sys::load_u8(&packet[8]);
  h.protocol = sys::load_u8(&packet[9]);
  h.source = {sys::load_be32(&packet[12])};
  h.destination = {sys::load_be32(&packet[16])};
  return h;
}

void encode_ipv4(sys::MutableBytes out, const Ipv4Header& h) noexcept {
  const auto flags =
      static_cast<std::uint16_t>((h.dont_fragment ? kDontFragment : 0U) |
                                 (h.more_fragments ? kMoreFragments : 0U) | (h.fragment_offset / 8U));
  sys::ByteWriter w(out);
  w.u8(0x45);
  w.u8(h.tos);
  w.be16(h.total_length);
  w.be16(h.id);
  w.be16(flags);
  w.u8(h.ttl);
  w.u8(h.protocol);
  w.be16(0);
  w.be32(h.source.value);
  w.be32(h.destination.value);
  sys::store_be16(&out[10], internet_checksum(out.first(kIpv4HeaderSize)));
}

std::optional<TcpHeader> decode_tcp(sys::Bytes segment) noexcept {
  if (segment.size() < kTcpHeaderSize) {
    return std::nullopt;
  }
  TcpHeader h;
  h.header_length = static_cast<std::uint16_t>((sys::load_u8(&segment[12]) >> 4U) * 4U);
  if (h.header_length < kTcpHeaderSize || h.header_length > segment.size()) {
    return std::nullopt;
  }
  h.source_port = sys::load_be16(&segment[0]);
  h.destination_port = sys::load_be16(&segment[2]);
  h.seq = sys::load_be32(&segment[4]);
  h.ack = sys::load_be32(&segment[8]);
  h.flags = sys::load_u8(&segment[13]);
  h.window = sys::load_be16(&segment[14]);
  if (h.has(TcpFlags::kSyn) &&
      !read_syn_options(segment.subspan(kTcpHeaderSize, h.header_length - kTcpHeaderSize), h)) {
    return std::nullopt;
  }
  return h;
}

void encode_tcp(sys::MutableBytes out, const TcpHeader& h) noexcept {
  sys::ByteWriter w(out);
  w.be16(h.source_port);
  w.be16(h.destination_port);
  w.be32(h.seq);
  w.be32(h.ack);
  w.u8(static_cast<std::uint8_t>(h.header_length / 4U << 4U));
  w.u8(h.flags);
  w.be16(h.window);
  w.be16(0);  // checksum
  w.be16(0);  // urgent pointer
}

std::optional<UdpHeader> decode_udp(sys::Bytes datagram) noexcept {
  if (datagram.size() < kUdpHeaderSize) {
    return std::nullopt;
  }
  const UdpHeader h{sys::load_be16(&datagram[0]), sys::load_be16(&datagram[2]), sys::load_be16(&datagram[4]),
                    sys::load_be16(&datagram[6])};
  if (h.length < kUdpHeaderSize || h.length > datagram.size()) {
    return std::nullopt;
  }
  return h;
}

std::uint16_t echo_id(sys::Bytes message) noexcept { return sys::load_be16(&message[4]); }

std::uint16_t echo_sequence(sys::Bytes message) noexcept { return sys::load_be16(&message[6]); }

void set_echo_id(sys::MutableBytes message, std::uint16_t id) noexcept {
  std::uint32_t sum = 0xffffU - sys::load_be16(&message[2]);
  sum += 0xffffU - echo_id(message);
  sum += id;
  sum = (sum & 0xffffU) + (sum >> 16U);
  sum = (sum & 0xffffU) + (sum >> 16U);
  sys::store_be16(&message[2], static_cast<std::uint16_t>(~sum));
  sys::store_be16(&message[4], id);
}

bool may_send_icmp_error(sys::Bytes packet) noexcept {
  const auto ip = decode_quoted_ipv4(packet);
  if (!ip || ip->fragment_offset != 0 || !is_one_host(ip->source) ||
      is_multicast_or_reserved(ip->destination)) {
    return false;
  }
  if (ip->protocol != kProtocolIcmp) {
    return true;
  }
  return packet.size() > ip->header_length && is_icmp_query(sys::load_u8(&packet[ip->header_length]));
}

bool transport_checksum_valid(const sys::IpAddress& source, const sys::IpAddress& destination,
                              std::uint8_t protocol, sys::Bytes segment) noexcept {
  ChecksumAccumulator sum;
  sum.add_pseudo_header(source, destination, protocol, static_cast<std::uint32_t>(segment.size()));
  sum.add(segment);
  return sum.finish() == 0;
}

}  // namespace l4n::stack
