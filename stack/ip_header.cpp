#include "stack/ip_header.hpp"

namespace l4n::stack {
namespace {

bool is_ipv6(sys::Bytes packet) noexcept { return !packet.empty() && sys::load_u8(&packet[0]) >> 4U == 6; }

}  // namespace

IpHeader to_ip_header(const Ipv4Header& v4) noexcept {
  IpHeader ip;
  ip.source = v4.source;
  ip.destination = v4.destination;
  ip.protocol = v4.protocol;
  ip.ttl = v4.ttl;
  ip.tos = v4.tos;
  ip.id = v4.id;
  ip.dont_fragment = v4.dont_fragment;
  ip.more_fragments = v4.more_fragments;
  ip.fragment_offset = v4.fragment_offset;
  ip.header_length = v4.header_length;
  ip.total_length = v4.total_length;
  return ip;
}

IpHeader to_ip_header(const Ipv6Headers& v6) noexcept {
  IpHeader ip;
  ip.source = v6.source;
  ip.destination = v6.destination;
  ip.protocol = v6.protocol;
  ip.ttl = v6.hop_limit;
  ip.tos = v6.traffic_class;
  ip.dont_fragment = !v6.fragment;
  if (v6.fragment) {
    ip.id = v6.fragment->id;
    ip.more_fragments = v6.fragment->more;
    ip.fragment_offset = v6.fragment->offset;
  }
  ip.header_length = v6.header_length;
  ip.total_length = v6.total_length;
  return ip;
}

std::optional<IpHeader> decode_quoted_ip(sys::Bytes packet) noexcept {
  if (is_ipv6(packet)) {
    const auto v6 = decode_quoted_ipv6(packet);
    return v6 ? std::optional(to_ip_header(*v6)) : std::nullopt;
  }
  const auto v4 = decode_quoted_ipv4(packet);
  return v4 ? std::optional(to_ip_header(*v4)) : std::nullopt;
}

std::size_t encode_ip(sys::MutableBytes out, const IpHeader& header, std::size_t payload) noexcept {
  if (header.is_v4()) {
    Ipv4Header v4;
    v4.source = header.source.v4();
    v4.destination = header.destination.v4();
    v4.protocol = header.protocol;
    v4.ttl = header.ttl;
    v4.tos = header.tos;
    v4.id = static_cast<std::uint16_t>(header.id);
    v4.dont_fragment = header.dont_fragment;
    v4.more_fragments = header.more_fragments;
    v4.fragment_offset = header.fragment_offset;
    v4.total_length = static_cast<std::uint16_t>(kIpv4HeaderSize + payload);
    encode_ipv4(out, v4);
    return kIpv4HeaderSize;
  }
  Ipv6Headers v6;
  v6.source = header.source.v6();
  v6.destination = header.destination.v6();
  v6.protocol = header.protocol;
  v6.hop_limit = header.ttl;
  v6.traffic_class = header.tos;
  v6.total_length = static_cast<std::uint32_t>(kIpv6HeaderSize + payload);
  encode_ipv6(out, v6);
  return kIpv6HeaderSize;
}

bool may_send_ip_error(sys::Bytes packet, bool also_multicast) noexcept {
  return is_ipv6(packet) ? may_send_icmp6_error(packet, also_multicast) : may_send_icmp_error(packet);
}

}  // namespace l4n::stack
