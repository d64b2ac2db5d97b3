// The front end: what a frame from the guest is, once everything about it that can be checked without
// knowing a flow has been checked. lwIP and the NAT see only frames that came through here.
#pragma once

#include <array>
#include <cstdint>
#include <variant>

#include "netns/sys/bytes.hpp"
#include "stack/flow_key.hpp"
#include "stack/ip_header.hpp"
#include "stack/packet.hpp"
#include "stack/vnet_header.hpp"

namespace l4n::stack {

enum class DropReason : std::uint8_t {
  short_frame,
  bad_source_mac,  // multicast source
  not_for_us,      // unicast to another station
  unknown_type,    // neither ARP nor IP
  bad_arp,
  bad_ip_header,
  bad_transport_header,
  bad_checksum,
  unknown_protocol,
  group_frame,  // a broadcast or multicast frame that carries a packet for one host
  ip_option,    // an unknown IPv6 option that wants the packet dropped (RFC 8200 4.2)
  count,
};
[[nodiscard]] const char* to_string(DropReason reason) noexcept;

struct Dropped {
  DropReason reason;
};

struct ArpFrame {
  MacAddress source_mac;
  sys::Bytes packet;
};

// What all IP packets have in common. `packet` begins at the IP header and ends at its total length.
struct IpPacket {
  MacAddress source_mac{};
  IpHeader ip;
  sys::Bytes packet;
  // The frame went to the broadcast or a multicast address. No ICMP error and no reset may answer it
  // (RFC 1122 3.2.2), and what is in it for one host only is not forwarded (RFC 1812 5.3.4).
  bool group_frame = false;

  [[nodiscard]] sys::Bytes payload() const noexcept { return packet.subspan(ip.header_length); }
};

// Part of a packet of a protocol that we know, for stack::Reassembly. Nothing behind its IP header has been
// looked at.
struct IpFragment {
  IpPacket packet;
};

struct TcpSegment {
  IpPacket packet;
  TcpHeader tcp;
  FlowKey key;
  // The segment from its TCP header on, within the frame; the receiver may change it.
  sys::MutableBytes segment;

  [[nodiscard]] std::size_t payload_size() const noexcept { return segment.size() - tcp.header_length; }
};

struct UdpDatagram {
  IpPacket packet;
  UdpHeader udp;
  sys::Bytes payload;
  // Not 0: the payload is several datagrams of this size (the last may be shorter) that the guest's kernel
  // left to us to cut (VIRTIO_NET_HDR_GSO_UDP_L4).
  std::uint16_t segment_size = 0;

  [[nodiscard]] sys::Endpoint source() const noexcept { return {packet.ip.source, udp.source_port}; }
  [[nodiscard]] sys::Endpoint destination() const noexcept {
    return {packet.ip.destination, udp.destination_port};
  }
};

// ICMP, or ICMPv6 where the addresses are IPv6.
struct IcmpMessage {
  IpPacket packet;
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  sys::Bytes message;  // from the ICMP header on
};

// An IPv6 packet whose sender wants to be told what is wrong with it (RFC 4443 3.4). Of `packet`, only the
// addresses have been read.
struct IpProblem {
  IpPacket packet;
  Ipv6ParameterProblem problem;
};

using Ingress = std::variant<Dropped, ArpFrame, IpFragment, TcpSegment, UdpDatagram, IcmpMessage, IpProblem>;

// The IP packet that it is, or null.
[[nodiscard]] const IpPacket* ip_packet(const Ingress& ingress) noexcept;
[[nodiscard]] IpPacket* ip_packet(Ingress& ingress) noexcept;

// `frame` begins at the Ethernet header; `vnet` is the header in front of it, all zero when there was none.
[[nodiscard]] Ingress classify(const VnetHeader& vnet, sys::MutableBytes frame) noexcept;

}  // namespace l4n::stack
