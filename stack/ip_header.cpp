#include "stack/ip_header.hpp"

namespace l4n::stack {

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

std::optional<IpHeader> decode_quoted_ip(sys::Bytes packet) noexcept {
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
  sys::ByteWriter w(out);
  w.be32(0x60000000U | std::uint32_t{header.tos} << 20U);
  w.be16(static_cast<std::uint16_t>(payload));
  w.u8(header.protocol);
  w.u8(header.ttl);
  w.bytes(std::as_bytes(std::span(header.source.v6().bytes)));
  w.bytes(std::as_bytes(std::span(header.destination.v6().bytes)));
  return kIpv6HeaderSize;
}

bool may_send_ip_error(sys::Bytes packet) noexcept { return may_send_icmp_error(packet); }

}  // namespace l4n::stack
