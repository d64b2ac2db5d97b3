#include "stack/guest_link.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "stack/checksum.hpp"

namespace l4n::stack {
namespace {

constexpr std::size_t kLinkHeaderSize = VnetHeader::kSize + kEthernetHeaderSize;
constexpr std::size_t kLargestIcmpError = 576;

iovec piece(sys::Bytes data) noexcept {
  // writev does not write to what it is given; its interface only cannot say so.
  return {const_cast<std::byte*>(data.data()), data.size()};  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

}  // namespace

void GuestLink::send(const MacAddress& to, std::uint16_t ether_type, VnetHeader vnet,
                     std::span<const iovec> packet) noexcept {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): written below
  std::array<std::byte, kLinkHeaderSize> header;
  if (vnet.flags != 0 || vnet.gso_type != VnetHeader::kGsoNone) {
    vnet.checksum_start = static_cast<std::uint16_t>(vnet.checksum_start + kEthernetHeaderSize);
    vnet.header_length = static_cast<std::uint16_t>(vnet.header_length + kEthernetHeaderSize);
  }
  vnet.encode(std::span(header).first<VnetHeader::kSize>());
  encode_ethernet(std::span(header).subspan<VnetHeader::kSize>(), {to, kGatewayMac, ether_type});

  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): written below
  std::array<iovec, kMaxParts + 1> parts;
  const std::size_t count = std::min(packet.size(), kMaxParts);
  parts[0] = {header.data(), header.size()};
  std::copy_n(packet.begin(), count, parts.begin() + 1);
  const sys::IoResult result = port_.write(std::span(parts).first(count + 1));
  if (result.status == sys::IoStatus::done) {
    ++counters_.frames;
    counters_.bytes += result.bytes;
  } else {
    ++counters_.lost;
  }
}

void GuestLink::send_arp(const MacAddress& to, const ArpPacket& arp) noexcept {
  std::array<std::byte, kArpPacketSize> packet{};
  encode_arp(packet, arp);
  const iovec part = piece(packet);
  send(to, kEtherTypeArp, {}, {&part, 1});
}

void GuestLink::send_ipv4(const MacAddress& to, Ipv4Header header, sys::Bytes payload) noexcept {
  if (payload.size() + kIpv4HeaderSize > mtu_) {
    ++counters_.lost;
    return;
  }
  header.total_length = static_cast<std::uint16_t>(payload.size() + kIpv4HeaderSize);
  header.id = next_id_++;
  std::array<std::byte, kIpv4HeaderSize> ip{};
  encode_ipv4(ip, header);
  const std::array<iovec, 2> parts{piece(ip), piece(payload)};
  send(to, kEtherTypeIpv4, {}, parts);
}

void GuestLink::send_icmp_error(const MacAddress& to, sys::Ipv4Address source, std::uint8_t type,
                                std::uint8_t code, sys::Bytes original) noexcept {
  const auto ip = decode_ipv4(original);
  if (!ip) {
    return;
  }
  std::array<std::byte, kLargestIcmpError> message{};
  const std::size_t room = std::min<std::size_t>(mtu_, kLargestIcmpError) - kIpv4HeaderSize - kIcmpHeaderSize;
  const sys::Bytes quoted = original.first(std::min(room, original.size()));
  sys::ByteWriter w(message);
  w.u8(type);
  w.u8(code);
  w.be16(0);
  w.be32(0);
  w.bytes(quoted);
  const auto used = std::span(message).first(w.size());
  sys::store_be16(&message[2], internet_checksum(used));

  Ipv4Header header;
  header.source = source;
  header.destination = ip->source;
  header.protocol = kProtocolIcmp;
  header.tos = 0xc0;  // RFC 1812 4.3.2.5: internetwork control
  send_ipv4(to, header, used);
}

void GuestLink::send_udp(const MacAddress& to, const sys::Endpoint& source, const sys::Endpoint& destination,
                         sys::Bytes payload) noexcept {
  const std::size_t length = payload.size() + kUdpHeaderSize;
  if (length + kIpv4HeaderSize > mtu_) {
    ++counters_.lost;
    return;
  }
  std::array<std::byte, kUdpHeaderSize> udp{};
  sys::ByteWriter w(udp);
  w.be16(source.port);
  w.be16(destination.port);
  w.be16(static_cast<std::uint16_t>(length));
  w.be16(0);
  ChecksumAccumulator sum;
  sum.add_pseudo_header(source.address, destination.address, kProtocolUdp,
                        static_cast<std::uint32_t>(length));
  sum.add(udp);
  sum.add(payload);
  const std::uint16_t checksum = sum.finish();
  sys::store_be16(&udp[6], checksum == 0 ? std::uint16_t{0xffff} : checksum);  // RFC 768: 0 means none

  Ipv4Header header;
  header.source = source.address.v4();
  header.destination = destination.address.v4();
  header.protocol = kProtocolUdp;
  header.total_length = static_cast<std::uint16_t>(length + kIpv4HeaderSize);
  header.id = next_id_++;
  std::array<std::byte, kIpv4HeaderSize> ip{};
  encode_ipv4(ip, header);
  const std::array<iovec, 3> parts{piece(ip), piece(udp), piece(payload)};
  send(to, kEtherTypeIpv4, {}, parts);
}

void GuestLink::send_tcp_reset(const MacAddress& to, const sys::Endpoint& source,
                               const sys::Endpoint& destination, const TcpHeader& offending,
                               std::size_t offending_payload) noexcept {
  if (offending.has(TcpFlags::kRst)) {
    return;
  }
  TcpHeader reset;
  reset.flags = TcpFlags::kRst;
  if (offending.has(TcpFlags::kAck)) {
    reset.seq = offending.ack;
  } else {
    const std::uint32_t control =
        (offending.has(TcpFlags::kSyn) ? 1U : 0U) + (offending.has(TcpFlags::kFin) ? 1U : 0U);
    reset.ack = offending.seq + static_cast<std::uint32_t>(offending_payload) + control;
    reset.flags |= TcpFlags::kAck;
  }
  send_tcp(to, source, destination, reset);
}

void GuestLink::send_tcp_ack(const MacAddress& to, const sys::Endpoint& source,
                             const sys::Endpoint& destination, std::uint32_t seq,
                             std::uint32_t ack) noexcept {
  TcpHeader header;
  header.seq = seq;
  header.ack = ack;
  header.flags = TcpFlags::kAck;
  send_tcp(to, source, destination, header);
}

void GuestLink::send_tcp(const MacAddress& to, const sys::Endpoint& source, const sys::Endpoint& destination,
                         TcpHeader header) noexcept {
  header.source_port = source.port;
  header.destination_port = destination.port;
  std::array<std::byte, kTcpHeaderSize> segment{};
  encode_tcp(segment, header);
  ChecksumAccumulator sum;
  sum.add_pseudo_header(source.address, destination.address, kProtocolTcp, kTcpHeaderSize);
  sum.add(segment);
  sys::store_be16(&segment[16], sum.finish());

  Ipv4Header ip;
  ip.source = source.address.v4();
  ip.destination = destination.address.v4();
  ip.protocol = kProtocolTcp;
  ip.dont_fragment = true;
  send_ipv4(to, ip, segment);
}

}  // namespace l4n::stack
