// RFC 8200: the IPv6 header, its extension headers and fragments; RFC 4443: ICMPv6 and its errors; RFC 4861:
// neighbour discovery; RFC 4007: scopes. What a message holds in detail: tests/integration/ipv6_test.cpp.
#include "tests/conformance/frames.hpp"
#include "tests/conformance/row.hpp"

namespace l4n::conformance {
namespace {

using namespace std::chrono_literals;
using integration::append;
using integration::icmp_packet;
using integration::ip_packet;

constexpr std::uint8_t kHopByHop = 0;
constexpr std::uint8_t kRouting = 43;
constexpr std::uint8_t kFragment = 44;
constexpr std::uint8_t kIcmp6 = 58;
constexpr std::uint8_t kNoNextHeader = 59;
constexpr std::uint8_t kDestinationOptions = 60;

const std::string kReply = "ICMP 129/0 fd00::2 -> fd00::100";
const std::string kTooOld = "ICMP 3/0 fd00::2 -> fd00::100";
const std::string kNoRoute = "ICMP 1/0 fd00::2 -> fd00::100";
const std::string kBadIp = "malformed IP header 1";

sys::IpAddress address(const char* text) { return sys::parse_ip(text).value(); }

const sys::IpAddress kGuest = address("fd00::100");
const sys::IpAddress kGateway = address("fd00::2");
const sys::IpAddress kServer = address("2001:db8::1");

WorldOptions with_ipv6() {
  WorldOptions options;
  options.policy.network6 = sys::Ipv6Network{address("fd00::").v6(), 64};
  return options;
}

void check(const std::vector<FrameRow>& rows) { check_frame_rows(rows, with_ipv6()); }

// --- packets ---

Data frame(sys::Bytes packet) { return integration::ip_frame(packet); }

Data ping_from(const char* source, const sys::IpAddress& to, const integration::IpFields& fields = {}) {
  integration::IcmpMessage message = echo_request(32);
  message.type = 128;
  return frame(icmp_packet(address(source), to, message, fields));
}
Data ping(const sys::IpAddress& to = kGateway, const integration::IpFields& fields = {}) {
  return ping_from("fd00::100", to, fields);
}

// The packet of ping() with these bytes between its fixed header and its message. The first of them is left
// to be the next header, of which the last extension header is the message's.
Data ping_behind(std::uint8_t first_header, sys::Bytes extension, const sys::IpAddress& to = kGateway) {
  const Data plain = ping(to);
  const sys::Bytes message = sys::Bytes(plain).subspan(kIpAt + 40);
  Data payload(extension.begin(), extension.end());
  append(payload, message);
  return frame(ip_packet(kGuest, to, first_header, payload));
}

// An options header of 8 bytes with one option of 4.
Data options_header(std::uint8_t next, unsigned option) {
  return {std::byte{next}, std::byte{0}, static_cast<std::byte>(option),
          std::byte{4},    std::byte{0}, std::byte{0},
          std::byte{0},    std::byte{0}};
}

Data routing_header(unsigned type, unsigned segments_left) {
  return {std::byte{kIcmp6},
          std::byte{0},
          static_cast<std::byte>(type),
          static_cast<std::byte>(segments_left),
          std::byte{0},
          std::byte{0},
          std::byte{0},
          std::byte{0}};
}

Data fragment_header(std::uint8_t next, unsigned offset_and_more) {
  return {std::byte{next},
          std::byte{0},
          static_cast<std::byte>(offset_and_more >> 8U),
          static_cast<std::byte>(offset_and_more & 0xffU),
          std::byte{0},
          std::byte{0},
          std::byte{0},
          std::byte{7}};
}

// Bytes [at, at + size) of the ICMPv6 message of `plain` as a fragment.
Data fragment_of_message(const Data& plain, std::size_t at, std::size_t size) {
  const sys::Bytes message = sys::Bytes(plain).subspan(kIpAt + 40);
  const bool more = at + size < message.size();
  Data payload = fragment_header(kIcmp6, static_cast<unsigned>(at | (more ? 1U : 0U)));
  append(payload, message.subspan(at, size));
  Data packet = ip_packet(kGuest, kGateway, kFragment, payload);
  packet[7] = plain[kIpAt + 7];  // the hop limit
  return frame(packet);
}

Data ping_fragment(std::size_t at, std::size_t size) { return fragment_of_message(ping(), at, size); }

std::vector<Data> fragments_of(const Data& plain) {
  return {fragment_of_message(plain, 0, 16), fragment_of_message(plain, 16, plain.size() - kIpAt - 56)};
}

Data solicitation(const char* source, const char* target, const integration::IpFields& fields,
                  std::size_t option_size = 8) {
  integration::IcmpMessage message{135, 0, Data(4)};
  append(message.rest, std::as_bytes(std::span(address(target).v6().bytes)));
  if (option_size > 0) {
    append(message.rest, Data{std::byte{1}, static_cast<std::byte>(option_size / 8)});
    append(message.rest, std::as_bytes(std::span(integration::kGuestMac)));
  }
  return frame(icmp_packet(address(source), kGateway, message, fields));
}

// --- tables ---

TEST_CASE("IPv6: the header") {
  const Data good = ping();
  check({
      {"RFC 8200 3", "the least header", {good}, {kReply}, ""},
      {"RFC 8200 3", "another version is dropped", {changed(good, kIpAt, {0x50})}, {}, kBadIp},
      {"RFC 8200 3", "version 4 in an IPv6 frame", {changed(good, kIpAt, {0x45})}, {}, kBadIp},
      {"RFC 8200 3", "any traffic class", {changed(good, kIpAt, {0x6f, 0xf0})}, {kReply}, ""},
      {"RFC 8200 3", "any flow label", {changed(good, kIpAt + 1, {0x0f, 0xff, 0xff})}, {kReply}, ""},
      {"RFC 8200 3", "a payload length beyond the frame", {changed(good, kIpAt + 4, {0, 255})}, {}, kBadIp},
      {"RFC 8200 8.1", "a wrong ICMPv6 checksum", {changed(good, kIpAt + 42, {0, 0})}, {}, "bad checksum 1"},
      {"RFC 8200 4.7",
       "nothing behind the header",
       {frame(ip_packet(kGuest, kGateway, kNoNextHeader, {}))},
       {},
       "unknown IP protocol 1"},
  });
}

TEST_CASE("IPv6: hop limit") {
  check({
      {"RFC 8200 3",
       "a hop limit of 1 ends at the gateway and is answered",
       {ping(kGateway, {.ttl = 1})},
       {kReply},
       ""},
      {"RFC 8200 3",
       "a hop limit of 0 for ourselves is no reason to drop",
       {ping(kGateway, {.ttl = 0})},
       {kReply},
       ""},
      {"RFC 4443 3.3", "ping elsewhere with a hop limit of 1", {ping(kServer, {.ttl = 1})}, {kTooOld}, ""},
      {"RFC 4443 3.3", "ping elsewhere with a hop limit of 0", {ping(kServer, {.ttl = 0})}, {kTooOld}, ""},
  });
}

TEST_CASE("IPv6: extension headers") {
  const std::string unknown_header = "ICMP 4/1 fd00::2 -> fd00::100";
  const std::string unknown_option = "ICMP 4/2 fd00::2 -> fd00::100";
  const std::string bad_field = "ICMP 4/0 fd00::2 -> fd00::100";
  const std::string discarded = "IPv6 option that wants to be dropped 1";
  const Data skipped = options_header(kIcmp6, 0x1e);
  Data both = options_header(kDestinationOptions, 0x1e);
  append(both, skipped);
  check({
      {"RFC 8200 4.3", "hop-by-hop options", {ping_behind(kHopByHop, skipped)}, {kReply}, ""},
      {"RFC 8200 4.6", "destination options", {ping_behind(kDestinationOptions, skipped)}, {kReply}, ""},
      {"RFC 8200 4.1", "one behind the other", {ping_behind(kHopByHop, both)}, {kReply}, ""},
      {"RFC 8200 4.2",
       "an unknown option 00 is skipped",
       {ping_behind(kDestinationOptions, options_header(kIcmp6, 0x3e))},
       {kReply},
       ""},
      {"RFC 8200 4.2",
       "an unknown option 01 drops in silence",
       {ping_behind(kDestinationOptions, options_header(kIcmp6, 0x7e))},
       {},
       discarded},
      {"RFC 8200 4.2",
       "an unknown option 10 is told",
       {ping_behind(kDestinationOptions, options_header(kIcmp6, 0xbe))},
       {unknown_option},
       ""},
      {"RFC 8200 4.2",
       "an unknown option 11 is told",
       {ping_behind(kDestinationOptions, options_header(kIcmp6, 0xfe))},
       {unknown_option},
       ""},
      {"RFC 8200 4", "an unknown header is told", {ping_behind(99, skipped)}, {unknown_header}, ""},
      {"RFC 8200 4.4",
       "a routing header without segments left",
       {ping_behind(kRouting, routing_header(0, 0))},
       {kReply},
       ""},
      {"RFC 5095 3",
       "routing type 0 with segments left",
       {ping_behind(kRouting, routing_header(0, 1))},
       {bad_field},
       ""},
      {"RFC 8200 4.1",
       "hop-by-hop options not at the first place",
       {ping_behind(kDestinationOptions,
                    [] {
                      Data wrong = options_header(kHopByHop, 0x1e);
                      append(wrong, options_header(kIcmp6, 0x1e));
                      return wrong;
                    }())},
       {unknown_header},
       ""},
  });
}

TEST_CASE("IPv6: fragments") {
  check({
      {"RFC 8200 4.5", "two fragments", {ping_fragment(0, 24), ping_fragment(24, 16)}, {kReply}, ""},
      {"RFC 8200 4.5", "in the other order", {ping_fragment(24, 16), ping_fragment(0, 24)}, {kReply}, ""},
      {"RFC 6946", "an atomic fragment", {ping_fragment(0, 40)}, {kReply}, ""},
      {"RFC 5722",
       "an overlap ends the packet",
       {ping_fragment(0, 24), ping_fragment(16, 24), ping_fragment(24, 16)},
       {},
       ""},
      {"RFC 8200 4.5",
       "a length that is no multiple of 8",
       {ping_fragment(0, 20)},
       {"ICMP 4/0 fd00::2 -> fd00::100"},
       ""},
      {"RFC 8200 4.5", "the last one alone", {ping_fragment(24, 16)}, {}, ""},
  });
}

TEST_CASE("IPv6: ICMPv6 errors") {
  check({
      {"RFC 4443 3.1",
       "an address of our network that nobody has",
       {ping(address("fd00::77"))},
       {kNoRoute},
       "denied 1"},
      {"RFC 4443 2.4 e.1",
       "none about an error",
       {frame(icmp_packet(kGuest, address("fd00::77"), {1, 0, Data(48)}))},
       {},
       "unserved 1"},
      {"RFC 4443 2.4 e.6",
       "none to an unspecified source",
       {ping_from("::", address("fd00::77"))},
       {},
       "denied 1"},
      {"RFC 4443 2.4 e.6",
       "none to a multicast source",
       {ping_from("ff02::1", address("fd00::77"))},
       {},
       "denied 1"},
      {"RFC 4443 2.4 e.3", "none about a packet to a group", {ping(address("ff02::1"))}, {}, "denied 1"},
      {"RFC 4443 2.4 b",
       "an unknown informational message is dropped",
       {frame(icmp_packet(kGuest, kGateway, {200, 0, Data(8)}))},
       {},
       "unserved 1"},
      {"RFC 4443 3.1",
       "a link-local source stays on its link",
       {ping_from("fe80::1", kServer)},
       {"ICMP 1/2 fd00::2 -> fe80::1"},
       "denied 1"},
      {"RFC 4007 9",
       "but reaches the gateway",
       {ping_from("fe80::1", kGateway)},
       {"ICMP 129/0 fd00::2 -> fe80::1"},
       ""},
  });
}

TEST_CASE("IPv6: neighbour solicitations") {
  const std::string answer = "ICMP 136/0 fd00::2 -> fd00::100";
  const integration::IpFields valid{.ttl = 255};
  check({
      {"RFC 4861 7.2.4", "for the gateway", {solicitation("fd00::100", "fd00::2", valid)}, {answer}, ""},
      {"RFC 4861 7.2.4",
       "without the sender's address",
       {solicitation("fd00::100", "fd00::2", valid, 0)},
       {answer},
       ""},
      {"RFC 4861 7.2.3", "for others", {solicitation("fd00::100", "fd00::77", valid)}, {}, ""},
      {"RFC 4861 7.2.3", "for the guest itself", {solicitation("fd00::100", "fd00::100", valid)}, {}, ""},
      {"RFC 4861 7.1.1",
       "forwarded by a router",
       {solicitation("fd00::100", "fd00::2", {.ttl = 254})},
       {},
       ""},
      {"RFC 6980 5", "in fragments", fragments_of(solicitation("fd00::100", "fd00::2", valid)), {}, ""},
      {"RFC 4861 7.1.1", "for a group", {solicitation("fd00::100", "ff02::1", valid)}, {}, ""},
      {"RFC 4861 4.6",
       "an option of length 0",
       {[&valid] {
         integration::IcmpMessage message{135, 0, Data(4)};
         append(message.rest, std::as_bytes(std::span(kGateway.v6().bytes)));
         append(message.rest, Data{std::byte{1}, std::byte{0}});
         append(message.rest, Data(6));
         return frame(icmp_packet(kGuest, kGateway, message, valid));
       }()},
       {},
       ""},
  });
}

TEST_CASE("IPv6: what is denied") {
  std::vector<FrameRow> rows;
  for (const char* to :
       {"::1", "::", "::ffff:127.0.0.1", "::127.0.0.1", "::ffff:10.0.2.2", "fe80::1", "ff0e::1"}) {
    rows.push_back({"policy", to, {ping(address(to))}, {}, "denied 1"});
  }
  for (const char* from : {"::1", "fd00::2", "fd00::3", "fe80::2", "::ffff:10.0.2.100", "ff02::1"}) {
    rows.push_back({"policy, sources", from, {ping_from(from, kServer)}, {}, "denied 1"});
  }
  check(rows);
}

}  // namespace
}  // namespace l4n::conformance
