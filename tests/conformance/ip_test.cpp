// RFC 791, RFC 1122 and RFC 1812: the IP header, its options, TTL and fragments; RFC 792: ping of the
// gateway.
#include "tests/conformance/frames.hpp"
#include "tests/conformance/row.hpp"

namespace l4n::conformance {
namespace {

using namespace std::chrono_literals;
using integration::bytes_of;
using integration::kDnsAddress;
using integration::kGatewayAddress;
using integration::kServer;
using sys::make_ipv4;

// Whatever reaches the gateway is a ping of it, which it answers.
const std::string kReply = "ICMP 0/0 10.0.2.2 -> 10.0.2.100";
const std::string kTimeExceeded = "ICMP 11/0 10.0.2.2 -> 10.0.2.100";
const std::string kReassemblyTime = "ICMP 11/1 10.0.2.2 -> 10.0.2.100";
const std::string kBadIp = "malformed IP header 1";

Data ping() { return echo_frame(kGatewayAddress); }

Data with_trailer(Data frame) {
  integration::append(frame, Data(20, std::byte{0xee}));
  return frame;
}

Data nops(std::size_t n) { return Data(n, std::byte{1}); }

// A record route option with room for one address, filled up to `size` bytes.
Data record_route(std::size_t size) {
  Data option{std::byte{7}, std::byte{7}, std::byte{4}};
  option.resize(size);
  return option;
}

TEST_CASE("IP: the header") {
  const Data good = ping();
  check_frame_rows({
      {"RFC 791 3.1", "the least header", {good}, {kReply}, ""},
      {"RFC 791 3.1", "no operation options are passed over", {with_ip_options(good, nops(4))}, {kReply}, ""},
      {"RFC 791 3.1",
       "an option that is not known is passed over",
       {with_ip_options(good, record_route(8))},
       {kReply},
       ""},
      {"RFC 791 3.1", "the longest header, 60 bytes", {with_ip_options(good, nops(40))}, {kReply}, ""},
      {"RFC 1122 3.2.1.1", "another version is dropped", {with_ip(good, 0, {0x65})}, {}, kBadIp},
      {"RFC 791 3.1", "a header length of less than 20", {with_ip(good, 0, {0x44})}, {}, kBadIp},
      {"RFC 791 3.1",
       "a header longer than the packet",
       {with_ip(with_ip_payload(good, 8), 0, {0x4f})},
       {},
       kBadIp},
      {"RFC 791 3.1", "a total length of less than the header", {with_ip(good, 2, {0, 19})}, {}, kBadIp},
      {"RFC 791 3.1", "a total length of 0", {with_ip(good, 2, {0, 0})}, {}, kBadIp},
      {"RFC 791 3.1", "a total length beyond the frame", {with_ip(good, 2, {0, 61})}, {}, kBadIp},
      {"RFC 791 3.1", "the largest total length", {with_ip(good, 2, {0xff, 0xff})}, {}, kBadIp},
      {"RFC 1122 3.2.1.2",
       "a wrong header checksum is dropped",
       {changed(good, kIpAt + 10, {0, 0})},
       {},
       kBadIp},
      {"RFC 894", "what follows the total length is padding", {with_trailer(good)}, {kReply}, ""},
      {"RFC 2474 3", "any DS field", {with_ip(good, 1, {0xff})}, {kReply}, ""},
      {"RFC 6864 4", "any identification", {with_ip(good, 4, {0xff, 0xff})}, {kReply}, ""},
      {"RFC 791 3.1", "don't fragment", {with_ip(good, 6, {0x40, 0})}, {kReply}, ""},
      {"RFC 1122 3.2.2.1",
       "an unknown protocol is dropped",
       {with_ip(good, 9, {99})},
       {},
       "unknown IP protocol 1"},
  });
}

TEST_CASE("IP: TTL") {
  const Data good = ping();
  const Data away = syn_frame(kServer);
  check_frame_rows({
      {"RFC 1122 3.2.1.7",
       "a TTL of 1 ends at the gateway and is answered",
       {with_ip(good, 8, {1})},
       {kReply},
       ""},
      {"RFC 1122 3.2.1.7",
       "a TTL of 0 for ourselves is no reason to drop",
       {with_ip(good, 8, {0})},
       {kReply},
       ""},
      {"RFC 1812 5.3.1", "TCP elsewhere with a TTL of 1", {with_ip(away, 8, {1})}, {kTimeExceeded}, ""},
      {"RFC 1812 5.3.1", "TCP elsewhere with a TTL of 0", {with_ip(away, 8, {0})}, {kTimeExceeded}, ""},
      {"RFC 1812 5.3.1",
       "UDP elsewhere with a TTL of 1",
       {with_ip(udp_frame(kServer, bytes_of("x")), 8, {1})},
       {kTimeExceeded},
       ""},
      {"RFC 1812 5.3.1",
       "ping elsewhere with a TTL of 1",
       {with_ip(echo_frame(kServer.address.v4()), 8, {1})},
       {kTimeExceeded},
       ""},
  });
}

TEST_CASE("IP: fragments") {
  const Data whole = echo_frame(kGatewayAddress, 72);  // 80 bytes of ICMP
  const Data first = fragment_of(whole, 0, 24);
  const Data middle = fragment_of(whole, 24, 32);
  const Data last = fragment_of(whole, 56, 80);
  const Data overlap = fragment_of(whole, 16, 40);
  check_frame_rows({
      {"RFC 791 3.2", "in order", {first, middle, last}, {kReply}, ""},
      {"RFC 791 3.2", "in reverse", {last, middle, first}, {kReply}, ""},
      {"RFC 791 3.2", "one of them twice", {first, last, last, first, middle}, {kReply}, ""},
      {"RFC 791 3.2", "one is missing", {first, last}, {}, ""},
      {"RFC 791 3.2",
       "another identification is another packet",
       {first, middle, with_ip(last, 4, {1, 1})},
       {},
       ""},
      {"RFC 791 3.2",
       "another source is another packet",
       {first, middle, with_ip(last, 12, {10, 0, 2, 101})},
       {},
       ""},
      {"RFC 5722 4", "what overlaps is dropped as a whole", {first, overlap, middle, last}, {}, ""},
      {"RFC 5722 4",
       "what overlaps stays dropped",
       {first, overlap, middle, last, first, middle, last},
       {},
       ""},
      {"RFC 791 3.2",
       "a piece that is no multiple of 8, and not the last",
       {fragment_of(whole, 0, 20), last},
       {},
       ""},
      {"RFC 791 3.1", "a piece that ends beyond 65,535", {first, with_ip(last, 6, {0x1f, 0xff})}, {}, ""},
      {"RFC 791 3.2", "an empty piece", {with_ip_payload(first, 0), first, middle, last}, {kReply}, ""},
      {"RFC 1122 3.3.2",
       "fragments of an unknown protocol",
       {with_ip(first, 9, {99})},
       {},
       "unknown IP protocol 1"},
      {"RFC 1812 5.3.7",
       "fragments of a source that nobody may have",
       {with_ip(first, 12, {127, 0, 0, 1})},
       {},
       "denied 1"},
  });
  const auto later = [](const std::vector<Data>& frames, const std::vector<std::string>& answers) {
    return [frames, answers] {
      World w;
      for (const Data& frame : frames) {
        w.port.inject(frame);
      }
      w.advance(10s);
      CHECK(w.others.empty());
      w.advance(60s);
      CHECK(answer_texts(w.others) == answers);
    };
  };
  check_rows({
      {"RFC 1122 3.3.2", "time exceeded when the rest does not come",
       later({first, last}, {kReassemblyTime})},
      {"RFC 792", "no time exceeded without the first fragment", later({middle, last}, {})},
  });
}

TEST_CASE("ICMP") {
  const Data good = ping();
  check_frame_rows({
      {"RFC 792", "the gateway answers ping", {good}, {kReply}, ""},
      {"RFC 792",
       "the DNS server answers ping",
       {echo_frame(kDnsAddress)},
       {"ICMP 0/0 10.0.2.3 -> 10.0.2.100"},
       ""},
      {"RFC 1122 3.2.2",
       "a wrong checksum is dropped",
       {changed(good, kTransportAt + 2, {0, 1})},
       {},
       "bad checksum 1"},
      {"RFC 792", "less than a header", {with_ip_payload(good, 7)}, {}, "malformed transport header 1"},
      {"RFC 792",
       "nothing behind the IP header",
       {with_ip_payload(good, 0)},
       {},
       "malformed transport header 1"},
      {"RFC 1122 3.2.2.6", "an echo reply is not answered", {with_icmp(good, 0, {0})}, {}, "unserved 1"},
      {"RFC 1122 3.2.2", "an error is not answered", {with_icmp(good, 0, {3})}, {}, "unserved 1"},
      {"RFC 1122 3.2.2",
       "an unknown type is dropped silently",
       {with_icmp(good, 0, {255})},
       {},
       "unserved 1"},
      {"RFC 1122 3.2.2.8",
       "a timestamp request is not answered",
       {with_icmp(good, 0, {13})},
       {},
       "unserved 1"},
      {"RFC 1122 3.2.2.9",
       "an address mask request is not answered",
       {with_icmp(good, 0, {17})},
       {},
       "unserved 1"},
      {"RFC 1122 3.2.2.6",
       "a ping of the subnet's broadcast is not answered",
       {echo_frame(make_ipv4(10, 0, 2, 255))},
       {},
       "denied 1"},
      {"RFC 1122 3.2.2.6",
       "a ping of a multicast group is not answered",
       {echo_frame(make_ipv4(224, 0, 0, 1))},
       {},
       "denied 1"},
      {"RFC 792",
       "a ping of an unused address of the guest's network",
       {echo_frame(make_ipv4(10, 0, 2, 77))},
       {"ICMP 3/0 10.0.2.2 -> 10.0.2.100"},
       "denied 1"},
      {"RFC 1122 3.2.2",
       "no error about a source that is no single host",
       {echo_frame(make_ipv4(10, 0, 2, 77), 8, make_ipv4(10, 0, 2, 255))},
       {},
       "denied 1"},
  });
}

// A ping of this many bytes brings back identifier, sequence number and data unchanged.
std::function<void()> echoes(std::size_t size, unsigned mtu) {
  return [size, mtu] {
    World w({.mtu = mtu});
    w.port.inject(echo_frame(kGatewayAddress, size));
    w.settle();
    REQUIRE(w.others.size() == 1);
    CHECK(w.others[0].icmp->type == 0);
    CHECK(w.others[0].icmp->rest == echo_request(size).rest);
  };
}

TEST_CASE("ICMP: the echo's content") {
  check_rows({
      {"RFC 792", "0 bytes", echoes(0, 1500)},
      {"RFC 792", "1 byte: an odd checksum", echoes(1, 1500)},
      {"RFC 792", "56 bytes", echoes(56, 1500)},
      {"RFC 792", "as much as the MTU takes", echoes(1472, 1500)},
      {"RFC 792", "as much as the least MTU takes", echoes(68 - 28, 68)},
      {"RFC 792", "as much as the largest MTU takes", echoes(65'521 - 28, 65'521)},
      {"RFC 792", "also when the host's loopback is closed",
       [] {
         WorldOptions options;
         options.policy.host_loopback = false;
         World w(options);
         w.port.inject(ping());
         w.settle();
         CHECK(answer_texts(w.others) == std::vector<std::string>{kReply});
       }},
  });
}

}  // namespace
}  // namespace l4n::conformance
