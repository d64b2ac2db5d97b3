#include "stack/guest_link.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "stack/checksum.hpp"

namespace l4n::stack {
namespace {

constexpr std::size_t kLinkHeaderSize = VnetHeader::kSize + kEthernetHeaderSize;
constexpr std::size_t kLargestIcmpError = 576;
constexpr std::size_t kLargestIcmp6Error = kIpv6MinimumMtu;  // RFC 4443 2.4 c
// The pieces of one payload: a transport header and the data behind it.
constexpr std::size_t kMostPayloadPieces = 2;

iovec piece(sys::Bytes data) noexcept {
  // writev does not write to what it is given; its interface only cannot say so.
  return {const_cast<std::byte*>(data.data()), data.size()};  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

sys::Bytes bytes_of(const iovec& piece) noexcept {
  return {static_cast<const std::byte*>(piece.iov_base), piece.iov_len};
}

std::size_t size_of(std::span<const iovec> pieces) noexcept {
  std::size_t size = 0;
  for (const iovec& p : pieces) {
    size += p.iov_len;
  }
  return size;
}

// Bytes [at, at + size) of what `pieces` hold, as pieces again. Returns how many.
std::size_t slice(std::span<const iovec> pieces, std::size_t at, std::size_t size,
                  std::span<iovec> out) noexcept {
  std::size_t count = 0;
  for (const iovec& p : pieces) {
    if (at >= p.iov_len) {
      at -= p.iov_len;
      continue;
    }
    const std::size_t n = std::min(size, p.iov_len - at);
    if (n == 0) {
      break;
    }
    out[count++] = {static_cast<std::byte*>(p.iov_base) + at, n};
    size -= n;
    at = 0;
  }
  return count;
}

// The length fields of IPv4 count the header, that of IPv6 does not.
std::size_t largest_payload(const IpHeader& header) noexcept {
  return 65535 - (header.is_v4() ? kIpv4HeaderSize : 0);
}

// The header of a fragment with `size` bytes of payload. IPv6 has an extension header for it (RFC 8200 4.5).
void encode_fragment(sys::MutableBytes out, IpHeader header, std::size_t size) noexcept {
  if (header.is_v4()) {
    encode_ip(out, header, size);
    return;
  }
  const std::uint8_t protocol = header.protocol;
  header.protocol = kProtocolFragment;
  const std::size_t fixed = encode_ip(out, header, size + kIpv6FragmentHeaderSize);
  Ipv6Fragment fragment;
  fragment.offset = header.fragment_offset;
  fragment.more = header.more_fragments;
  fragment.id = header.id;
  fragment.next_header = protocol;
  encode_ipv6_fragment(out.subspan(fixed), fragment);
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

void GuestLink::send_ip(const MacAddress& to, const IpHeader& header, sys::Bytes payload) noexcept {
  const iovec part = piece(payload);
  send_packet(to, header, {&part, 1});
}

void GuestLink::send_icmp(const MacAddress& to, IpHeader header, sys::MutableBytes message) noexcept {
  header.protocol = icmp_protocol(header.source);
  sys::store_be16(&message[2], 0);
  ChecksumAccumulator sum;
  if (!header.is_v4()) {  // RFC 4443 2.3
    sum.add_pseudo_header(header.source, header.destination, kProtocolIcmp6,
                          static_cast<std::uint32_t>(message.size()));
  }
  sum.add(message);
  sys::store_be16(&message[2], sum.finish());
  send_ip(to, header, message);
}

void GuestLink::send_packet(const MacAddress& to, IpHeader header, std::span<const iovec> payload) noexcept {
  const std::size_t size = size_of(payload);
  const std::size_t total = size + ip_header_size(header.source);
  if (size > largest_payload(header) || (total > mtu_ && header.dont_fragment)) {
    ++counters_.lost;
    return;
  }
  header.id = next_id_++;
  if (total > mtu_) {
    send_fragments(to, header, payload, size);
    return;
  }
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): written below
  std::array<std::byte, kIpv6HeaderSize> ip;
  const std::size_t header_size = encode_ip(ip, header, size);
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): written below
  std::array<iovec, kMostPayloadPieces + 1> parts;
  parts[0] = piece(std::span(ip).first(header_size));
  std::copy(payload.begin(), payload.end(), parts.begin() + 1);
  send(to, ip_ether_type(header.source), {}, std::span(parts).first(payload.size() + 1));
}

// RFC 791 3.2, RFC 8200 4.5: all but the last carry a multiple of 8 bytes.
void GuestLink::send_fragments(const MacAddress& to, IpHeader header, std::span<const iovec> payload,
                               std::size_t size) noexcept {
  const std::size_t headers = ip_header_size(header.source) + (header.is_v4() ? 0 : kIpv6FragmentHeaderSize);
  const std::size_t room = (mtu_ - headers) / 8 * 8;
  ++counters_.fragmented;
  for (std::size_t at = 0; at < size; at += room) {
    const std::size_t n = std::min(room, size - at);
    header.fragment_offset = static_cast<std::uint16_t>(at);
    header.more_fragments = at + n < size;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): written below
    std::array<std::byte, kIpv6HeaderSize + kIpv6FragmentHeaderSize> ip;
    encode_fragment(ip, header, n);
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): written below
    std::array<iovec, kMostPayloadPieces + 1> parts;
    parts[0] = piece(std::span(ip).first(headers));
    const std::size_t count = slice(payload, at, n, std::span(parts).subspan(1));
    send(to, ip_ether_type(header.source), {}, std::span(parts).first(count + 1));
  }
}

void GuestLink::send_icmp_error(const MacAddress& to, const sys::IpAddress& source, std::uint8_t type,
                                std::uint8_t code, sys::Bytes original, std::uint32_t second_word,
                                bool also_multicast) noexcept {
  const auto ip = decode_quoted_ip(original);
  if (!ip || ip->is_v4() != source.is_v4() || !may_send_ip_error(original, also_multicast)) {
    return;
  }
  if (clock_ != nullptr && !icmp_errors_.admit(clock_->now())) {
    ++counters_.icmp_errors_limited;
    return;
  }
  ++counters_.icmp_errors;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): written below
  std::array<std::byte, kLargestIcmp6Error> message;
  const std::size_t largest = ip->is_v4() ? kLargestIcmpError : kLargestIcmp6Error;
  const std::size_t room = std::min<std::size_t>(mtu_, largest) - ip_header_size(source) - kIcmpHeaderSize;
  const sys::Bytes quoted = original.first(std::min({room, original.size(), std::size_t{ip->total_length}}));
  sys::ByteWriter w(message);
  w.u8(type);
  w.u8(code);
  w.be16(0);
  w.be32(second_word);
  w.bytes(quoted);

  IpHeader header;
  header.source = source;
  header.destination = ip->source;
  header.tos = ip->is_v4() ? 0xc0 : 0;  // RFC 1812 4.3.2.5: internetwork control
  send_icmp(to, header, std::span(message).first(w.size()));
}

void GuestLink::send_udp(const MacAddress& to, const sys::Endpoint& source, const sys::Endpoint& destination,
                         sys::Bytes payload) noexcept {
  IpHeader header;
  header.source = source.address;
  header.destination = destination.address;
  header.protocol = kProtocolUdp;
  const std::size_t length = payload.size() + kUdpHeaderSize;
  if (length > largest_payload(header)) {
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

  const std::array<iovec, kMostPayloadPieces> parts{piece(udp), piece(payload)};
  send_packet(to, header, parts);
}

void GuestLink::send_udp_batch(const MacAddress& to, const sys::Endpoint& source,
                               const sys::Endpoint& destination, sys::Bytes payload,
                               std::size_t segment_size) noexcept {
  const iovec part = piece(payload);
  send_udp_batch(to, source, destination, {&part, 1}, segment_size);
}

void GuestLink::send_udp_batch(const MacAddress& to, const sys::Endpoint& source,
                               const sys::Endpoint& destination, std::span<const iovec> parts,
                               std::size_t segment_size) noexcept {
  IpHeader ip;
  ip.source = source.address;
  ip.destination = destination.address;
  ip.protocol = kProtocolUdp;
  ip.id = next_id_;
  const std::size_t ip_size = ip_header_size(source.address);
  const std::size_t size = size_of(parts);
  const bool one = size <= segment_size;
  const bool too_long =
      segment_size + ip_size + kUdpHeaderSize > mtu_ || size + kUdpHeaderSize > largest_payload(ip);
  if (one || !port_.cuts_udp() || too_long) {
    for (const iovec& part : parts) {
      send_udp_one_by_one(to, source, destination, bytes_of(part), segment_size);
    }
    return;
  }
  const auto length = static_cast<std::uint16_t>(size + kUdpHeaderSize);
  next_id_ += static_cast<std::uint32_t>(size / segment_size + 1);  // one for each datagram
  std::array<std::byte, kIpv6HeaderSize + kUdpHeaderSize> headers{};
  encode_ip(headers, ip, length);
  ChecksumAccumulator sum;
  sum.add_pseudo_header(source.address, destination.address, kProtocolUdp, length);
  sys::ByteWriter udp(sys::MutableBytes(headers).subspan(ip_size));
  udp.be16(source.port);
  udp.be16(destination.port);
  udp.be16(length);
  udp.be16(sum.partial());

  VnetHeader vnet;
  vnet.flags = VnetHeader::kNeedsChecksum;
  vnet.gso_type = VnetHeader::kGsoUdpL4;
  vnet.gso_size = static_cast<std::uint16_t>(segment_size);
  vnet.header_length = static_cast<std::uint16_t>(ip_size + kUdpHeaderSize);
  vnet.checksum_start = static_cast<std::uint16_t>(ip_size);
  vnet.checksum_offset = 6;
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): written below
  std::array<iovec, kMaxParts> pieces;
  pieces[0] = piece(std::span(headers).first(ip_size + kUdpHeaderSize));
  std::copy(parts.begin(), parts.end(), pieces.begin() + 1);
  send(to, ip_ether_type(source.address), vnet, std::span(pieces).first(parts.size() + 1));
}

// At least one, which may be empty.
void GuestLink::send_udp_one_by_one(const MacAddress& to, const sys::Endpoint& source,
                                    const sys::Endpoint& destination, sys::Bytes payload,
                                    std::size_t segment_size) noexcept {
  do {
    const std::size_t size = std::min(segment_size, payload.size());
    send_udp(to, source, destination, payload.first(size));
    payload = payload.subspan(size);
  } while (!payload.empty());
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

  IpHeader ip;
  ip.source = source.address;
  ip.destination = destination.address;
  ip.protocol = kProtocolTcp;
  ip.dont_fragment = true;
  send_ip(to, ip, segment);
}

}  // namespace l4n::stack
