#include "nat/icmp_nat.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "netns/sys/clock.hpp"
#include "stack/checksum.hpp"
#include "stack/reassembly.hpp"
#include "tests/support/byte_string.hpp"
#include "tests/support/fake_ping_host.hpp"
#include "tests/support/recording_port.hpp"
#include "tests/sys/pipe.hpp"

namespace l4n::nat {
namespace {

using std::chrono::seconds;
using sys::Ipv4Address;
using sys::make_ipv4;
using test::ByteString;
using test::FakePingHost;

constexpr stack::MacAddress kGuestMac{0x02, 0, 0, 0, 0, 0x64};
constexpr std::uint16_t kId = 0x1111;
constexpr std::size_t kMostFlows = 256;

const Ipv4Address kGuest = make_ipv4(10, 0, 2, 100);
const Ipv4Address kGateway = make_ipv4(10, 0, 2, 2);
const Ipv4Address kRemote = make_ipv4(192, 0, 2, 1);
const Ipv4Address kRouter = make_ipv4(203, 0, 113, 9);

// The guest's echo request, and how it goes in.
struct Ping {
  Ipv4Address source = kGuest;
  Ipv4Address destination = kRemote;
  std::uint16_t id = kId;
  std::uint16_t sequence = 1;
  std::uint8_t ttl = 64;
  std::uint8_t tos = 0;
  bool dont_fragment = false;
  ByteString payload = test::text_bytes("abcdefgh");

  [[nodiscard]] ByteString packet() const {
    ByteString message(stack::kIcmpHeaderSize);
    message[0] = std::byte{stack::IcmpType::kEchoRequest};
    sys::store_be16(&message[4], id);
    sys::store_be16(&message[6], sequence);
    message.insert(message.end(), payload.begin(), payload.end());
    sys::store_be16(&message[2], stack::internet_checksum(message));
    stack::IpHeader header;
    header.source = source;
    header.destination = destination;
    header.protocol = stack::kProtocolIcmp;
    header.id = 0x4242;
    header.ttl = ttl;
    header.tos = tos;
    header.dont_fragment = dont_fragment;
    header.total_length = static_cast<std::uint16_t>(stack::kIpv4HeaderSize + message.size());
    return guest_packet(header, message);
  }
};

struct Fixture {
  sys::ManualClock clock;
  sys::TimerQueue timers{clock};
  sys::test::Pipe log_pipe;
  sys::Log log{log_pipe.writer.get()};
  test::RecordingPort port;
  stack::GuestLink link{port, 1500};
  FakePingHost host;
  PolicyConfig policy;
  std::unique_ptr<IcmpNat> nat = std::make_unique<IcmpNat>(link, host, timers, log, policy, kMostFlows);

  ~Fixture() {
    nat.reset();
    CHECK(host.open_count() == 0);
    CHECK(timers.armed_count() == 0);
  }

  void ping(const Ping& ping) {
    const ByteString packet = ping.packet();
    const auto ip = stack::decode_quoted_ip(packet);
    REQUIRE(ip.has_value());
    const sys::Bytes message = sys::Bytes(packet).subspan(stack::kIpv4HeaderSize);
    nat->on_echo_request({{kGuestMac, *ip, packet}, stack::IcmpType::kEchoRequest, 0, message});
  }
  void advance(sys::Duration by) {
    clock.advance(by);
    timers.run_due();
  }
  // The one packet that was sent since the last time.
  [[nodiscard]] ByteString only_packet() {
    const std::vector<ByteString> packets = port.packets();
    REQUIRE(packets.size() == 1);
    port.clear();
    return packets[0];
  }
};

sys::Bytes icmp_of(const ByteString& packet) {
  const sys::Bytes message = sys::Bytes(packet).subspan(stack::kIpv4HeaderSize);
  CHECK(stack::internet_checksum(message) == 0);
  return message;
}

// An error that quotes the beginning of `original`, or all of it.
void check_error(const ByteString& packet, Ipv4Address source, std::uint8_t type, std::uint8_t code,
                 const ByteString& original, std::uint16_t mtu = 0) {
  const auto ip = stack::decode_ipv4(packet);
  REQUIRE(ip.has_value());
  CHECK(ip->source == source);
  CHECK(ip->destination == kGuest);
  const sys::Bytes message = icmp_of(packet);
  CHECK(sys::load_u8(&message[0]) == type);
  CHECK(sys::load_u8(&message[1]) == code);
  CHECK(sys::load_be32(&message[4]) == mtu);
  const sys::Bytes quoted = message.subspan(8);
  REQUIRE(quoted.size() >= 28);
  REQUIRE(quoted.size() <= original.size());
  CHECK(test::same_bytes(quoted, sys::Bytes(original).first(quoted.size())));
}

TEST_CASE("icmp nat: an echo request goes out and its answer comes back") {
  Fixture f;
  f.ping({.ttl = 9, .tos = 0x48});
  REQUIRE(f.host.opened() == 1);
  REQUIRE(f.host.last().sent.size() == 1);
  const FakePingHost::Sent& sent = f.host.last().sent[0];
  CHECK(sent.request.destination == kRemote);
  CHECK(sent.request.ttl == 8);
  CHECK(sent.request.tos == 0x48);
  CHECK_FALSE(sent.request.dont_fragment);
  CHECK(stack::internet_checksum(sent.message) == 0);
  CHECK(test::same_bytes(sys::Bytes(sent.message).subspan(8), test::text_bytes("abcdefgh")));
  CHECK(f.port.frames().empty());

  f.host.last().reply(kRemote, sent.message, 57);
  const ByteString packet = f.only_packet();
  const auto ip = stack::decode_ipv4(packet);
  REQUIRE(ip.has_value());
  CHECK(ip->source == kRemote);
  CHECK(ip->destination == kGuest);
  CHECK(ip->ttl == 56);
  const sys::Bytes reply = icmp_of(packet);
  CHECK(sys::load_be16(&reply[0]) == 0);
  CHECK(stack::echo_id(reply) == kId);
  CHECK(stack::echo_sequence(reply) == 1);
  CHECK(test::same_bytes(reply.subspan(8), test::text_bytes("abcdefgh")));
  CHECK(f.nat->counters().requests == 1);
  CHECK(f.nat->counters().replies == 1);

  f.host.last().reply(kRemote, sent.message);  // the same once more: the guest counts duplicates
  CHECK(f.nat->counters().replies == 2);
}

TEST_CASE("icmp nat: identifiers and checksums of all kinds survive the way") {
  Fixture f;
  std::mt19937 random(1);
  for (unsigned i = 0; i < 500; ++i) {
    const Ping ping{.id = static_cast<std::uint16_t>(i % 3 == 0 ? 0xffffU * (i % 2) : random()),
                    .sequence = static_cast<std::uint16_t>(random()),
                    .payload = test::random_bytes(random, random() % 64)};
    f.ping(ping);
    for (std::size_t p = 0; p < f.host.opened(); ++p) {
      FakePingHost::Ping& host_ping = f.host.ping(p);
      if (!host_ping.closed() && !host_ping.sent.empty()) {
        REQUIRE(stack::internet_checksum(host_ping.sent[0].message) == 0);
        host_ping.reply(kRemote, host_ping.sent[0].message);
        host_ping.sent.clear();
      }
    }
    const ByteString packet = f.only_packet();
    const sys::Bytes reply = icmp_of(packet);
    REQUIRE(stack::echo_id(reply) == ping.id);
    REQUIRE(stack::echo_sequence(reply) == ping.sequence);
    REQUIRE(test::same_bytes(reply.subspan(8), ping.payload));
  }
}

TEST_CASE("icmp nat: the largest ping comes back byte for byte, in fragments") {
  Fixture f;
  std::mt19937 random(2);
  const ByteString payload = test::random_bytes(random, 65507);
  f.ping({.payload = payload});
  f.host.last().reply(kRemote, f.host.last().sent.at(0).message);
  stack::FrameBufferPool pool;
  stack::Reassembly reassembly(pool, f.timers);
  stack::FrameBufferPtr whole;
  for (const ByteString& packet : f.port.packets()) {
    CHECK(packet.size() <= 1500);
    whole = reassembly.add({kGuestMac, *stack::decode_quoted_ip(packet), packet});
  }
  REQUIRE(whole);
  const ByteString frame(whole->bytes().begin(), whole->bytes().end());
  const sys::Bytes message = sys::Bytes(frame).subspan(stack::VnetHeader::kSize + 14 + 20);
  CHECK(stack::internet_checksum(message) == 0);
  CHECK(test::same_bytes(message.subspan(8), payload));
}

TEST_CASE("icmp nat: a TTL of 1 ends here") {
  for (const std::uint8_t ttl : {std::uint8_t{0}, std::uint8_t{1}}) {
    Fixture f;
    const Ping ping{.ttl = ttl};
    f.ping(ping);
    CHECK(f.host.opened() == 0);
    check_error(f.only_packet(), kGateway, 11, 0, ping.packet());
    CHECK(f.nat->counters().ttl_expired == 1);
    CHECK(f.nat->flows() == 0);
  }
}

TEST_CASE("icmp nat: answers are taken only from whom was asked, with a sequence number that was sent") {
  Fixture f;
  f.ping({.sequence = 1});
  f.ping({.destination = kRouter, .sequence = 2});
  REQUIRE(f.host.opened() == 1);
  const std::vector<FakePingHost::Sent>& sent = f.host.last().sent;
  f.host.last().reply(make_ipv4(198, 51, 100, 66), sent[0].message);
  f.host.last().reply(kRouter, sent[0].message);
  f.host.last().reply(kRemote, sent[1].message);
  CHECK(f.port.frames().empty());
  CHECK(f.nat->counters().unexpected == 3);
  f.host.last().reply(kRemote, sent[0].message);
  f.host.last().reply(kRouter, sent[1].message);
  CHECK(f.port.frames().size() == 2);
}

TEST_CASE("icmp nat: only the latest requests of a flow are remembered") {
  Fixture f;
  for (unsigned i = 0; i < IcmpNat::kMostRequests + 10; ++i) {
    f.ping({.sequence = static_cast<std::uint16_t>(i)});
  }
  const std::vector<FakePingHost::Sent>& sent = f.host.last().sent;
  f.host.last().reply(kRemote, sent[9].message);
  CHECK(f.nat->counters().unexpected == 1);
  for (const std::size_t i : {std::size_t{10}, std::size_t{200}, sent.size() - 1}) {
    f.host.last().reply(kRemote, sent[i].message);
  }
  CHECK(f.nat->counters().replies == 3);
}

TEST_CASE("icmp nat: errors come from who sent them and quote the guest's own packet") {
  Fixture f;
  const Ping ping{.ttl = 3, .tos = 0x10, .payload = ByteString(400, std::byte{0x5a})};
  f.ping(ping);
  const ByteString request = f.host.last().sent.at(0).message;

  const HostError exceeded{EHOSTUNREACH, IcmpReason{11, 0}, 0, kRouter};
  f.host.last().fail(exceeded, kRemote, sys::Bytes(request).first(8));
  check_error(f.only_packet(), kRouter, 11, 0, ping.packet());

  f.host.last().fail(exceeded, kRemote, request);
  check_error(f.only_packet(), kRouter, 11, 0, ping.packet());

  const HostError own{EHOSTUNREACH, IcmpReason{3, 1}, 0, std::nullopt};
  f.host.last().fail(own, kRemote, request);
  check_error(f.only_packet(), kGateway, 3, 1, ping.packet());

  const HostError too_long{EMSGSIZE, IcmpReason{3, 4}, 1280, kRouter};
  f.host.last().fail(too_long, kRemote, request);
  check_error(f.only_packet(), kRouter, 3, 4, ping.packet(), 1280);
  CHECK(f.nat->counters().errors == 4);

  f.host.last().fail(exceeded, kRouter, request);  // about a destination that was not asked
  CHECK(f.nat->counters().unexpected == 1);
  CHECK(f.port.frames().empty());
}

TEST_CASE("icmp nat: a send that fails is told, if there is something to tell") {
  Fixture f;
  const Ping ping{.dont_fragment = true, .payload = ByteString(1472)};
  f.host.send_error = local_error(EMSGSIZE, true, 1400);
  f.ping(ping);
  check_error(f.only_packet(), kGateway, 3, 4, ping.packet(), 1400);
  f.host.send_error = local_error(ENETUNREACH, true);
  f.ping(ping);
  check_error(f.only_packet(), kGateway, 3, 0, ping.packet());
  CHECK(f.nat->counters().errors == 2);

  f.host.send_error = local_error(EINVAL, true);
  f.ping(ping);
  CHECK(f.port.frames().empty());
  CHECK(f.nat->counters().failed == 1);
  CHECK(f.nat->counters().requests == 0);
}

TEST_CASE("icmp nat: an error about an earlier request may be found by the next send") {
  Fixture f;
  const Ping first{.sequence = 1};
  f.ping(first);
  const ByteString request = f.host.last().sent.at(0).message;
  f.host.on_send = [&request](FakePingHost::Ping& ping) {
    ping.fail({EHOSTUNREACH, IcmpReason{3, 1}, 0, kRouter}, kRemote, request);
  };
  f.ping({.sequence = 2});
  check_error(f.only_packet(), kRouter, 3, 1, first.packet());
  CHECK(f.nat->counters().requests == 2);
}

TEST_CASE("icmp nat: DF is kept up to the size of real links") {
  struct Row {
    std::size_t total;
    bool dont_fragment;
    bool expected;
  };
  for (const Row& row : {Row{100, true, true}, Row{1500, true, true}, Row{1501, true, false},
                         Row{65535, true, false}, Row{100, false, false}}) {
    CAPTURE(row.total);
    Fixture f;
    f.ping({.dont_fragment = row.dont_fragment, .payload = ByteString(row.total - 28)});
    CHECK(f.host.last().sent.at(0).request.dont_fragment == row.expected);
  }
}

TEST_CASE("icmp nat: one flow for each identifier of each guest address, found with one look-up") {
  Fixture f;
  f.ping({.sequence = 1});
  f.ping({.sequence = 2});
  CHECK(f.host.opened() == 1);
  f.ping({.id = kId + 1});
  CHECK(f.host.opened() == 2);
  f.ping({.source = make_ipv4(10, 0, 2, 101)});
  CHECK(f.host.opened() == 3);
  CHECK(f.nat->flows() == 3);
  CHECK(f.nat->table().lookups() == 4);
  f.host.ping(2).reply(kRemote, f.host.ping(2).sent[0].message);
  CHECK(stack::decode_ipv4(f.only_packet())->destination == make_ipv4(10, 0, 2, 101));
}

TEST_CASE("icmp nat: idle flows are closed") {
  Fixture f;
  f.ping({.id = 1});
  f.ping({.id = 2});
  f.advance(seconds(20));
  f.ping({.id = 2, .sequence = 2});
  f.advance(seconds(10));
  CHECK(f.nat->flows() == 1);
  CHECK(f.host.ping(0).closed());
  f.advance(seconds(15));
  f.host.ping(1).reply(kRemote, f.host.ping(1).sent[0].message);  // an answer counts, too
  f.advance(seconds(29));
  CHECK(f.nat->flows() == 1);
  f.advance(seconds(1));
  CHECK(f.nat->flows() == 0);
  CHECK(f.nat->table().size() == 0);
  CHECK(f.timers.armed_count() == 0);
  f.ping({.id = 2});
  CHECK(f.nat->flows() == 1);
}

TEST_CASE("icmp nat: one flow more than allowed closes the one used longest ago") {
  Fixture f;
  for (unsigned i = 0; i < kMostFlows; ++i) {
    f.ping({.id = static_cast<std::uint16_t>(i)});
  }
  f.ping({.id = 0, .sequence = 2});
  CHECK(f.nat->counters().evicted == 0);
  f.ping({.id = 1000});
  CHECK(f.nat->flows() == kMostFlows);
  CHECK(f.nat->counters().evicted == 1);
  CHECK_FALSE(f.host.ping(0).closed());
  CHECK(f.host.ping(1).closed());
  CHECK(f.host.open_count() == kMostFlows);
}

TEST_CASE("icmp nat: flows without an answer make room first, and a flood hurts no running ping") {
  Fixture f;
  f.ping({.id = 1});
  f.host.ping(0).reply(kRemote, f.host.ping(0).sent[0].message);
  for (unsigned i = 0; i < 2000; ++i) {
    f.ping({.id = static_cast<std::uint16_t>(100 + i)});
  }
  CHECK(f.nat->flows() == kMostFlows);
  CHECK_FALSE(f.host.ping(0).closed());
  f.ping({.id = 1, .sequence = 2});
  f.port.clear();
  f.host.ping(0).reply(kRemote, f.host.ping(0).sent[1].message);
  CHECK(f.port.frames().size() == 1);
}

TEST_CASE("icmp nat: a flood of pings has a part of the time, and a running one goes on") {
  constexpr unsigned kFlood = 10'000;
  Fixture f;
  f.ping({.id = 1});
  f.host.ping(0).reply(kRemote, f.host.ping(0).sent[0].message);
  f.host.on_open = [&f] { f.clock.advance(std::chrono::microseconds(20)); };
  for (unsigned i = 0; i < kFlood; ++i) {
    f.ping({.id = static_cast<std::uint16_t>(100 + i)});
  }
  const IcmpNat::Counters& counters = f.nat->counters();
  CHECK(counters.dropped > kFlood / 2);
  CHECK(counters.requests + counters.dropped == kFlood + 1);
  CHECK(f.port.frames().size() == 1);  // the answer: nothing is said to those that were dropped
  f.ping({.id = 1, .sequence = 2});
  CHECK(f.host.ping(0).sent.size() == 2);

  f.clock.advance(seconds(1));
  f.ping({.id = 50});
  CHECK(f.host.last().sent.size() == 1);
}

TEST_CASE("icmp nat: when all have answers the one used longest ago goes") {
  Fixture f;
  for (unsigned i = 0; i <= kMostFlows; ++i) {
    f.ping({.id = static_cast<std::uint16_t>(i)});
    f.host.last().reply(kRemote, f.host.last().sent[0].message);
  }
  CHECK(f.nat->flows() == kMostFlows);
  CHECK(f.host.ping(0).closed());
  CHECK_FALSE(f.host.ping(1).closed());
}

TEST_CASE("icmp nat: a host without ping sockets is said once") {
  Fixture f;
  f.host.open_error = EACCES;
  for (unsigned i = 0; i < 300; ++i) {
    f.ping({.id = static_cast<std::uint16_t>(i)});
  }
  CHECK(f.nat->counters().unavailable == 300);
  CHECK(f.nat->flows() == 0);
  CHECK(f.port.frames().empty());
  const std::string text = f.log_pipe.take();
  CHECK(text.find("net.ipv4.ping_group_range") != std::string::npos);
  CHECK(text.find('\n') == text.size() - 1);

  f.host.open_error = 0;  // the range was opened meanwhile
  f.ping({});
  CHECK(f.nat->counters().requests == 1);
}

}  // namespace
}  // namespace l4n::nat
