// The guest's pings of other machines, from its frames to the host's ping sockets and back.
#include <doctest/doctest.h>

#include <cerrno>
#include <string>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;
using sys::Ipv4Address;
using sys::make_ipv4;

const Ipv4Address kPeer = make_ipv4(192, 0, 2, 1);
const Ipv4Address kRouter = make_ipv4(203, 0, 113, 1);
constexpr std::size_t kMostFlows = nat::Limits{}.ping_flows;

void ping(World& w, const IcmpMessage& request, const IpFields& ip = {}, Ipv4Address to = kPeer) {
  w.inject_fragmented(icmp_packet(kGuestAddress, to, request, ip));
  w.settle();
}

// The host's answer to the latest request of a ping.
void answer(World& w, std::size_t index, std::uint8_t ttl = 57) {
  auto& host = w.host.ping.ping(index);
  REQUIRE_FALSE(host.closed());
  REQUIRE_FALSE(host.sent.empty());
  host.reply(host.sent.back().request.destination, host.sent.back().message, ttl);
  w.settle();
}

TEST_CASE("pings of all sizes come back as they were sent, at any MTU") {
  for (const unsigned mtu : {576U, 1500U, 65520U}) {
    WorldOptions options;
    options.mtu = mtu;
    World w(options);
    std::uint16_t sequence = 0xfff8;  // wraps on the way
    for (const std::size_t size : {0UL, 1UL, 56UL, 548UL, 549UL, 1472UL, 1473UL, 8000UL, 65506UL, 65507UL}) {
      CAPTURE(mtu);
      CAPTURE(size);
      w.others.clear();
      ++sequence;
      const IcmpMessage request = echo_request(0x1234, sequence, random_data(size, sequence));
      ping(w, request, {.id = sequence});
      REQUIRE(w.host.ping.opened() == 1);
      const auto& sent = w.host.ping.last().sent.back();
      CHECK(sent.request.destination == kPeer);
      CHECK(ones_sum(sent.message) == 0xffff);
      REQUIRE(sent.message.size() == 8 + size);
      CHECK(sys::load_be16(&sent.message[4]) == w.host.ping.last().id);
      CHECK(sys::load_be16(&sent.message[6]) == sequence);
      CHECK(std::equal(sent.message.begin() + 8, sent.message.end(), request.rest.begin() + 4));
      CHECK(w.others.empty());

      answer(w, 0);
      REQUIRE(w.others.size() == 1);
      const Packet& reply = w.others[0];
      REQUIRE(reply.icmp.has_value());
      CHECK(reply.source == kPeer);
      CHECK(reply.destination == kGuestAddress);
      CHECK(reply.icmp->type == 0);
      CHECK(reply.icmp->code == 0);
      CHECK(reply.icmp->rest == request.rest);
    }
  }
}

TEST_CASE("TTL, TOS and DF go with a ping, and the TTL of the answer comes back") {
  struct Row {
    std::string what;
    IpFields guest;
    std::size_t size = 56;
    std::uint8_t ttl = 63;
    bool dont_fragment = false;
  };
  for (const Row& row : {
           Row{"ordinary", {}},
           {"TTL 2", {.ttl = 2}, 56, 1},
           {"TOS", {.tos = 0x10}},
           {"DF", {.dont_fragment = true}, 1472, 63, true},
           {"DF of more than a real link takes", {.dont_fragment = true}, 1473, 63, false},
       }) {
    CAPTURE(row.what);
    WorldOptions options;
    options.mtu = 9000;
    World w(options);
    ping(w, echo_request(1, 1, Data(row.size)), row.guest);
    REQUIRE(w.host.ping.opened() == 1);
    const nat::EchoRequest& request = w.host.ping.last().sent.back().request;
    CHECK(request.ttl == row.ttl);
    CHECK(request.tos == row.guest.tos);
    CHECK(request.dont_fragment == row.dont_fragment);
    answer(w, 0, 33);
    REQUIRE(w.others.size() == 1);
    CHECK(w.others[0].ttl == 32);
  }
}

TEST_CASE("a ping with a TTL of 1 ends at the gateway") {
  World w;
  ping(w, echo_request(1, 1, bytes_of("probe")), {.ttl = 1});
  CHECK(w.host.ping.opened() == 0);
  REQUIRE(w.icmp().size() == 1);
  CHECK(w.others[0].source == kGatewayAddress);
  CHECK(w.others[0].icmp->type == 11);
  CHECK(w.others[0].icmp->code == 0);
  ping(w, echo_request(1, 1, bytes_of("arrived")), {.ttl = 1}, kGatewayAddress);
  REQUIRE(w.icmp().size() == 2);
  CHECK(w.others[1].icmp->type == 0);
}

TEST_CASE("several pings at once get each their own answers") {
  World w;
  for (std::uint16_t id = 1; id <= 20; ++id) {
    ping(w, echo_request(id, 7, random_data(id, id)));
  }
  REQUIRE(w.host.ping.opened() == 20);
  for (std::uint16_t id = 20; id >= 1; --id) {
    w.others.clear();
    answer(w, id - 1U);
    REQUIRE(w.icmp().size() == 1);
    CHECK(w.others[0].icmp->rest == echo_request(id, 7, random_data(id, id)).rest);
  }
}

TEST_CASE("an answer that nobody has asked for does not reach the guest") {
  World w;
  ping(w, echo_request(1, 1, Data(8)));
  auto& host = w.host.ping.last();
  host.reply(kRouter, host.sent.back().message);
  Data other = host.sent.back().message;
  sys::store_be16(&other[6], 2);
  host.reply(kPeer, other);
  w.settle();
  CHECK(w.others.empty());
  CHECK(w.gateway->icmp().counters().unexpected == 2);
}

TEST_CASE("ICMP errors about a ping come from who sent them and quote the guest's own") {
  struct Row {
    std::string what;
    int error = 0;
    nat::IcmpReason reason;
    std::uint16_t mtu = 0;
    std::optional<Ipv4Address> offender;
    std::uint8_t pointer = 0;
    std::uint32_t word = 0;  // the second of the ICMP header
  };
  for (const Row& row : {
           Row{"time exceeded", EHOSTUNREACH, {11, 0}, 0, kRouter},
           {"no way", EHOSTUNREACH, {3, 1}, 0, kRouter},
           {"too long", EMSGSIZE, {3, 4}, 1280, kRouter, 0, 1280},
           {"parameter problem", EPROTO, {12, 0}, 0, kRouter, 8, 0x08000000},
           {"the host's own", EHOSTUNREACH, {3, 1}, 0, std::nullopt},
       }) {
    CAPTURE(row.what);
    World w;
    const IcmpMessage request = echo_request(0x1234, 5, random_data(100, 1));
    ping(w, request, {.id = 0xbeef});
    auto& host = w.host.ping.last();
    host.fail({row.error, row.reason, row.mtu, row.offender, row.pointer}, kPeer, host.sent.back().message);
    w.settle();
    REQUIRE(w.icmp().size() == 1);
    const Packet& told = w.others[0];
    CHECK(told.source == row.offender.value_or(kGatewayAddress));
    CHECK(told.icmp->type == row.reason.type);
    CHECK(told.icmp->code == row.reason.code);
    CHECK(sys::load_be32(told.icmp->rest.data()) == row.word);
    // But for the TTL, which has been counted down on the way.
    CHECK(told.icmp->quoted() == icmp_packet(kGuestAddress, kPeer, request, {.id = 0xbeef}));
  }
}

TEST_CASE("a ping that cannot be sent is told at once") {
  World w;
  w.host.ping.send_error = nat::local_error(ENETUNREACH, true);
  ping(w, echo_request(1, 1, Data(8)));
  REQUIRE(w.icmp().size() == 1);
  CHECK(w.others[0].source == kGatewayAddress);
  CHECK(w.others[0].icmp->type == 3);
  CHECK(w.others[0].icmp->code == 0);
}

TEST_CASE("one ping more than allowed takes the place of the one without an answer used longest ago") {
  World w;
  for (std::uint16_t id = 0; id < kMostFlows; ++id) {
    ping(w, echo_request(id, 1, Data(8)));
  }
  CHECK(w.host.ping.open_count() == kMostFlows);
  answer(w, 0);
  ping(w, echo_request(1, 2, Data(8)));
  ping(w, echo_request(9999, 1, Data(8)));
  CHECK(w.host.ping.open_count() == kMostFlows);
  CHECK_FALSE(w.host.ping.ping(0).closed());
  CHECK_FALSE(w.host.ping.ping(1).closed());
  CHECK(w.host.ping.ping(2).closed());
  w.others.clear();
  answer(w, kMostFlows);
  CHECK(w.icmp().size() == 1);
}

TEST_CASE("an idle ping gives its socket back") {
  World w;
  ping(w, echo_request(1, 1, Data(8)));
  w.advance(nat::IcmpNat::kIdleTime - 1ms);
  CHECK(w.host.ping.open_count() == 1);
  w.advance(2ms);
  CHECK(w.host.ping.open_count() == 0);
  ping(w, echo_request(1, 2, Data(8)));
  answer(w, 1);
  CHECK(w.icmp().size() == 1);
}

TEST_CASE("where the host has no ping the gateway still answers, and nothing is kept") {
  World w;
  w.host.ping.open_error = EACCES;
  ping(w, echo_request(1, 1, Data(8)));
  CHECK(w.others.empty());
  CHECK(w.gateway->icmp().flows() == 0);
  CHECK(w.gateway->icmp().counters().unavailable == 1);
  ping(w, echo_request(1, 1, Data(8)), {}, kGatewayAddress);
  CHECK(w.icmp().size() == 1);
  w.host.ping.open_error = 0;  // the group range was opened in the meantime
  ping(w, echo_request(1, 2, Data(8)));
  CHECK(w.host.ping.open_count() == 1);
}

}  // namespace
}  // namespace l4n::integration
