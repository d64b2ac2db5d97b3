#include "stack/ingress.hpp"

#include "stack/checksum.hpp"

namespace l4n::stack {
namespace {

Ingress tcp_segment(const VnetHeader& vnet, const IpPacket& ip, sys::MutableBytes segment) noexcept {
  const auto tcp = decode_tcp(segment);
  if (!tcp) {
    return Dropped{DropReason::bad_transport_header};
  }
  if (!vnet.checksum_trusted() &&
      !transport_checksum_valid(ip.ip.source, ip.ip.destination, kProtocolTcp, segment)) {
    return Dropped{DropReason::bad_checksum};
  }
  const FlowKey key({ip.ip.source, tcp->source_port}, {ip.ip.destination, tcp->destination_port});
  return TcpSegment{ip, *tcp, key, segment};
}

Ingress udp_datagram(const VnetHeader& vnet, const IpPacket& ip) noexcept {
  const auto udp = decode_udp(ip.payload());
  if (!udp) {
    return Dropped{DropReason::bad_transport_header};
  }
  const sys::Bytes datagram = ip.payload().first(udp->length);
  if (udp->checksum != 0 && !vnet.checksum_trusted() &&
      !transport_checksum_valid(ip.ip.source, ip.ip.destination, kProtocolUdp, datagram)) {
    return Dropped{DropReason::bad_checksum};
  }
  const bool several = vnet.gso_type == VnetHeader::kGsoUdpL4;
  return UdpDatagram{ip, *udp, datagram.subspan(kUdpHeaderSize), several ? vnet.gso_size : std::uint16_t{0}};
}

Ingress icmp_message(const IpPacket& ip) noexcept {
  const sys::Bytes message = ip.payload();
  if (message.size() < kIcmpHeaderSize) {
    return Dropped{DropReason::bad_transport_header};
  }
  if (internet_checksum(message) != 0) {
    return Dropped{DropReason::bad_checksum};
  }
  return IcmpMessage{ip, sys::load_u8(&message[0]), sys::load_u8(&message[1]), message};
}

Ingress ip_fragment(const IpPacket& ip) noexcept {
  switch (ip.ip.protocol) {
    case kProtocolTcp:
    case kProtocolUdp:
    case kProtocolIcmp:
      return IpFragment{ip};
    default:
      return Dropped{DropReason::unknown_protocol};
  }
}

Ingress ipv4_packet(const VnetHeader& vnet, const EthernetHeader& ethernet,
                    sys::MutableBytes packet) noexcept {
  const auto ip = decode_ipv4(packet);
  if (!ip) {
    return Dropped{DropReason::bad_ip_header};
  }
  const IpPacket common{ethernet.source, to_ip_header(*ip), packet.first(ip->total_length),
                        is_multicast(ethernet.destination)};
  if (ip->is_fragment()) {
    return ip_fragment(common);
  }
  switch (ip->protocol) {
    case kProtocolTcp:
      return tcp_segment(vnet, common, packet.first(ip->total_length).subspan(ip->header_length));
    case kProtocolUdp:
      return udp_datagram(vnet, common);
    case kProtocolIcmp:
      return icmp_message(common);
    default:
      return Dropped{DropReason::unknown_protocol};
  }
}

}  // namespace

const char* to_string(DropReason reason) noexcept {
  switch (reason) {
    case DropReason::short_frame:
      return "short frame";
    case DropReason::bad_source_mac:
      return "multicast source address";
    case DropReason::not_for_us:
      return "frame for another station";
    case DropReason::unknown_type:
      return "unknown Ethernet type";
    case DropReason::bad_arp:
      return "malformed ARP packet";
    case DropReason::bad_ip_header:
      return "malformed IP header";
    case DropReason::bad_transport_header:
      return "malformed transport header";
    case DropReason::bad_checksum:
      return "bad checksum";
    case DropReason::unknown_protocol:
      return "unknown IP protocol";
    case DropReason::group_frame:
      return "broadcast frame with a packet for one host";
    case DropReason::count:
      break;
  }
  return "?";
}

Ingress classify(const VnetHeader& vnet, sys::MutableBytes frame) noexcept {
  const auto ethernet = decode_ethernet(frame);
  if (!ethernet) {
    return Dropped{DropReason::short_frame};
  }
  if (is_multicast(ethernet->source)) {
    return Dropped{DropReason::bad_source_mac};
  }
  if (!is_multicast(ethernet->destination) && ethernet->destination != kGatewayMac) {
    return Dropped{DropReason::not_for_us};
  }
  const sys::MutableBytes packet = frame.subspan(kEthernetHeaderSize);
  switch (ethernet->ether_type) {
    case kEtherTypeArp:
      return ArpFrame{ethernet->source, packet};
    case kEtherTypeIpv4:
      return ipv4_packet(vnet, *ethernet, packet);
    default:
      return Dropped{DropReason::unknown_type};
  }
}

const IpPacket* ip_packet(const Ingress& ingress) noexcept {
  if (const auto* segment = std::get_if<TcpSegment>(&ingress)) {
    return &segment->packet;
  }
  if (const auto* datagram = std::get_if<UdpDatagram>(&ingress)) {
    return &datagram->packet;
  }
  if (const auto* message = std::get_if<IcmpMessage>(&ingress)) {
    return &message->packet;
  }
  const auto* fragment = std::get_if<IpFragment>(&ingress);
  return fragment == nullptr ? nullptr : &fragment->packet;
}

}  // namespace l4n::stack
