#include "stack/guest_link.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "tests/support/packets.hpp"

namespace l4n::stack {
namespace {

using sys::make_ipv4;
using test::ByteString;
using test::kGuestMac;

constexpr sys::Ipv4Address kGateway = make_ipv4(10, 0, 2, 2);
constexpr sys::Ipv4Address kGuest = make_ipv4(10, 0, 2, 100);
constexpr std::size_t kIpAt = 24;  // behind the virtio and the Ethernet header
constexpr std::size_t kTransportAt = 44;

// Keeps every frame, with the room for the virtio header; or takes none.
class CapturingPort final : public FramePort {
 public:
  explicit CapturingPort(bool vnet_header = true) : vnet_header_(vnet_header) {}

  [[nodiscard]] bool has_vnet_header() const noexcept override { return vnet_header_; }
  [[nodiscard]] sys::IoResult read(FrameBuffer& /*into*/) noexcept override {
    return sys::IoResult::blocked();
  }
  [[nodiscard]] sys::IoResult write(std::span<iovec> parts) noexcept override {
    if (answer.status != sys::IoStatus::done) {
      return answer;
    }
    ByteString frame;
    for (const iovec& part : parts) {
      const auto* begin = static_cast<const std::byte*>(part.iov_base);
      frame.insert(frame.end(), begin, begin + part.iov_len);
    }
    frames.push_back(frame);
    return sys::IoResult::moved(frame.size());
  }

  std::vector<ByteString> frames;
  sys::IoResult answer = sys::IoResult::moved(0);

 private:
  bool vnet_header_;
};

struct Fixture {
  CapturingPort port;
  GuestLink link{port, 1500};

  // The one frame that was sent since the last call.
  ByteString only() {
    REQUIRE(port.frames.size() == 1);
    ByteString frame = port.frames[0];
    port.frames.clear();
    return frame;
  }
};

ByteString part(const ByteString& data, std::size_t at, std::size_t size) {
  const sys::Bytes view = std::span(data).subspan(at, size);
  return {view.begin(), view.end()};
}
ByteString from(const ByteString& data, std::size_t at) { return part(data, at, data.size() - at); }

// Checks what every IPv4 frame from us has in common.
void check_ipv4_frame(const ByteString& frame, std::uint8_t protocol) {
  REQUIRE(frame.size() >= kTransportAt);
  CHECK(part(frame, 0, 10) == ByteString(10));  // no offload
  CHECK(part(frame, 10, 6) == test::from_hex("02 11 22 33 44 55"));
  CHECK(part(frame, 16, 6) == test::from_hex("52 55 0a 00 02 02"));
  CHECK(part(frame, 22, 3) == test::from_hex("08 00 45"));
  CHECK(test::plain_checksum(part(frame, kIpAt, 20)) == 0);
  CHECK(sys::load_be16(&frame[kIpAt + 2]) == frame.size() - kIpAt);
  CHECK(sys::load_u8(&frame[kIpAt + 9]) == protocol);
}

// As if the guest had sent it.
ByteString guest_packet(std::size_t payload, std::size_t options = 0) {
  test::Ipv4Spec spec;
  spec.protocol = kProtocolUdp;
  spec.options = ByteString(options, std::byte{1});
  ByteString data(payload);
  for (std::size_t i = 0; i < payload; ++i) {
    data[i] = static_cast<std::byte>(i);
  }
  return test::ipv4_packet(spec, data);
}

TEST_CASE_FIXTURE(Fixture, "guest link: ARP") {
  link.send_arp(kGuestMac, {ArpPacket::kReply, kGatewayMac, kGateway, kGuestMac, kGuest});
  CHECK(only() == test::from_hex("00000000000000000000"
                                 "021122334455 52550a000202 0806"
                                 "0001 0800 06 04 0002 52550a000202 0a000202 021122334455 0a000264"));
}

TEST_CASE_FIXTURE(Fixture, "guest link: offsets of offloads count from the Ethernet header") {
  struct Row {
    std::string description;
    VnetHeader given;
    VnetHeader sent;
  };
  const std::vector<Row> rows = {
      {"nothing to do", {}, {}},
      {"a partial checksum", {1, 0, 0, 0, 20, 16}, {1, 0, 14, 0, 34, 16}},
      {"a super-segment", {1, 1, 40, 1460, 20, 16}, {1, 1, 54, 1460, 34, 16}},
      {"a verified checksum", {2, 0, 0, 0, 0, 0}, {2, 0, 14, 0, 14, 0}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    ByteString payload = test::text_bytes("abc");
    const iovec piece{payload.data(), payload.size()};
    link.send(kGuestMac, 0x1234, row.given, {&piece, 1});
    const ByteString frame = only();
    ByteString header(VnetHeader::kSize);
    row.sent.encode(header);
    CHECK(part(frame, 0, 10) == header);
    CHECK(part(frame, 22, 2) == test::be16(0x1234));
    CHECK(from(frame, 24) == payload);
  }
}

TEST_CASE_FIXTURE(Fixture, "guest link: as many pieces as promised, in order") {
  std::vector<ByteString> data;
  std::vector<iovec> pieces;
  for (std::size_t i = 0; i < GuestLink::kMaxParts; ++i) {
    data.emplace_back(i % 3, static_cast<std::byte>(i));
  }
  ByteString whole;
  for (ByteString& d : data) {
    pieces.push_back({d.data(), d.size()});
    whole = test::concat({whole, d});
  }
  link.send(kGuestMac, 0x0800, {}, pieces);
  CHECK(from(only(), 24) == whole);
}

TEST_CASE_FIXTURE(Fixture, "guest link: IPv4 headers") {
  IpHeader header;
  header.source = kGateway;
  header.destination = kGuest;
  header.protocol = kProtocolIcmp;
  header.tos = 0x28;
  header.ttl = 9;
  header.dont_fragment = true;
  const ByteString payload = test::text_bytes("payload");
  link.send_ip(kGuestMac, header, payload);
  const ByteString first = only();
  check_ipv4_frame(first, 1);
  CHECK(part(first, kIpAt + 1, 1) == test::from_hex("28"));
  CHECK(part(first, kIpAt + 6, 3) == test::from_hex("40 00 09"));
  CHECK(part(first, kIpAt + 12, 8) == test::from_hex("0a000202 0a000264"));
  CHECK(from(first, kTransportAt) == payload);
  link.send_ip(kGuestMac, header, payload);
  CHECK(part(only(), kIpAt + 4, 2) != part(first, kIpAt + 4, 2));  // another identification
}

TEST_CASE("guest link: what does not fit the MTU and must not be fragmented is not sent, but counted") {
  struct Row {
    unsigned mtu;
    std::size_t payload;
    bool sent;
  };
  const std::vector<Row> rows = {
      {1500, 1480, true}, {1500, 1481, false}, {68, 48, true},       {68, 49, false},
      {68, 0, true},      {1500, 9999, false}, {65521, 65501, true}, {65521, 65502, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.mtu);
    CAPTURE(row.payload);
    CapturingPort port;
    GuestLink link(port, row.mtu);
    IpHeader header;
    header.source = kGateway;
    header.destination = kGuest;
    header.protocol = kProtocolIcmp;
    header.dont_fragment = true;
    link.send_ip(kGuestMac, header, ByteString(row.payload));
    CHECK(port.frames.size() == (row.sent ? 1 : 0));
    CHECK(link.counters().lost == (row.sent ? 0 : 1));
  }
}

TEST_CASE_FIXTURE(Fixture, "guest link: what does not fit into an IP packet is not sent, but counted") {
  IpHeader header;
  header.source = kGateway;
  header.destination = kGuest;
  header.protocol = kProtocolIcmp;
  link.send_ip(kGuestMac, header, ByteString(65516));
  link.send_udp(kGuestMac, {kGateway, 1}, {kGuest, 2}, ByteString(65508));
  CHECK(port.frames.empty());
  CHECK(link.counters().lost == 2);
}

TEST_CASE_FIXTURE(Fixture, "guest link: counts what it sends, and what the port does not take") {
  const sys::Endpoint gateway{kGateway, 53};
  const sys::Endpoint guest{kGuest, 40000};
  link.send_udp(kGuestMac, gateway, guest, test::text_bytes("abc"));
  CHECK(link.counters().frames == 1);
  CHECK(link.counters().bytes == only().size());
  const std::vector<sys::IoResult> refusals = {sys::IoResult::blocked(), sys::IoResult::error_of(EIO),
                                               sys::IoResult::error_of(ENOBUFS)};
  for (const sys::IoResult& refusal : refusals) {
    port.answer = refusal;
    link.send_udp(kGuestMac, gateway, guest, test::text_bytes("abc"));
  }
  CHECK(link.counters().frames == 1);
  CHECK(link.counters().lost == 3);
}

TEST_CASE("guest link: an ICMP error quotes as much as 576 bytes and the MTU allow") {
  struct Row {
    std::string description;
    unsigned mtu;
    std::size_t original;  // bytes of the guest's packet
    std::size_t quoted;
  };
  const std::vector<Row> rows = {
      {"a bare header", 1500, 20, 20},    {"a short packet", 1500, 28, 28},
      {"just fits", 1500, 548, 548},      {"one too long", 1500, 549, 548},
      {"a full packet", 1500, 1500, 548}, {"a huge packet", 65520, 65520, 548},
      {"an MTU of 576", 576, 576, 548},   {"an MTU of 296", 296, 296, 268},
      {"the smallest MTU", 68, 68, 40},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    CapturingPort port;
    GuestLink link(port, row.mtu);
    const ByteString original = guest_packet(row.original - 20);
    link.send_icmp_error(kGuestMac, kGateway, IcmpType::kUnreachable, IcmpUnreachable::kPort, original);
    REQUIRE(port.frames.size() == 1);
    const ByteString& frame = port.frames[0];
    check_ipv4_frame(frame, 1);
    CHECK(part(frame, kIpAt + 1, 1) == test::from_hex("c0"));
    CHECK(part(frame, kIpAt + 12, 8) == test::from_hex("0a000202 0a000264"));
    CHECK(part(frame, kTransportAt, 2) == test::from_hex("03 03"));
    CHECK(part(frame, kTransportAt + 4, 4) == ByteString(4));
    CHECK(test::plain_checksum(from(frame, kTransportAt)) == 0);
    CHECK(from(frame, kTransportAt + 8) == part(original, 0, row.quoted));
  }
}

TEST_CASE_FIXTURE(Fixture, "guest link: an ICMP error quotes IP options, and nothing behind the packet") {
  const ByteString original = guest_packet(8, 40);
  const ByteString padded = test::concat({original, ByteString(20, std::byte{0xee})});
  link.send_icmp_error(kGuestMac, kGateway, IcmpType::kTimeExceeded, 0, padded);
  CHECK(from(only(), kTransportAt + 8) == original);
}

ByteString icmp_packet(std::uint8_t type) {
  test::Ipv4Spec spec;
  spec.protocol = kProtocolIcmp;
  return test::ipv4_packet(spec, test::icmp_message(type, 0, ByteString(4)));
}

ByteString packet_between(sys::Ipv4Address source, sys::Ipv4Address destination) {
  return test::ipv4_packet({.source = source, .destination = destination}, ByteString(8));
}

// RFC 1122 3.2.2 and RFC 1812 4.3.2.7.
TEST_CASE_FIXTURE(Fixture, "guest link: what is answered with an ICMP error") {
  struct Row {
    std::string description;
    ByteString original;
    bool answered;
  };
  const std::vector<Row> rows = {
      {"a datagram", guest_packet(8), true},
      {"a first fragment", test::ipv4_packet({.fragment = 0x2000}, ByteString(8)), true},
      {"a ping", icmp_packet(8), true},
      {"a time stamp request", icmp_packet(13), true},
      {"an echo reply", icmp_packet(0), true},
      {"destination unreachable", icmp_packet(3), false},
      {"source quench", icmp_packet(4), false},
      {"redirect", icmp_packet(5), false},
      {"time exceeded", icmp_packet(11), false},
      {"parameter problem", icmp_packet(12), false},
      {"ICMP without a type", test::ipv4_packet({.protocol = kProtocolIcmp}, {}), false},
      {"a later fragment", test::ipv4_packet({.fragment = 0x0001}, ByteString(8)), false},
      {"to all", packet_between(kGuest, make_ipv4(255, 255, 255, 255)), false},
      {"to a group", packet_between(kGuest, make_ipv4(224, 0, 0, 251)), false},
      {"from nobody", packet_between({}, kGateway), false},
      {"from all", packet_between(make_ipv4(255, 255, 255, 255), kGateway), false},
      {"from a group", packet_between(make_ipv4(239, 1, 2, 3), kGateway), false},
      {"from a loopback address", packet_between(make_ipv4(127, 0, 0, 1), kGateway), false},
      {"nothing", {}, false},
      {"half a header", part(guest_packet(8), 0, 10), false},
      {"a packet that is cut", part(guest_packet(8), 0, 27), true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    link.send_icmp_error(kGuestMac, kGateway, IcmpType::kUnreachable, IcmpUnreachable::kNetwork,
                         row.original);
    CHECK(port.frames.size() == (row.answered ? 1 : 0));
    port.frames.clear();
  }
}

TEST_CASE_FIXTURE(Fixture, "guest link: UDP") {
  for (const std::size_t size : {0U, 1U, 2U, 511U, 512U, 1472U}) {
    CAPTURE(size);
    const ByteString payload(size, std::byte{0x61});
    link.send_udp(kGuestMac, {kGateway, 53}, {kGuest, 40000}, payload);
    const ByteString frame = only();
    check_ipv4_frame(frame, 17);
    CHECK(part(frame, kIpAt + 12, 8) == test::from_hex("0a000202 0a000264"));
    CHECK(part(frame, kTransportAt, 4) == test::from_hex("0035 9c40"));
    CHECK(part(frame, kTransportAt + 4, 2) == test::be16(static_cast<unsigned>(size + 8)));
    CHECK(from(frame, kTransportAt + 8) == payload);
    CHECK(test::plain_transport_checksum(kGateway, kGuest, 17, from(frame, kTransportAt)) == 0);
  }
}

TEST_CASE_FIXTURE(Fixture, "guest link: a UDP checksum is never 0, which would mean that there is none") {
  const sys::Endpoint source{kGateway, 53};
  const sys::Endpoint destination{kGuest, 40000};
  link.send_udp(kGuestMac, source, destination, ByteString(2));
  // The checksum of the datagram with two zeros is what the two bytes must be for the sum to become 0xffff.
  const ByteString filling = part(only(), kTransportAt + 6, 2);
  link.send_udp(kGuestMac, source, destination, filling);
  CHECK(part(only(), kTransportAt + 6, 2) == test::from_hex("ff ff"));
  for (unsigned value = 0; value < 0x10000; value += 0x111) {
    link.send_udp(kGuestMac, source, destination, test::be16(value));
    CHECK(part(only(), kTransportAt + 6, 2) != ByteString(2));
  }
}

// RFC 9293 3.10.7.1.
TEST_CASE_FIXTURE(Fixture, "guest link: the reset that answers a segment without a connection") {
  struct Row {
    std::string description;
    std::uint8_t flags;
    std::uint32_t seq;
    std::uint32_t ack;
    std::size_t payload;
    std::string reset;  // sequence number, acknowledgment, offset and flags; empty: none
  };
  constexpr std::uint8_t kFin = TcpFlags::kFin;
  constexpr std::uint8_t kSyn = TcpFlags::kSyn;
  constexpr std::uint8_t kRst = TcpFlags::kRst;
  constexpr std::uint8_t kAck = TcpFlags::kAck;
  const std::vector<Row> rows = {
      {"a SYN", kSyn, 0x1000, 0, 0, "00000000 00001001 5014"},
      {"a SYN with a stale ACK field", kSyn, 0x1000, 0x7777, 0, "00000000 00001001 5014"},
      {"a SYN with data", kSyn, 0x1000, 0, 16, "00000000 00001011 5014"},
      {"a SYN at the end of the space", kSyn, 0xffffffff, 0, 0, "00000000 00000000 5014"},
      {"SYN and FIN", kSyn | kFin, 0x1000, 0, 16, "00000000 00001012 5014"},
      {"FIN without ACK", kFin, 0x1000, 0, 0, "00000000 00001001 5014"},
      {"data without ACK", 0, 0x1000, 0, 5, "00000000 00001005 5014"},
      {"nothing at all", 0, 0x1000, 0, 0, "00000000 00001000 5014"},
      {"an ACK", kAck, 0x1000, 0x2000, 0, "00002000 00000000 5004"},
      {"data", kAck, 0x1000, 0xfffffff0, 100, "fffffff0 00000000 5004"},
      {"a FIN", kAck | kFin, 0x1000, 0x2000, 0, "00002000 00000000 5004"},
      {"a SYN-ACK", kSyn | kAck, 0x1000, 0x2000, 0, "00002000 00000000 5004"},
      {"a reset", kRst, 0x1000, 0, 0, ""},
      {"a reset with ACK", kRst | kAck, 0x1000, 0x2000, 0, ""},
      {"a reset with SYN", kRst | kSyn, 0x1000, 0, 0, ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    TcpHeader offending;
    offending.flags = row.flags;
    offending.seq = row.seq;
    offending.ack = row.ack;
    link.send_tcp_reset(kGuestMac, {kGateway, 80}, {kGuest, 40000}, offending, row.payload);
    if (row.reset.empty()) {
      CHECK(port.frames.empty());
      continue;
    }
    const ByteString frame = only();
    check_ipv4_frame(frame, 6);
    CHECK(frame.size() == kTransportAt + 20);
    CHECK(part(frame, kTransportAt, 4) == test::from_hex("0050 9c40"));
    CHECK(part(frame, kTransportAt + 4, 10) == test::from_hex(row.reset));
    CHECK(test::plain_transport_checksum(kGateway, kGuest, 6, from(frame, kTransportAt)) == 0);
  }
}

TEST_CASE_FIXTURE(Fixture, "guest link: a bare acknowledgment") {
  link.send_tcp_ack(kGuestMac, {kGateway, 80}, {kGuest, 40000}, 0xfffffffe, 0x01020304);
  const ByteString frame = only();
  check_ipv4_frame(frame, 6);
  CHECK(part(frame, kTransportAt, 14) == test::from_hex("0050 9c40 fffffffe 01020304 5010"));
  CHECK(test::plain_transport_checksum(kGateway, kGuest, 6, from(frame, kTransportAt)) == 0);
}

TEST_CASE("guest link: offloads are what the port can do") {
  CapturingPort with(true);
  CapturingPort without(false);
  CHECK(GuestLink(with, 1500).offloads());
  CHECK_FALSE(GuestLink(without, 1500).offloads());
  CHECK(GuestLink(with, 4000).mtu() == 4000);
}

}  // namespace
}  // namespace l4n::stack
