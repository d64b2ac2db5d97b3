#include "tests/support/packets.hpp"

namespace l4n::test {
namespace {

ByteString address_bytes(const sys::IpAddress& address) {
  if (address.is_v4()) {
    return be32(address.v4().value);
  }
  const auto bytes = std::as_bytes(std::span(address.v6().bytes));
  return {bytes.begin(), bytes.end()};
}

ByteString zeros(std::size_t n) { return ByteString(n); }

ByteString mac_bytes(const stack::MacAddress& mac) {
  const auto bytes = std::as_bytes(std::span(mac));
  return {bytes.begin(), bytes.end()};
}

}  // namespace

std::uint16_t plain_sum(sys::Bytes data) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < data.size(); ++i) {
    const auto value = std::to_integer<std::uint32_t>(data[i]);
    sum += i % 2 == 0 ? value << 8U : value;
    if (sum > 0xffff) {
      sum = (sum & 0xffffU) + 1;
    }
  }
  return static_cast<std::uint16_t>(sum);
}

std::uint16_t plain_checksum(sys::Bytes data) {
  return static_cast<std::uint16_t>(0xffffU - plain_sum(data));
}

ByteString pseudo_header(const sys::IpAddress& source, const sys::IpAddress& destination,
                         std::uint8_t protocol, std::size_t length) {
  const ByteString from = address_bytes(source);
  const ByteString to = address_bytes(destination);
  if (source.is_v4()) {
    return concat({from, to, byte_string({0, protocol}), be16(static_cast<unsigned>(length))});
  }
  return concat({from, to, be32(static_cast<std::uint32_t>(length)), byte_string({0, 0, 0, protocol})});
}

std::uint16_t plain_transport_checksum(const sys::IpAddress& source, const sys::IpAddress& destination,
                                       std::uint8_t protocol, sys::Bytes segment) {
  return plain_checksum(concat({pseudo_header(source, destination, protocol, segment.size()), segment}));
}

ByteString be16(unsigned value) { return byte_string({(value >> 8U) & 0xffU, value & 0xffU}); }

ByteString be32(std::uint32_t value) { return concat({be16(value >> 16U), be16(value & 0xffffU)}); }

void overwrite(ByteString& data, std::size_t at, sys::Bytes with) {
  std::copy(with.begin(), with.end(), data.begin() + static_cast<std::ptrdiff_t>(at));
}

ByteString ipv4_packet(const Ipv4Spec& spec, sys::Bytes payload) {
  const std::size_t header = 20 + spec.options.size();
  ByteString packet = concat({
      byte_string({0x40 | static_cast<unsigned>(header / 4), 0}),
      be16(static_cast<unsigned>(header + payload.size())),
      be16(0x1234),
      be16(spec.fragment),
      byte_string({64, spec.protocol}),
      zeros(2),
      be32(spec.source.value),
      be32(spec.destination.value),
      spec.options,
      payload,
  });
  overwrite(packet, 10, be16(plain_checksum(std::span(packet).first(header))));
  return packet;
}

ByteString ipv6_packet(const Ipv6Spec& spec, sys::Bytes rest) {
  return concat({
      byte_string({0x60, 0, 0, 0}),
      be16(static_cast<unsigned>(rest.size())),
      byte_string({spec.next_header, 64}),
      address_bytes(spec.source),
      address_bytes(spec.destination),
      rest,
  });
}

ByteString with_checksum(const Ipv6Spec& spec, ByteString segment, std::size_t checksum_at) {
  overwrite(segment, checksum_at, zeros(2));
  overwrite(segment, checksum_at,
            be16(plain_transport_checksum(spec.source, spec.destination, spec.next_header, segment)));
  return segment;
}

ByteString tcp_segment(const Ipv4Spec& ip, const TcpSpec& spec) {
  const auto offset = static_cast<unsigned>((20 + spec.options.size()) / 4) << 4U;
  ByteString segment = concat({
      be16(spec.source_port),
      be16(spec.destination_port),
      be32(spec.seq),
      be32(spec.ack),
      byte_string({offset, spec.flags}),
      be16(spec.window),
      zeros(4),
      spec.options,
      spec.payload,
  });
  overwrite(segment, 16, be16(plain_transport_checksum(ip.source, ip.destination, 6, segment)));
  return segment;
}

ByteString udp_datagram(const Ipv4Spec& ip, std::uint16_t source_port, std::uint16_t destination_port,
                        sys::Bytes payload) {
  ByteString datagram = concat({be16(source_port), be16(destination_port),
                                be16(static_cast<unsigned>(8 + payload.size())), zeros(2), payload});
  overwrite(datagram, 6, be16(plain_transport_checksum(ip.source, ip.destination, 17, datagram)));
  return datagram;
}

ByteString icmp_message(std::uint8_t type, std::uint8_t code, sys::Bytes rest) {
  ByteString message = concat({byte_string({type, code}), zeros(2), rest});
  overwrite(message, 2, be16(plain_checksum(message)));
  return message;
}

ByteString ethernet_frame(std::uint16_t ether_type, sys::Bytes payload, const stack::MacAddress& to,
                          const stack::MacAddress& from) {
  return concat({mac_bytes(to), mac_bytes(from), be16(ether_type), payload});
}

ByteString tcp_frame(const TcpSpec& spec, Ipv4Spec ip) {
  ip.protocol = 6;
  return ethernet_frame(0x0800, ipv4_packet(ip, tcp_segment(ip, spec)));
}

ByteString udp_frame(sys::Bytes payload, Ipv4Spec ip) {
  ip.protocol = 17;
  return ethernet_frame(0x0800, ipv4_packet(ip, udp_datagram(ip, 40000, 53, payload)));
}

ByteString echo_frame(sys::Bytes payload, Ipv4Spec ip) {
  ip.protocol = 1;
  const ByteString rest = concat({byte_string({0, 7, 0, 1}), payload});
  return ethernet_frame(0x0800, ipv4_packet(ip, icmp_message(8, 0, rest)));
}

}  // namespace l4n::test
