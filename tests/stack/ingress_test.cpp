#include "stack/ingress.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "tests/support/packets.hpp"

namespace l4n::stack {
namespace {

using sys::make_ipv4;
using test::be16;
using test::byte_string;
using test::ByteString;
using test::from_hex;
using test::Ipv4Spec;
using test::overwrite;
using test::TcpSpec;

constexpr std::size_t kIpAt = 14;
constexpr std::size_t kTransportAt = 34;

// What classify() said, as text.
std::string kind_of(const Ingress& ingress) {
  if (const auto* dropped = std::get_if<Dropped>(&ingress)) {
    return std::string("dropped: ") + to_string(dropped->reason);
  }
  static const std::vector<std::string> names = {"dropped", "arp",  "fragment", "tcp",
                                                 "udp",     "icmp", "problem"};
  return names.at(ingress.index());
}

std::string classified(ByteString frame, std::uint8_t vnet_flags = 0) {
  VnetHeader vnet;
  vnet.flags = vnet_flags;
  return kind_of(classify(vnet, frame));
}

ByteString arp_frame() {
  const ByteString arp = from_hex("0001 0800 06 04 0001 021122334455 0a000264 000000000000 0a000202");
  return test::ethernet_frame(kEtherTypeArp, arp, kBroadcastMac);
}

ByteString syn_frame() {
  TcpSpec spec;
  spec.options = from_hex("02 04 05 b4 01 03 03 07");
  return test::tcp_frame(spec);
}

ByteString data_frame() {
  TcpSpec spec;
  spec.flags = TcpFlags::kAck;
  spec.payload = test::text_bytes("hello");
  return test::tcp_frame(spec);
}

ByteString changed(ByteString frame, std::size_t at, const ByteString& bytes) {
  overwrite(frame, at, bytes);
  return frame;
}

// The same, with an IPv4 header checksum that is right again.
ByteString changed_ip(ByteString frame, std::size_t at, const ByteString& bytes) {
  overwrite(frame, kIpAt + at, bytes);
  overwrite(frame, kIpAt + 10, be16(0));
  overwrite(frame, kIpAt + 10, be16(test::plain_checksum(std::span(frame).subspan(kIpAt, 20))));
  return frame;
}

TEST_CASE("ingress: what a frame is") {
  struct Row {
    std::string description;
    ByteString frame;
    std::string kind;
  };
  const Ipv4Spec other_protocol{.protocol = 47};
  const Ipv4Spec with_options{.options = from_hex("94 04 00 00")};
  const MacAddress multicast{1, 0, 0x5e, 0, 0, 1};
  const MacAddress stranger{2, 9, 9, 9, 9, 9};
  const ByteString packet = test::ipv4_packet({}, test::tcp_segment({}, {}));
  const std::vector<Row> rows = {
      {"an ARP request", arp_frame(), "arp"},
      {"an empty ARP frame is judged later", test::ethernet_frame(kEtherTypeArp, {}), "arp"},
      {"a SYN", syn_frame(), "tcp"},
      {"data", data_frame(), "tcp"},
      {"a SYN behind IP options", test::tcp_frame({}, with_options), "tcp"},
      {"a SYN by Ethernet broadcast", test::ethernet_frame(kEtherTypeIpv4, packet, kBroadcastMac), "tcp"},
      {"a datagram", test::udp_frame(test::text_bytes("x")), "udp"},
      {"an empty datagram", test::udp_frame({}), "udp"},
      {"a datagram without checksum",
       changed(test::udp_frame(test::text_bytes("x")), kTransportAt + 6, be16(0)), "udp"},
      {"a ping", test::echo_frame(test::text_bytes("ping")), "icmp"},
      {"an Ethernet trailer", test::concat({data_frame(), ByteString(7, std::byte{0xaa})}), "tcp"},

      {"nothing", {}, "dropped: short frame"},
      {"13 bytes", ByteString(13), "dropped: short frame"},
      {"a multicast source", test::ethernet_frame(kEtherTypeIpv4, packet, kGatewayMac, multicast),
       "dropped: multicast source address"},
      {"a broadcast source", test::ethernet_frame(kEtherTypeIpv4, packet, kGatewayMac, kBroadcastMac),
       "dropped: multicast source address"},
      {"another station", test::ethernet_frame(kEtherTypeIpv4, packet, stranger),
       "dropped: frame for another station"},
      {"another type", test::ethernet_frame(0x88cc, ByteString(40)), "dropped: unknown Ethernet type"},
      {"IPv6, version 0", test::ethernet_frame(0x86dd, ByteString(40)), "dropped: malformed IP header"},
      {"a VLAN tag", test::ethernet_frame(0x8100, packet), "dropped: unknown Ethernet type"},
      {"an 802.3 length", test::ethernet_frame(46, packet), "dropped: unknown Ethernet type"},

      {"no IP header", test::ethernet_frame(kEtherTypeIpv4, {}), "dropped: malformed IP header"},
      {"IP version 6 as IPv4", changed_ip(syn_frame(), 0, byte_string({0x65})),
       "dropped: malformed IP header"},
      {"IP total length too long", changed_ip(syn_frame(), 2, be16(49)), "dropped: malformed IP header"},
      {"IP header checksum", changed(syn_frame(), kIpAt + 8, byte_string({63})),
       "dropped: malformed IP header"},
      {"a first fragment", changed_ip(syn_frame(), 6, be16(0x2000)), "fragment"},
      {"a last fragment", changed_ip(syn_frame(), 6, be16(0x0001)), "fragment"},
      {"a fragment of GRE", changed_ip(changed_ip(syn_frame(), 9, byte_string({47})), 6, be16(0x2000)),
       "dropped: unknown IP protocol"},
      {"GRE", test::ethernet_frame(kEtherTypeIpv4, test::ipv4_packet(other_protocol, ByteString(8))),
       "dropped: unknown IP protocol"},

      {"TCP that the total length cuts", changed_ip(syn_frame(), 2, be16(39)),
       "dropped: malformed transport header"},
      {"TCP data offset 4", changed(syn_frame(), kTransportAt + 12, byte_string({0x40})),
       "dropped: malformed transport header"},
      {"TCP data offset beyond the end", changed(syn_frame(), kTransportAt + 12, byte_string({0xf0})),
       "dropped: malformed transport header"},
      {"a SYN with a malformed option", changed(syn_frame(), kTransportAt + 21, byte_string({1})),
       "dropped: malformed transport header"},
      {"TCP checksum", changed(syn_frame(), kTransportAt + 4, byte_string({0xff})), "dropped: bad checksum"},
      {"TCP payload changed", changed(data_frame(), kTransportAt + 20, byte_string({'H'})),
       "dropped: bad checksum"},
      {"TCP payload cut", changed_ip(data_frame(), 2, be16(44)), "dropped: bad checksum"},

      {"UDP length 7", changed(test::udp_frame({}), kTransportAt + 4, be16(7)),
       "dropped: malformed transport header"},
      {"UDP length beyond the packet", changed(test::udp_frame({}), kTransportAt + 4, be16(9)),
       "dropped: malformed transport header"},
      {"UDP length shorter than the packet",
       changed(test::udp_frame(test::text_bytes("x")), kTransportAt + 4, be16(8)), "dropped: bad checksum"},
      {"UDP checksum", changed(test::udp_frame(test::text_bytes("x")), kTransportAt + 8, byte_string({'y'})),
       "dropped: bad checksum"},

      {"ICMP of 7 bytes", changed_ip(test::echo_frame({}), 2, be16(27)),
       "dropped: malformed transport header"},
      {"ICMP checksum", changed(test::echo_frame({}), kTransportAt + 4, byte_string({1})),
       "dropped: bad checksum"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    CHECK(classified(row.frame) == row.kind);
  }
}

ByteString ipv6_frame(std::uint8_t next_header, const std::string& rest) {
  return test::ethernet_frame(kEtherTypeIpv6,
                              test::ipv6_packet({.next_header = next_header}, from_hex(rest)));
}

// The upper layer behind a header of 8 bytes, or behind none, with its checksum.
ByteString ipv6_frame_of(std::uint8_t protocol, const std::string& segment, std::size_t checksum_at,
                         const std::string& extension = "") {
  const ByteString checked = test::with_checksum({.next_header = protocol}, from_hex(segment), checksum_at);
  const auto first = extension.empty() ? protocol : std::uint8_t{kProtocolHopByHop};
  return test::ethernet_frame(
      kEtherTypeIpv6,
      test::ipv6_packet({.next_header = first}, test::concat({from_hex(extension), checked})));
}

TEST_CASE("ingress: what a frame of IPv6 is") {
  struct Row {
    std::string description;
    ByteString frame;
    std::string kind;
  };
  const std::string syn = "9c40 0050 00000001 00000000 5002 ffff 0000 0000";
  const std::string datagram = "9c40 0035 000a 0000 6162";
  const std::string echo = "80 00 0000 0001 0001";
  const std::vector<Row> rows = {
      {"a SYN", ipv6_frame_of(kProtocolTcp, syn, 16), "tcp"},
      {"a SYN behind an extension header", ipv6_frame_of(kProtocolTcp, syn, 16, "0600 010400000000"), "tcp"},
      {"a datagram", ipv6_frame_of(kProtocolUdp, datagram, 6), "udp"},
      {"a datagram behind an extension header", ipv6_frame_of(kProtocolUdp, datagram, 6, "1100 010400000000"),
       "udp"},
      {"a ping", ipv6_frame_of(kProtocolIcmp6, echo, 2), "icmp"},
      {"an Ethernet trailer",
       test::concat({ipv6_frame_of(kProtocolUdp, datagram, 6), ByteString(7, std::byte{0xaa})}), "udp"},
      {"a fragment", ipv6_frame(kProtocolFragment, "1100 0010 00000007 01020304"), "fragment"},
      {"a first fragment of GRE", ipv6_frame(kProtocolFragment, "2f00 0001 00000007 0102030405060708"),
       "fragment"},
      {"an atomic fragment", ipv6_frame(kProtocolFragment, "1100 0000 00000007" + datagram),
       "dropped: bad checksum"},

      {"another TCP checksum", ipv6_frame(kProtocolTcp, syn), "dropped: bad checksum"},
      {"another ICMPv6 checksum", ipv6_frame(kProtocolIcmp6, echo), "dropped: bad checksum"},
      {"a datagram without checksum (RFC 8200 8.1)", ipv6_frame(kProtocolUdp, datagram),
       "dropped: bad checksum"},
      {"ICMPv6 of 7 bytes", ipv6_frame_of(kProtocolIcmp6, "80 00 0000 000100", 2),
       "dropped: malformed transport header"},
      {"ICMP of IPv4", ipv6_frame(kProtocolIcmp, "0800 0000 00000000"), "problem"},
      {"GRE", ipv6_frame(47, "00000000"), "problem"},
      {"nothing", ipv6_frame(kProtocolNoNextHeader, ""), "dropped: unknown IP protocol"},
      {"an option that is to be told", ipv6_frame(kProtocolHopByHop, "1100 c20400000000" + datagram),
       "problem"},
      {"an option that is not", ipv6_frame(kProtocolHopByHop, "1100 420400000000" + datagram),
       "dropped: IPv6 option that wants to be dropped"},
      {"half a header", test::ethernet_frame(kEtherTypeIpv6, ByteString(39, std::byte{0x60})),
       "dropped: malformed IP header"},
      {"IPv4 as IPv6", test::ethernet_frame(kEtherTypeIpv6, test::ipv4_packet({}, test::tcp_segment({}, {}))),
       "dropped: malformed IP header"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    CHECK(classified(row.frame) == row.kind);
  }
}

TEST_CASE("ingress: a problem comes with the packet and not with what follows it") {
  ByteString frame = test::concat({ipv6_frame(47, "01020304"), ByteString(7, std::byte{0xaa})});
  const Ingress ingress = classify({}, frame);
  REQUIRE(std::holds_alternative<IpProblem>(ingress));
  const auto& problem = std::get<IpProblem>(ingress);
  CHECK(problem.problem.code == Icmp6ParameterProblem::kUnrecognizedNextHeader);
  CHECK(problem.problem.pointer == 6);
  CHECK(test::same_bytes(problem.packet.packet, sys::Bytes(frame).subspan(kIpAt, 44)));
}

TEST_CASE("ingress: partial checksums are trusted only with the flags that say so") {
  struct Row {
    std::string description;
    ByteString frame;
    std::string kind_if_trusted;
  };
  const std::vector<Row> rows = {
      {"TCP", changed(syn_frame(), kTransportAt + 16, be16(0x1111)), "tcp"},
      {"UDP", changed(test::udp_frame(test::text_bytes("x")), kTransportAt + 6, be16(0x1111)), "udp"},
      {"never for ICMP", changed(test::echo_frame({}), kTransportAt + 2, be16(0x1111)),
       "dropped: bad checksum"},
      {"never for the IP header", changed(syn_frame(), kIpAt + 10, be16(0x1111)),
       "dropped: malformed IP header"},
      {"a malformed header stays one", changed(syn_frame(), kTransportAt + 12, byte_string({0x40})),
       "dropped: malformed transport header"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    const std::string untrusted =
        row.kind_if_trusted.starts_with("dropped") ? row.kind_if_trusted : "dropped: bad checksum";
    CHECK(classified(row.frame, 0) == untrusted);
    CHECK(classified(row.frame, 0xfc) == untrusted);
    CHECK(classified(row.frame, VnetHeader::kNeedsChecksum) == row.kind_if_trusted);
    CHECK(classified(row.frame, VnetHeader::kDataValid) == row.kind_if_trusted);
  }
}

TEST_CASE("ingress: the parts of a TCP segment") {
  ByteString frame = test::concat({data_frame(), ByteString(3)});
  const Ingress ingress = classify({}, frame);
  const auto* segment = std::get_if<TcpSegment>(&ingress);
  REQUIRE(segment != nullptr);
  CHECK(segment->packet.source_mac == test::kGuestMac);
  CHECK(segment->packet.ip.source == make_ipv4(10, 0, 2, 100));
  CHECK(segment->packet.packet.size() == 45);
  CHECK(segment->packet.payload().size() == 25);
  CHECK(segment->tcp.seq == 1000);
  CHECK(segment->key == FlowKey({make_ipv4(10, 0, 2, 100), 40000}, {make_ipv4(192, 0, 2, 1), 80}));
  CHECK(segment->segment.data() == &frame[kTransportAt]);
  CHECK(segment->segment.size() == 25);
  CHECK(segment->payload_size() == 5);
}

TEST_CASE("ingress: the parts of a datagram end with its own length") {
  Ipv4Spec ip{.protocol = 17};
  const ByteString datagram = test::udp_datagram(ip, 40000, 53, test::text_bytes("abc"));
  const ByteString padded = test::concat({datagram, ByteString(4)});
  ByteString frame = test::ethernet_frame(kEtherTypeIpv4, test::ipv4_packet(ip, padded));
  const Ingress ingress = classify({}, frame);
  const auto* udp = std::get_if<UdpDatagram>(&ingress);
  REQUIRE(udp != nullptr);
  CHECK(test::same_bytes(udp->payload, test::text_bytes("abc")));
  CHECK(udp->source() == sys::Endpoint{make_ipv4(10, 0, 2, 100), 40000});
  CHECK(udp->destination() == sys::Endpoint{make_ipv4(192, 0, 2, 1), 53});
}

TEST_CASE("ingress: several datagrams in one frame are told by the virtio header") {
  struct Row {
    std::string description;
    std::uint8_t gso_type;
    std::uint16_t gso_size;
    std::uint16_t segment_size;
  };
  const std::vector<Row> rows = {
      {"one", VnetHeader::kGsoNone, 0, 0},
      {"one, with a size that means nothing", VnetHeader::kGsoNone, 100, 0},
      {"several", VnetHeader::kGsoUdpL4, 100, 100},
      {"another kind", VnetHeader::kGsoTcp4, 100, 0},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    ByteString frame = test::udp_frame(ByteString(250));
    VnetHeader vnet;
    vnet.gso_type = row.gso_type;
    vnet.gso_size = row.gso_size;
    const Ingress ingress = classify(vnet, frame);
    const auto* udp = std::get_if<UdpDatagram>(&ingress);
    REQUIRE(udp != nullptr);
    CHECK(udp->segment_size == row.segment_size);
    CHECK(udp->payload.size() == 250);
  }
}

TEST_CASE("ingress: a fragment is handed on whole, whatever it holds") {
  ByteString frame = changed_ip(data_frame(), 6, be16(0x2005));
  frame = changed(frame, kTransportAt + 12, byte_string({0x40}));  // no TCP header would look like this
  const Ingress ingress = classify({}, frame);
  const auto* fragment = std::get_if<IpFragment>(&ingress);
  REQUIRE(fragment != nullptr);
  CHECK(fragment->packet.source_mac == test::kGuestMac);
  CHECK(fragment->packet.ip.fragment_offset == 40);
  CHECK(fragment->packet.ip.more_fragments);
  CHECK(fragment->packet.payload().size() == 25);
}

TEST_CASE("ingress: frames to a group are told from those to the gateway") {
  constexpr MacAddress kMulticastMac{0x01, 0, 0x5e, 0, 0, 1};
  for (const ByteString& frame :
       {test::tcp_frame({}), test::udp_frame(ByteString(10)), test::echo_frame(ByteString(10)),
        test::udp_frame(ByteString(16), {.fragment = 0x2000})}) {
    for (const MacAddress& to : {kGatewayMac, kBroadcastMac, kMulticastMac}) {
      ByteString copy = frame;
      test::overwrite(copy, 0, std::as_bytes(std::span(to)));
      const Ingress ingress = classify({}, copy);
      const IpPacket* packet = ip_packet(ingress);
      REQUIRE(packet != nullptr);
      CHECK(packet->group_frame == (to != kGatewayMac));
    }
  }
  CHECK(ip_packet(Dropped{DropReason::short_frame}) == nullptr);
}

TEST_CASE("ingress: the parts of an ICMP message") {
  ByteString frame = test::echo_frame(test::text_bytes("ping"));
  const Ingress ingress = classify({}, frame);
  const auto* icmp = std::get_if<IcmpMessage>(&ingress);
  REQUIRE(icmp != nullptr);
  CHECK(icmp->type == IcmpType::kEchoRequest);
  CHECK(icmp->code == 0);
  CHECK(icmp->message.size() == 12);
}

// Copies of exactly the size: the sanitizer sees every read past the end.
TEST_CASE("ingress: no prefix of a good frame is accepted, or read past its end") {
  const std::vector<ByteString> frames = {syn_frame(), data_frame(), test::udp_frame(test::text_bytes("x")),
                                          test::echo_frame(test::text_bytes("ping"))};
  for (const ByteString& frame : frames) {
    for (std::size_t size = 0; size < frame.size(); ++size) {
      CAPTURE(size);
      const sys::Bytes part = std::span(frame).first(size);
      CHECK(classified(ByteString(part.begin(), part.end())).starts_with("dropped"));
      CHECK(classified(ByteString(part.begin(), part.end()), 3).starts_with("dropped"));
    }
  }
  const ByteString arp = arp_frame();
  for (std::size_t size = 0; size < arp.size(); ++size) {
    const sys::Bytes part = std::span(arp).first(size);
    CHECK(classified(ByteString(part.begin(), part.end())) == (size < 14 ? "dropped: short frame" : "arp"));
  }
}

TEST_CASE("ingress: random damage is never fatal") {
  std::mt19937 random(5);
  const std::vector<ByteString> frames = {arp_frame(), syn_frame(), data_frame(),
                                          test::udp_frame(test::text_bytes("x")), test::echo_frame({})};
  for (int round = 0; round < 20000; ++round) {
    ByteString frame = frames[random() % frames.size()];
    for (auto n = random() % 4; n > 0; --n) {
      frame[random() % frame.size()] = static_cast<std::byte>(random());
    }
    const sys::Bytes part = std::span(frame).first(random() % (frame.size() + 1));
    CHECK_FALSE(classified(ByteString(part.begin(), part.end()), random() % 4 == 0 ? 1 : 0).empty());
  }
}

TEST_CASE("ingress: every reason has a text") {
  for (std::uint8_t i = 0; i < static_cast<std::uint8_t>(DropReason::count); ++i) {
    CHECK(std::string(to_string(static_cast<DropReason>(i))) != "?");
  }
  CHECK(std::string(to_string(DropReason::count)) == "?");
}

}  // namespace
}  // namespace l4n::stack
