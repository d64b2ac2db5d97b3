#include "tests/integration/support/wire.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <random>

namespace l4n::integration {
namespace {

using sys::Bytes;
using sys::IpAddress;
using sys::Ipv4Address;
using sys::load_be16;
using sys::load_be32;
using sys::load_u8;
using sys::store_be16;
using sys::store_be32;

constexpr std::size_t kEthernet = 14;
constexpr std::size_t kIp = 20;
constexpr std::size_t kIp6 = 40;
constexpr std::size_t kFragmentHeader = 8;
constexpr std::uint8_t kFragmentProtocol = 44;
constexpr std::size_t kTcp = 20;
constexpr std::size_t kUdp = 8;
constexpr std::size_t kIcmp = 8;

// Of the IP header's fragment field.
constexpr std::uint16_t kDontFragment = 0x4000;
constexpr std::uint16_t kMoreFragments = 0x2000;
constexpr std::uint16_t kOffsetMask = 0x1fff;

std::uint16_t inverted(std::uint16_t sum) noexcept { return static_cast<std::uint16_t>(~sum); }

void append_address(Data& to, const IpAddress& address) {
  if (address.is_v4()) {
    to.resize(to.size() + 4);
    store_be32(&to[to.size() - 4], address.v4().value);
  } else {
    append(to, std::as_bytes(std::span(address.v6().bytes)));
  }
}

sys::Ipv6Address ipv6_at(Bytes bytes) {
  sys::Ipv6Address address;
  std::copy_n(bytes.begin(), address.bytes.size(), std::as_writable_bytes(std::span(address.bytes)).begin());
  return address;
}

std::optional<TcpSegment> parse_tcp(Bytes p) {
  if (p.size() < kTcp) {
    return std::nullopt;
  }
  const std::size_t header = (load_u8(&p[12]) >> 4U) * std::size_t{4};
  if (header < kTcp || header > p.size()) {
    return std::nullopt;
  }
  TcpSegment s;
  s.source_port = load_be16(&p[0]);
  s.destination_port = load_be16(&p[2]);
  s.seq = load_be32(&p[4]);
  s.ack = load_be32(&p[8]);
  s.flags = load_u8(&p[13]);
  s.window = load_be16(&p[14]);
  append(s.options, p.subspan(kTcp, header - kTcp));
  append(s.payload, p.subspan(header));
  return s;
}

std::optional<UdpDatagram> parse_udp(Bytes p) {
  if (p.size() < 8 || load_be16(&p[4]) != p.size()) {
    return std::nullopt;
  }
  UdpDatagram d;
  d.source_port = load_be16(&p[0]);
  d.destination_port = load_be16(&p[2]);
  append(d.payload, p.subspan(8));
  return d;
}

std::optional<IcmpMessage> parse_icmp(Bytes p) {
  if (p.size() < 8) {
    return std::nullopt;
  }
  IcmpMessage m;
  m.type = load_u8(&p[0]);
  m.code = load_u8(&p[1]);
  append(m.rest, p.subspan(4));
  return m;
}

bool parse_transport(Packet& packet, Bytes payload) {
  switch (packet.protocol) {
    case stack::kProtocolTcp:
      packet.tcp = parse_tcp(payload);
      return packet.tcp.has_value();
    case stack::kProtocolUdp:
      packet.udp = parse_udp(payload);
      return packet.udp.has_value();
    case stack::kProtocolIcmp:
    case stack::kProtocolIcmp6:
      packet.icmp = parse_icmp(payload);
      return packet.icmp.has_value();
    default:
      return true;
  }
}

std::string tcp_text(const TcpSegment& s) {
  std::string flags;
  constexpr std::string_view kNames = "FSRPAU";
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if ((s.flags & (1U << i)) != 0) {
      flags += kNames[i];
    }
  }
  return fmt::format("{} -> {} {} seq {} ack {} win {} len {}", s.source_port, s.destination_port, flags,
                     s.seq, s.ack, s.window, s.payload.size());
}

// --- find_fault ---

std::string transport_checksum_fault(const stack::VnetHeader& vnet, const Packet& packet, Bytes segment,
                                     std::size_t checksum_at) {
  const std::uint16_t pseudo =
      packet.protocol == stack::kProtocolIcmp
          ? std::uint16_t{0}
          : pseudo_sum(packet.source, packet.destination, packet.protocol, segment.size());
  if ((vnet.flags & stack::VnetHeader::kNeedsChecksum) == 0) {
    return ones_sum(segment, pseudo) == 0xffff ? "" : "wrong transport checksum";
  }
  const bool udp_batch = packet.udp && vnet.gso_type == stack::VnetHeader::kGsoUdpL4;
  if (packet.protocol != stack::kProtocolTcp && !udp_batch) {
    return "partial checksum on something else than TCP and UDP batches";
  }
  if (vnet.checksum_start != kEthernet + packet.ip_header() || vnet.checksum_offset != checksum_at) {
    return "checksum offsets do not fit the headers";
  }
  return load_be16(&segment[checksum_at]) == pseudo ? "" : "wrong partial checksum";
}

// Several datagrams in one frame.
std::string udp_batch_fault(const stack::VnetHeader& vnet, const Packet& packet, const LinkRules& rules) {
  if (!packet.udp || !rules.cuts_udp) {
    return "batch of datagrams where nobody cuts it";
  }
  if ((vnet.flags & stack::VnetHeader::kNeedsChecksum) == 0) {
    return "batch of datagrams without a partial checksum";
  }
  if (vnet.header_length != kEthernet + packet.ip_header() + kUdp) {
    return "wrong header length in the virtio header";
  }
  if (vnet.gso_size == 0 || packet.udp->payload.size() <= vnet.gso_size) {
    return "marked as a batch of datagrams, but it is one";
  }
  return packet.ip_header() + kUdp + vnet.gso_size > rules.mtu ? "datagrams of a batch exceed the MTU" : "";
}

std::string segmentation_fault(const stack::VnetHeader& vnet, const Packet& packet, const LinkRules& rules) {
  const std::size_t payload = packet.tcp ? packet.tcp->payload.size() : 0;
  if (vnet.gso_type == stack::VnetHeader::kGsoNone) {
    if (packet.ip_size > rules.mtu) {
      return fmt::format("packet of {} bytes at MTU {}", packet.ip_size, rules.mtu);
    }
    return rules.mss != 0 && payload > rules.mss ? "segment larger than the guest's MSS" : "";
  }
  if (vnet.gso_type == stack::VnetHeader::kGsoUdpL4) {
    return udp_batch_fault(vnet, packet, rules);
  }
  const std::uint8_t tcp_type =
      packet.source.is_v4() ? stack::VnetHeader::kGsoTcp4 : stack::VnetHeader::kGsoTcp6;
  if (vnet.gso_type != tcp_type || !packet.tcp) {
    return "unexpected GSO type";
  }
  const std::size_t header = packet.ip_header() + kTcp + packet.tcp->options.size();
  if ((vnet.flags & stack::VnetHeader::kNeedsChecksum) == 0) {
    return "super-segment without a partial checksum";
  }
  if (vnet.header_length != kEthernet + header) {
    return "wrong header length in the virtio header";
  }
  if (vnet.gso_size == 0 || payload <= vnet.gso_size) {
    return "marked as super-segment, but it is none";
  }
  if (header + vnet.gso_size > rules.mtu) {
    return "pieces of a super-segment exceed the MTU";
  }
  return rules.mss != 0 && vnet.gso_size != rules.mss ? "pieces differ from the guest's MSS" : "";
}

std::string ipv6_fault(Bytes ip) {
  if (ip.size() < kIp6 || load_u8(ip.data()) >> 4U != 6) {
    return "not an IPv6 packet";
  }
  return load_be16(&ip[4]) + kIp6 == ip.size() ? "" : "IPv6 payload length differs from the frame";
}

std::string ipv4_fault(Bytes ip) {
  if (ip.size() < kIp || load_u8(ip.data()) != 0x45) {
    return "not an IPv4 packet with a header of 20 bytes";
  }
  if (load_be16(&ip[2]) != ip.size()) {
    return "IP total length differs from the frame";
  }
  return ones_sum(ip.first(kIp)) == 0xffff ? "" : "wrong IP header checksum";
}

// RFC 791 3.2. The first fragment carries the whole transport header: RFC 1858 3.
std::string fragment_fault(const stack::VnetHeader& vnet, const Packet& packet, const LinkRules& rules) {
  if (vnet.flags != 0 || vnet.gso_type != stack::VnetHeader::kGsoNone) {
    return "offload asked for on a fragment";
  }
  if (packet.dont_fragment) {
    return "fragment with DF";
  }
  if (packet.ip_size > rules.mtu) {
    return fmt::format("fragment of {} bytes at MTU {}", packet.ip_size, rules.mtu);
  }
  if (packet.payload.empty() || (packet.more_fragments && packet.payload.size() % 8 != 0)) {
    return fmt::format("fragment with {} bytes of payload", packet.payload.size());
  }
  const std::size_t header = packet.protocol == stack::kProtocolTcp   ? kTcp
                             : packet.protocol == stack::kProtocolUdp ? kUdp
                                                                      : kIcmp;
  return packet.fragment_offset == 0 && packet.payload.size() < header
             ? "first fragment without its transport header"
             : "";
}

}  // namespace

Data bytes_of(std::string_view text) {
  const Bytes bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

Data random_data(std::size_t size, std::uint32_t seed) {
  std::mt19937 random(seed);
  Data data(size);
  std::generate(data.begin(), data.end(), [&random] { return static_cast<std::byte>(random() >> 24U); });
  return data;
}

void append(Data& to, Bytes more) {
  const std::size_t size = to.size();
  to.resize(size + more.size());
  std::copy(more.begin(), more.end(), to.begin() + static_cast<std::ptrdiff_t>(size));
}

std::vector<Data> cut(Bytes data, std::size_t size) {
  if (size == 0) {
    return {Data(data.begin(), data.end())};
  }
  std::vector<Data> pieces;
  for (std::size_t at = 0; at < data.size(); at += size) {
    const Bytes piece = data.subspan(at, std::min(size, data.size() - at));
    pieces.emplace_back(piece.begin(), piece.end());
  }
  return pieces;
}

std::uint16_t ones_sum(Bytes data, std::uint32_t sum) noexcept {
  std::uint64_t total = sum;
  for (std::size_t i = 0; i + 1 < data.size(); i += 2) {
    total += load_be16(&data[i]);
  }
  if (data.size() % 2 == 1) {
    total += static_cast<std::uint64_t>(load_u8(&data[data.size() - 1])) << 8U;
  }
  while (total > 0xffff) {
    total = (total & 0xffffU) + (total >> 16U);
  }
  return static_cast<std::uint16_t>(total);
}

std::uint16_t pseudo_sum(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                         std::size_t length) noexcept {
  Data header;
  append_address(header, source);
  append_address(header, destination);
  header.resize(header.size() + 8);
  header[header.size() - 5] = static_cast<std::byte>(protocol);
  store_be32(&header[header.size() - 4], static_cast<std::uint32_t>(length));
  return ones_sum(header);
}

std::optional<Data> TcpSegment::option(std::uint8_t kind) const {
  std::size_t at = 0;
  while (at < options.size()) {
    const std::uint8_t found = load_u8(&options[at]);
    if (found == 0) {
      break;
    }
    if (found == 1) {
      ++at;
      continue;
    }
    const std::size_t length = at + 1 < options.size() ? load_u8(&options[at + 1]) : 0;
    if (length < 2 || at + length > options.size()) {
      break;
    }
    if (found == kind) {
      const Bytes value = Bytes(options).subspan(at + 2, length - 2);
      return Data(value.begin(), value.end());
    }
    at += length;
  }
  return std::nullopt;
}

std::optional<std::uint16_t> TcpSegment::mss() const {
  const auto value = option(2);
  return value && value->size() == 2 ? std::optional(load_be16(value->data())) : std::nullopt;
}

std::optional<std::uint8_t> TcpSegment::window_scale() const {
  const auto value = option(3);
  return value && value->size() == 1 ? std::optional(load_u8(value->data())) : std::nullopt;
}

Data IcmpMessage::quoted() const { return {rest.begin() + 4, rest.end()}; }

std::string Packet::text() const {
  if (is_fragment()) {
    return fmt::format("{} -> {} fragment of {:04x} at {}, {} bytes{}", sys::to_string(source),
                       sys::to_string(destination), id, fragment_offset, payload.size(),
                       more_fragments ? "" : ", the last");
  }
  const std::string addresses = fmt::format("{} -> {} ", sys::to_string(source), sys::to_string(destination));
  if (tcp) {
    return addresses + "TCP " + tcp_text(*tcp);
  }
  if (udp) {
    return addresses + fmt::format("UDP {} -> {}", udp->source_port, udp->destination_port);
  }
  if (icmp) {
    return addresses + fmt::format("ICMP {}/{}", icmp->type, icmp->code);
  }
  return fmt::format("Ethernet type {:04x}", ether_type);
}

Data ethernet_frame(std::uint16_t ether_type, Bytes payload, const stack::MacAddress& source,
                    const stack::MacAddress& destination) {
  Data frame;
  append(frame, std::as_bytes(std::span(destination)));
  append(frame, std::as_bytes(std::span(source)));
  frame.resize(kEthernet);
  store_be16(&frame[12], ether_type);
  append(frame, payload);
  return frame;
}

Data ip_frame(Bytes packet, const stack::MacAddress& source, const stack::MacAddress& destination) {
  const bool v6 = !packet.empty() && load_u8(packet.data()) >> 4U == 6;
  return ethernet_frame(v6 ? stack::kEtherTypeIpv6 : stack::kEtherTypeIpv4, packet, source, destination);
}

namespace {

Data ipv4_header(Ipv4Address source, Ipv4Address destination, std::uint8_t protocol, std::size_t payload,
                 const IpFields& fields) {
  Data header(kIp);
  header[0] = std::byte{0x45};
  header[1] = static_cast<std::byte>(fields.tos);
  store_be16(&header[2], static_cast<std::uint16_t>(kIp + payload));
  store_be16(&header[4], fields.id);
  store_be16(&header[6], fields.dont_fragment ? kDontFragment : std::uint16_t{0});
  header[8] = static_cast<std::byte>(fields.ttl);
  header[9] = static_cast<std::byte>(protocol);
  store_be32(&header[12], source.value);
  store_be32(&header[16], destination.value);
  store_be16(&header[10], inverted(ones_sum(header)));
  return header;
}

Data ipv6_header(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                 std::size_t payload, const IpFields& fields) {
  Data header(8);
  store_be32(header.data(), 0x60000000U | std::uint32_t{fields.tos} << 20U);
  store_be16(&header[4], static_cast<std::uint16_t>(payload));
  header[6] = static_cast<std::byte>(protocol);
  header[7] = static_cast<std::byte>(fields.ttl);
  append_address(header, source);
  append_address(header, destination);
  return header;
}

}  // namespace

Data ip_packet(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol, Bytes payload,
               const IpFields& fields) {
  Data packet = source.is_v4() ? ipv4_header(source.v4(), destination.v4(), protocol, payload.size(), fields)
                               : ipv6_header(source, destination, protocol, payload.size(), fields);
  append(packet, payload);
  return packet;
}

Data tcp_packet(const IpAddress& source, const IpAddress& destination, const TcpSegment& s, bool partial) {
  Data options = s.options;
  options.resize((options.size() + 3) / 4 * 4, std::byte{1});
  Data segment(kTcp);
  store_be16(&segment[0], s.source_port);
  store_be16(&segment[2], s.destination_port);
  store_be32(&segment[4], s.seq);
  store_be32(&segment[8], s.ack);
  segment[12] = static_cast<std::byte>((kTcp + options.size()) / 4U << 4U);
  segment[13] = static_cast<std::byte>(s.flags);
  store_be16(&segment[14], s.window);
  append(segment, options);
  append(segment, s.payload);
  const std::uint16_t pseudo = pseudo_sum(source, destination, stack::kProtocolTcp, segment.size());
  store_be16(&segment[16], partial ? pseudo : inverted(ones_sum(segment, pseudo)));
  return ip_packet(source, destination, stack::kProtocolTcp, segment);
}

stack::VnetHeader partial_checksum(std::size_t ip_header, std::uint16_t offset) {
  stack::VnetHeader vnet;
  vnet.flags = stack::VnetHeader::kNeedsChecksum;
  vnet.checksum_start = static_cast<std::uint16_t>(stack::kEthernetHeaderSize + ip_header);
  vnet.checksum_offset = offset;
  return vnet;
}

Data udp_packet(const IpAddress& source, const IpAddress& destination, const UdpDatagram& d,
                const IpFields& fields) {
  Data datagram(8);
  store_be16(&datagram[0], d.source_port);
  store_be16(&datagram[2], d.destination_port);
  store_be16(&datagram[4], static_cast<std::uint16_t>(8 + d.payload.size()));
  append(datagram, d.payload);
  const std::uint16_t pseudo = pseudo_sum(source, destination, stack::kProtocolUdp, datagram.size());
  const std::uint16_t checksum = inverted(ones_sum(datagram, pseudo));
  store_be16(&datagram[6], checksum == 0 ? std::uint16_t{0xffff} : checksum);
  return ip_packet(source, destination, stack::kProtocolUdp, datagram, fields);
}

Data icmp_packet(const IpAddress& source, const IpAddress& destination, const IcmpMessage& m,
                 const IpFields& fields) {
  Data message(4);
  message[0] = static_cast<std::byte>(m.type);
  message[1] = static_cast<std::byte>(m.code);
  append(message, m.rest);
  const std::uint8_t protocol = source.is_v4() ? stack::kProtocolIcmp : stack::kProtocolIcmp6;
  const std::uint16_t pseudo =
      source.is_v4() ? std::uint16_t{0} : pseudo_sum(source, destination, protocol, message.size());
  store_be16(&message[2], inverted(ones_sum(message, pseudo)));
  return ip_packet(source, destination, protocol, message, fields);
}

IcmpMessage echo_request(std::uint16_t id, std::uint16_t sequence, Bytes data) {
  IcmpMessage message;
  message.type = 8;
  message.rest = Data(4);
  store_be16(message.rest.data(), id);
  store_be16(&message.rest[2], sequence);
  append(message.rest, data);
  return message;
}

Data arp_packet(std::uint16_t operation, Ipv4Address sender, Ipv4Address target,
                const stack::MacAddress& sender_mac) {
  Data packet(8);
  store_be16(&packet[0], 1);
  store_be16(&packet[2], stack::kEtherTypeIpv4);
  packet[4] = std::byte{6};
  packet[5] = std::byte{4};
  store_be16(&packet[6], operation);
  append(packet, std::as_bytes(std::span(sender_mac)));
  packet.resize(28);
  store_be32(&packet[14], sender.value);
  store_be32(&packet[24], target.value);
  return packet;
}

Data mss_option(std::uint16_t mss) {
  Data option{std::byte{2}, std::byte{4}, std::byte{0}, std::byte{0}};
  store_be16(&option[2], mss);
  return option;
}

Data window_scale_option(std::uint8_t shift) {
  return {std::byte{1}, std::byte{3}, std::byte{3}, static_cast<std::byte>(shift)};
}

namespace {

// Fills in what the header says; the transport, or nothing when that does not fit.
std::optional<Bytes> parse_ipv4(Packet& packet, Bytes ip) {
  if (ip.size() < kIp || load_be16(&ip[2]) > ip.size()) {
    return std::nullopt;
  }
  packet.ip_size = load_be16(&ip[2]);
  packet.tos = load_u8(&ip[1]);
  packet.id = load_be16(&ip[4]);
  const std::uint16_t fragment = load_be16(&ip[6]);
  packet.dont_fragment = (fragment & kDontFragment) != 0;
  packet.more_fragments = (fragment & kMoreFragments) != 0;
  packet.fragment_offset = (fragment & kOffsetMask) * std::size_t{8};
  packet.ttl = load_u8(&ip[8]);
  packet.protocol = load_u8(&ip[9]);
  packet.source = Ipv4Address{load_be32(&ip[12])};
  packet.destination = Ipv4Address{load_be32(&ip[16])};
  const std::size_t header = (load_u8(ip.data()) & 0x0fU) * std::size_t{4};
  if (header < kIp || header > packet.ip_size) {
    return std::nullopt;
  }
  return ip.first(packet.ip_size).subspan(header);
}

// No other extension header than that of a fragment: the gateway sends none.
std::optional<Bytes> parse_ipv6(Packet& packet, Bytes ip) {
  if (ip.size() < kIp6 || load_be16(&ip[4]) + kIp6 > ip.size()) {
    return std::nullopt;
  }
  packet.ip_size = load_be16(&ip[4]) + kIp6;
  packet.tos = static_cast<std::uint8_t>(load_be16(ip.data()) >> 4U);
  packet.protocol = load_u8(&ip[6]);
  packet.ttl = load_u8(&ip[7]);
  packet.source = ipv6_at(ip.subspan(8));
  packet.destination = ipv6_at(ip.subspan(24));
  const Bytes payload = ip.first(packet.ip_size).subspan(kIp6);
  if (packet.protocol != kFragmentProtocol) {
    return payload;
  }
  if (payload.size() < kFragmentHeader) {
    return std::nullopt;
  }
  packet.protocol = load_u8(payload.data());
  const std::uint16_t fragment = load_be16(&payload[2]);
  packet.more_fragments = (fragment & 1U) != 0;
  packet.fragment_offset = fragment & ~7U;
  packet.id = load_be32(&payload[4]);
  return payload.subspan(kFragmentHeader);
}

}  // namespace

std::optional<Packet> parse_frame(const stack::VnetHeader& vnet, Bytes frame) {
  if (frame.size() < kEthernet) {
    return std::nullopt;
  }
  Packet packet;
  packet.vnet = vnet;
  std::copy_n(frame.begin(), 6, std::as_writable_bytes(std::span(packet.destination_mac)).begin());
  std::copy_n(frame.begin() + 6, 6, std::as_writable_bytes(std::span(packet.source_mac)).begin());
  packet.ether_type = load_be16(&frame[12]);
  const Bytes payload = frame.subspan(kEthernet);
  if (packet.ether_type == stack::kEtherTypeArp) {
    append(packet.arp, payload);
    return packet;
  }
  const bool v4 = packet.ether_type == stack::kEtherTypeIpv4;
  if (!v4 && packet.ether_type != stack::kEtherTypeIpv6) {
    return packet;
  }
  const auto transport = v4 ? parse_ipv4(packet, payload) : parse_ipv6(packet, payload);
  if (!transport) {
    return std::nullopt;
  }
  if (packet.is_fragment()) {
    append(packet.payload, *transport);
    return packet;
  }
  return parse_transport(packet, *transport) ? std::optional(std::move(packet)) : std::nullopt;
}

std::string find_fault(const stack::VnetHeader& vnet, Bytes frame, const LinkRules& rules) {
  const auto packet = parse_frame(vnet, frame);
  if (!packet) {
    return "malformed frame";
  }
  if (!rules.vnet && (vnet.flags != 0 || vnet.gso_type != 0)) {
    return "offload asked for on a port without it";
  }
  if (packet->source_mac != stack::kGatewayMac) {
    return "strange source MAC address";
  }
  if (packet->ether_type == stack::kEtherTypeArp) {
    return packet->arp.size() == 28 ? "" : "ARP packet of a wrong size";
  }
  if (packet->ether_type != stack::kEtherTypeIpv4 && packet->ether_type != stack::kEtherTypeIpv6) {
    return "unknown Ethernet type";
  }
  const Bytes ip = frame.subspan(kEthernet);
  if (std::string fault = (packet->source.is_v4() ? ipv4_fault(ip) : ipv6_fault(ip)); !fault.empty()) {
    return fault;
  }
  if (packet->is_fragment()) {
    return fragment_fault(vnet, *packet, rules);
  }
  const std::size_t checksum_at = packet->udp ? 6 : 16;  // no ICMP message has a partial one
  if (std::string fault =
          transport_checksum_fault(vnet, *packet, ip.subspan(packet->ip_header()), checksum_at);
      !fault.empty()) {
    return fault;
  }
  return segmentation_fault(vnet, *packet, rules);
}

}  // namespace l4n::integration
