#include "stack/tcp_output.hpp"

#include "lwip/pbuf.h"
#include "stack/checksum.hpp"
#include "stack/ip_header.hpp"

namespace l4n::stack {
namespace {

constexpr std::uint16_t kChecksumAt = 16;  // in the TCP header

sys::Bytes bytes_of(const pbuf& p) noexcept { return {static_cast<const std::byte*>(p.payload), p.len}; }

// The TCP checksum of an IP packet in a pbuf chain: the sum of the pseudo-header, and of all the segment
// where nobody after us completes it.
std::uint16_t tcp_checksum(const pbuf& packet, const IpHeader& ip, bool partial) noexcept {
  ChecksumAccumulator sum;
  sum.add_pseudo_header(ip.source, ip.destination, kProtocolTcp,
                        static_cast<std::uint32_t>(packet.tot_len - ip.header_length));
  if (partial) {
    return sum.partial();
  }
  sum.add(bytes_of(packet).subspan(ip.header_length));
  for (const pbuf* p = packet.next; p != nullptr; p = p->next) {
    sum.add(bytes_of(*p));
  }
  return sum.finish();
}

// Completes what lwIP wrote: IPv4 gets DF and its header checksum.
IpHeader finish_ip_header(std::byte* p, std::size_t packet_size) noexcept {
  IpHeader ip;
  if (sys::load_u8(p) >> 4U == 6) {
    ip.source = load_ipv6(p + 8);
    ip.destination = load_ipv6(p + 24);
    ip.header_length = kIpv6HeaderSize;
    return ip;
  }
  ip.tos = sys::load_u8(p + 1);
  ip.id = sys::load_be16(p + 4);
  ip.ttl = sys::load_u8(p + 8);
  ip.protocol = sys::load_u8(p + 9);
  ip.source = sys::Ipv4Address{sys::load_be32(p + 12)};
  ip.destination = sys::Ipv4Address{sys::load_be32(p + 16)};
  ip.dont_fragment = true;
  encode_ip({p, kIpv4HeaderSize}, ip, packet_size - kIpv4HeaderSize);
  return ip;
}

}  // namespace

FinishedPacket finish_tcp_packet(pbuf& packet, bool offload, std::uint16_t mss) noexcept {
  auto* header = static_cast<std::byte*>(packet.payload);
  const IpHeader ip = finish_ip_header(header, packet.tot_len);
  std::byte* tcp = header + ip.header_length;
  sys::store_be16(tcp + kChecksumAt, tcp_checksum(packet, ip, offload));

  FinishedPacket finished;
  finished.ether_type = ip_ether_type(ip.source);
  if (offload) {
    const std::size_t tcp_header_size = (sys::load_u8(tcp + 12) >> 4U) * 4U;
    VnetHeader& vnet = finished.vnet;
    vnet.flags = VnetHeader::kNeedsChecksum;
    vnet.checksum_start = ip.header_length;
    vnet.checksum_offset = kChecksumAt;
    vnet.header_length = static_cast<std::uint16_t>(ip.header_length + tcp_header_size);
    if (mss > 0 && packet.tot_len - vnet.header_length > mss) {
      vnet.gso_type = ip.is_v4() ? VnetHeader::kGsoTcp4 : VnetHeader::kGsoTcp6;
      vnet.gso_size = mss;
    }
  }
  return finished;
}

}  // namespace l4n::stack
