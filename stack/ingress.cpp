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
  const bool may_lack = ip.ip.is_v4() && udp->checksum == 0;  // not with IPv6 (RFC 8200 8.1)
  if (!may_lack && !vnet.checksum_trusted() &&
      !transport_checksum_valid(ip.ip.source, ip.ip.destination, kProtocolUdp, datagram)) {
    return Dropped{DropReason::bad_checksum};
  }
  const bool several = vnet.gso_type == VnetHeader::kGsoUdpL4;
  return UdpDatagram{ip, *udp, datagram.subspan(kUdpHeaderSize), several ? vnet.gso_size : std::uint16_t{0}};
}

bool icmp_checksum_valid(const IpHeader& ip, sys::Bytes message) noexcept {
  return ip.is_v4() ? internet_checksum(message) == 0
                    : transport_checksum_valid(ip.source, ip.destination, kProtocolIcmp6, message);
}

Ingress icmp_message(const IpPacket& ip) noexcept {
  const sys::Bytes message = ip.payload();
  if (message.size() < kIcmpHeaderSize) {
    return Dropped{DropReason::bad_transport_header};
  }
  if (!icmp_checksum_valid(ip.ip, message)) {
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

// A whole packet, by what is behind its IP headers.
Ingress transport(const VnetHeader& vnet, const IpPacket& ip, sys::MutableBytes packet) noexcept {
  if (ip.ip.protocol == kProtocolTcp) {
    return tcp_segment(vnet, ip, packet.subspan(ip.ip.header_length));
  }
  if (ip.ip.protocol == kProtocolUdp) {
    return udp_datagram(vnet, ip);
  }
  if (ip.ip.protocol == icmp_protocol(ip.ip.source)) {
    return icmp_message(ip);
  }
  return Dropped{DropReason::unknown_protocol};
}

Ingress ipv4_packet(const VnetHeader& vnet, const EthernetHeader& ethernet,
                    sys::MutableBytes packet) noexcept {
  const auto ip = decode_ipv4(packet);
  if (!ip) {
    return Dropped{DropReason::bad_ip_header};
  }
  const sys::MutableBytes whole = packet.first(ip->total_length);
  const IpPacket common{ethernet.source, to_ip_header(*ip), whole, is_multicast(ethernet.destination)};
  return ip->is_fragment() ? ip_fragment(common) : transport(vnet, common, whole);
}

Ingress ipv6_packet(const VnetHeader& vnet, const EthernetHeader& ethernet,
                    sys::MutableBytes packet) noexcept {
  const DecodedIpv6 decoded = decode_ipv6(packet);
  if (const auto* refusal = std::get_if<Ipv6Refusal>(&decoded)) {
    return Dropped{*refusal == Ipv6Refusal::malformed ? DropReason::bad_ip_header : DropReason::ip_option};
  }
  const bool to_group = is_multicast(ethernet.destination);
  if (const auto* problem = std::get_if<Ipv6ParameterProblem>(&decoded)) {
    const auto ip = decode_quoted_ip(packet);
    return ip ? Ingress(IpProblem{{ethernet.source, *ip, packet.first(ip->total_length), to_group}, *problem})
              : Ingress(Dropped{DropReason::bad_ip_header});
  }
  const auto& ip = std::get<Ipv6Headers>(decoded);
  const sys::MutableBytes whole = packet.first(ip.total_length);
  const IpPacket common{ethernet.source, to_ip_header(ip), whole, to_group};
  if (ip.fragment) {
    return IpFragment{common};
  }
  return transport(vnet, common, whole);
}

// `Packet`: const where `Variant` is.
template <class Packet, class Variant>
Packet* packet_in(Variant& ingress) noexcept {
  return std::visit(
      [](auto& what) -> Packet* {
        if constexpr (requires { what.packet.ip; }) {
          return &what.packet;
        } else {
          return nullptr;
        }
      },
      ingress);
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
    case DropReason::ip_option:
      return "IPv6 option that wants to be dropped";
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
    case kEtherTypeIpv6:
      return ipv6_packet(vnet, *ethernet, packet);
    default:
      return Dropped{DropReason::unknown_type};
  }
}

const IpPacket* ip_packet(const Ingress& ingress) noexcept { return packet_in<const IpPacket>(ingress); }

IpPacket* ip_packet(Ingress& ingress) noexcept { return packet_in<IpPacket>(ingress); }

}  // namespace l4n::stack
