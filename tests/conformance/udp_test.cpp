// RFC 768 and RFC 1122 4.1: datagrams to the outside, their lengths, checksums and errors. RFC 792: pings
// that are too large for one frame.
#include <algorithm>
#include <cerrno>

#include "tests/conformance/frames.hpp"
#include "tests/conformance/row.hpp"

namespace l4n::conformance {
namespace {

using namespace std::chrono_literals;
using integration::bytes_of;
using integration::kGatewayAddress;
using integration::kGuestAddress;
using integration::kServer;
using integration::random_data;

constexpr std::size_t kChecksumAt = kTransportAt + 6;
constexpr std::size_t kLengthAt = kTransportAt + 4;

// What the host's socket is told to send when the guest sends this frame.
void check_passed_on(const Data& frame, const Data& payload) {
  World w;
  w.port.inject(frame);
  w.settle();
  REQUIRE(w.host.udp.opened() == 1);
  REQUIRE(w.host.udp.last().datagrams().size() == 1);
  CHECK(w.host.udp.last().datagrams()[0] == payload);
  CHECK(w.host.udp.last().sent()[0].to == kServer);
  CHECK(w.others.empty());
}

// A datagram of this size goes out and an equal one comes back, in fragments where the MTU wants them.
std::function<void()> carries(std::size_t size, unsigned mtu) {
  return [size, mtu] {
    World w({.mtu = mtu});
    const Data up = random_data(size, 1);
    w.send_udp(kServer, up);
    w.settle();
    REQUIRE(w.host.udp.opened() == 1);
    REQUIRE(w.host.udp.last().datagrams().size() == 1);
    CHECK(w.host.udp.last().datagrams()[0] == up);
    const Data down = random_data(size, 2);
    w.host.udp.last().deliver(kServer, down);
    w.settle();
    const auto datagrams = w.datagrams();
    REQUIRE(datagrams.size() == 1);
    CHECK(datagrams[0].source == kServer);
    CHECK(datagrams[0].destination == integration::UdpSender{}.local);
    CHECK(datagrams[0].payload == down);
  };
}

Data sum_that_is_zero() {
  // The two bytes make the rest of the datagram's sum 0xffff: its checksum would be 0 and is sent as 0xffff.
  Data frame = changed(udp_frame(kServer, Data(2)), kChecksumAt, {0, 0});
  const std::uint16_t rest = integration::ones_sum(
      sys::Bytes(frame).subspan(kTransportAt),
      integration::pseudo_sum(kGuestAddress, kServer.address.v4(), stack::kProtocolUdp, 10));
  sys::store_be16(&frame[kTransportAt + 8], static_cast<std::uint16_t>(~rest));
  return changed(std::move(frame), kChecksumAt, {0xff, 0xff});
}

TEST_CASE("UDP") {
  const Data good = udp_frame(kServer, bytes_of("payload"));
  check_rows({
      {"RFC 768", "an empty datagram", carries(0, 1500)},
      {"RFC 768", "one byte: an odd checksum", carries(1, 1500)},
      {"RFC 768", "as much as one packet takes", carries(1472, 1500)},
      {"RFC 768", "a byte more, in fragments", carries(1473, 1500)},
      {"RFC 768", "the largest datagram in fragments of 576", carries(65'507, 576)},
      {"RFC 768", "the largest datagram in fragments of 1500", carries(65'507, 1500)},
      {"RFC 768", "the largest datagram at the largest MTU", carries(65'507, 65'521)},
      {"RFC 768", "a checksum of 0 is none",
       [good] {
         check_passed_on(changed(good, kChecksumAt, {0, 0}), bytes_of("payload"));
       }},
      {"RFC 768", "a checksum that would be 0 is sent as ones, and taken",
       [] {
         const Data frame = sum_that_is_zero();
         check_passed_on(frame, Data(frame.end() - 2, frame.end()));
       }},
      {"RFC 768", "what follows the UDP length is not part of the datagram",
       [good] {
         check_passed_on(changed(changed(good, kChecksumAt, {0, 0}), kLengthAt, {0, 11}), bytes_of("pay"));
       }},
      {"RFC 768", "only the length's bytes are summed",
       [] {
         Data longer = udp_frame(kServer, bytes_of("pay"));
         longer = with_ip_payload(longer, 8 + 7);
         check_passed_on(longer, bytes_of("pay"));
       }},
      {"RFC 1122 4.1.3.5", "one socket for every peer of one guest endpoint",
       [] {
         World w;
         w.send_udp(kServer, bytes_of("a"));
         w.send_udp({sys::make_ipv4(192, 0, 2, 2), 81}, bytes_of("b"));
         w.settle();
         CHECK(w.host.udp.opened() == 1);
       }},
  });
}

void error_is_relayed(const nat::HostError& error, const std::string& expected) {
  World w;
  const Data up = bytes_of("to nobody");
  w.send_udp(kServer, up);
  w.settle();
  REQUIRE(w.host.udp.opened() == 1);
  w.host.udp.last().fail(error, kServer, up);
  w.settle();
  CHECK(answer_texts(w.others) == std::vector<std::string>{expected});
  REQUIRE(w.others.size() == 1);
  const Data quoted = w.others[0].icmp->quoted();
  REQUIRE(quoted.size() >= 28);
  CHECK(sys::load_be32(&quoted[12]) == kGuestAddress.value);
  CHECK(sys::load_be32(&quoted[16]) == kServer.address.v4().value);
  CHECK(sys::load_be16(&quoted[20]) == integration::UdpSender{}.local.port);
  CHECK(sys::load_be16(&quoted[22]) == kServer.port);
}

TEST_CASE("UDP: errors") {
  const auto router = sys::make_ipv4(203, 0, 113, 9);
  check_rows({
      {"RFC 1122 4.1.3.3", "port unreachable, quoting the guest's own packet",
       [] {
         error_is_relayed({ECONNREFUSED, nat::IcmpReason{3, 3}, 0, kServer.address.v4()},
                          "ICMP 3/3 192.0.2.1 -> 10.0.2.100");
       }},
      {"RFC 1122 4.1.3.3", "host unreachable, from the router that says so",
       [router] {
         error_is_relayed({EHOSTUNREACH, nat::IcmpReason{3, 1}, 0, router},
                          "ICMP 3/1 203.0.113.9 -> 10.0.2.100");
       }},
      {"RFC 792", "time exceeded, from the router that says so",
       [router] {
         error_is_relayed({EHOSTUNREACH, nat::IcmpReason{11, 0}, 0, router},
                          "ICMP 11/0 203.0.113.9 -> 10.0.2.100");
       }},
      {"RFC 1812 5.3.1", "TTL is passed on, less one",
       [] {
         World w;
         w.send_udp(kServer, bytes_of("x"), {.ip = {.ttl = 5}});
         w.settle();
         REQUIRE(w.host.udp.opened() == 1);
         CHECK(w.host.udp.last().sent().at(0).fields.ttl == 4);
       }},
      {"RFC 2474 4", "the DS field is passed on",
       [] {
         World w;
         w.send_udp(kServer, bytes_of("x"), {.ip = {.tos = 0xb8}});
         w.settle();
         REQUIRE(w.host.udp.opened() == 1);
         CHECK(w.host.udp.last().sent().at(0).fields.tos == 0xb8);
       }},
      {"RFC 1191 3", "don't fragment is passed on",
       [] {
         World w;
         w.send_udp(kServer, bytes_of("x"), {.ip = {.dont_fragment = true}});
         w.settle();
         REQUIRE(w.host.udp.opened() == 1);
         CHECK(w.host.udp.last().sent().at(0).fields.dont_fragment);
       }},
  });
}

// --- ping in fragments, and through the host ---

std::function<void()> echoes_in_fragments(std::size_t size, unsigned mtu) {
  return [size, mtu] {
    World w({.mtu = mtu});
    w.inject_fragmented(integration::icmp_packet(kGuestAddress, kGatewayAddress, echo_request(size)));
    w.settle();
    REQUIRE(w.others.size() == 1);
    CHECK(answer_text(w.others[0]) == "ICMP 0/0 10.0.2.2 -> 10.0.2.100");
    CHECK(w.others[0].icmp->rest == echo_request(size).rest);
    CHECK(w.others[0].pieces > 1);
  };
}

void ping_elsewhere(std::size_t size) {
  World w;
  const integration::IcmpMessage request = echo_request(size);
  w.inject_fragmented(integration::icmp_packet(kGuestAddress, kServer.address.v4(), request));
  w.settle();
  REQUIRE(w.host.ping.opened() == 1);
  auto& ping = w.host.ping.last();
  REQUIRE(ping.sent.size() == 1);
  ping.reply(kServer.address.v4(), ping.sent[0].message);
  w.settle();
  REQUIRE(w.others.size() == 1);
  CHECK(answer_text(w.others[0]) == "ICMP 0/0 192.0.2.1 -> 10.0.2.100");
  CHECK(w.others[0].icmp->rest == request.rest);
}

TEST_CASE("ICMP: large and elsewhere") {
  check_rows({
      {"RFC 792", "an echo in two fragments", echoes_in_fragments(1473, 1500)},
      {"RFC 792", "the largest echo, 65,507 bytes", echoes_in_fragments(65'507, 1500)},
      {"RFC 792", "the largest echo at an MTU of 68", echoes_in_fragments(65'507, 68)},
      {"RFC 792", "the largest echo at the largest MTU", echoes_in_fragments(65'507, 65'521)},
      {"RFC 792", "elsewhere: identifier, sequence number and data come back", [] { ping_elsewhere(56); }},
      {"RFC 792", "elsewhere: without data", [] { ping_elsewhere(0); }},
      {"RFC 792", "elsewhere: the largest", [] { ping_elsewhere(65'507); }},
  });
}

}  // namespace
}  // namespace l4n::conformance
