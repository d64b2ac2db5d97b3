#include "tests/conformance/frames.hpp"

#include <algorithm>

#include "tests/integration/support/fragments.hpp"

namespace l4n::conformance {
namespace {

using integration::ones_sum;

constexpr stack::MacAddress kBroadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

void fix_ip(Data& frame) {
  const std::size_t header = (sys::load_u8(&frame[kIpAt]) & 0x0fU) * std::size_t{4};
  sys::store_be16(&frame[kIpAt + 10], 0);
  const std::size_t size = std::min(header, frame.size() - kIpAt);
  const std::uint16_t sum = ones_sum(sys::Bytes(frame).subspan(kIpAt, size));
  sys::store_be16(&frame[kIpAt + 10], static_cast<std::uint16_t>(~sum));
}

void fix_transport(Data& frame, std::size_t checksum_at, bool pseudo_header) {
  const sys::MutableBytes segment = sys::MutableBytes(frame).subspan(kTransportAt);
  sys::store_be16(&segment[checksum_at], 0);
  const std::uint16_t pseudo = pseudo_header
                                   ? integration::pseudo_sum(sys::Ipv4Address{sys::load_be32(&frame[26])},
                                                             sys::Ipv4Address{sys::load_be32(&frame[30])},
                                                             sys::load_u8(&frame[23]), segment.size())
                                   : std::uint16_t{0};
  sys::store_be16(&segment[checksum_at], static_cast<std::uint16_t>(~ones_sum(segment, pseudo)));
}

Data dns_message(std::uint16_t id, std::uint8_t flags) {
  Data m(12);
  sys::store_be16(m.data(), id);
  m[2] = static_cast<std::byte>(flags);
  m[5] = std::byte{1};  // one question: example, A, IN
  integration::append(m, integration::bytes_of({"\7example\0\0\1\0\1", 13}));
  return m;
}

}  // namespace

Data ip_frame(sys::Bytes packet) { return integration::ethernet_frame(stack::kEtherTypeIpv4, packet); }

Data arp_request(sys::Ipv4Address target, sys::Ipv4Address sender) {
  return integration::ethernet_frame(stack::kEtherTypeArp, integration::arp_packet(1, sender, target),
                                     integration::kGuestMac, kBroadcast);
}

integration::IcmpMessage echo_request(std::size_t size) {
  integration::IcmpMessage message;
  message.type = 8;
  message.rest = {std::byte{0x12}, std::byte{0x34}, std::byte{0}, std::byte{7}};
  integration::append(message.rest, integration::random_data(size, 1));
  return message;
}

Data echo_frame(sys::Ipv4Address to, std::size_t size, sys::Ipv4Address from) {
  return ip_frame(integration::icmp_packet(from, to, echo_request(size)));
}

integration::TcpSegment syn_segment() {
  integration::TcpSegment syn;
  syn.source_port = 40000;
  syn.destination_port = 80;
  syn.seq = 1000;
  syn.flags = integration::Flags::kSyn;
  syn.window = 64240;
  syn.options = integration::mss_option(1460);
  integration::append(syn.options, integration::window_scale_option(7));
  return syn;
}

Data syn_frame(const sys::Endpoint& to, sys::Ipv4Address from) {
  integration::TcpSegment syn = syn_segment();
  syn.destination_port = to.port;
  return ip_frame(integration::tcp_packet(from, to.address.v4(), syn, false));
}

Data udp_frame(const sys::Endpoint& to, sys::Bytes payload, sys::Ipv4Address from) {
  return ip_frame(
      integration::udp_packet(from, to.address.v4(), {5000, to.port, Data(payload.begin(), payload.end())}));
}

Data dns_query(std::uint16_t id, bool edns) {
  Data m = dns_message(id, 0x01);
  if (edns) {
    m[11] = std::byte{1};  // one additional record: OPT, 4096 bytes (RFC 6891 6.1.2)
    integration::append(m, integration::bytes_of({"\0\0\x29\x10\0\0\0\0\0\0\0", 11}));
  }
  return m;
}

Data dns_response(std::uint16_t id, std::size_t size) {
  Data m = dns_message(id, 0x81);
  const Data tail = integration::random_data(size, id);
  integration::append(m, sys::Bytes(tail).first(size - m.size()));
  return m;
}

Data changed(Data frame, std::size_t at, std::initializer_list<unsigned> bytes) {
  for (const unsigned byte : bytes) {
    frame.at(at++) = static_cast<std::byte>(byte);
  }
  return frame;
}

Data with_ip(Data frame, std::size_t at, std::initializer_list<unsigned> bytes) {
  frame = changed(std::move(frame), kIpAt + at, bytes);
  fix_ip(frame);
  return frame;
}

Data with_ip_payload(Data frame, std::size_t size) {
  frame.resize(kTransportAt + size);
  sys::store_be16(&frame[kIpAt + 2], static_cast<std::uint16_t>(20 + size));
  fix_ip(frame);
  return frame;
}

Data with_ip_options(Data frame, sys::Bytes options) {
  frame.insert(frame.begin() + kTransportAt, options.begin(), options.end());
  frame[kIpAt] = static_cast<std::byte>(0x45 + options.size() / 4);
  sys::store_be16(&frame[kIpAt + 2], static_cast<std::uint16_t>(frame.size() - kIpAt));
  fix_ip(frame);
  return frame;
}

Data with_tcp(Data frame, std::size_t at, std::initializer_list<unsigned> bytes) {
  frame = changed(std::move(frame), kTransportAt + at, bytes);
  fix_transport(frame, 16, true);
  return frame;
}

Data with_icmp(Data frame, std::size_t at, std::initializer_list<unsigned> bytes) {
  frame = changed(std::move(frame), kTransportAt + at, bytes);
  fix_transport(frame, 2, false);
  return frame;
}

Data fragment_of(const Data& frame, std::size_t at, std::size_t size) {
  const sys::Bytes packet = sys::Bytes(frame).subspan(kIpAt);
  const std::size_t n = std::min(size, frame.size() - kTransportAt - at);
  return ip_frame(integration::fragment_of(packet, at, n, kTransportAt + at + n < frame.size()));
}

}  // namespace l4n::conformance
