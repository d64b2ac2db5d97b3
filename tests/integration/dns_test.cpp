// The DNS service at x.3: over UDP with fail-over between servers, over TCP as a relay with fail-over.
#include <doctest/doctest.h>

#include <cerrno>
#include <string>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;

const nat::HostTarget kFirst{{sys::make_ipv4(198, 51, 100, 1), 53}};
const nat::HostTarget kSecond{{sys::make_ipv4(198, 51, 100, 2), 53}};
const nat::HostTarget kLoopback{{sys::make_ipv4(127, 0, 0, 53), 53}};

Data message(std::uint16_t id, std::uint8_t flags, std::string_view tail) {
  Data m(12);
  sys::store_be16(m.data(), id);
  m[2] = static_cast<std::byte>(flags);
  m[5] = std::byte{1};  // one question: example, A, IN
  append(m, bytes_of({"\7example\0\0\1\0\1", 13}));
  append(m, bytes_of(tail));
  return m;
}
Data query(std::uint16_t id) { return message(id, 0x01, ""); }
Data response(std::uint16_t id, std::string_view tail = "answer") { return message(id, 0x81, tail); }

void ask(World& w, const Data& question, std::uint16_t port = 5000, sys::Ipv4Address from = kGuestAddress) {
  w.inject_ip(udp_packet(from, kDnsAddress, {port, 53, question}));
  w.settle();
}

struct Resolving {
  Resolving() { w.gateway->set_resolvers({kFirst, kSecond}); }

  World w;
};

void check_answer(const Packet& packet, const Data& expected, std::uint16_t port = 5000) {
  REQUIRE(packet.udp.has_value());
  CHECK(packet.source == kDnsAddress);
  CHECK(packet.udp->source_port == 53);
  CHECK(packet.udp->destination_port == port);
  CHECK(packet.udp->payload == expected);
}

bool is_server_failure(const Packet& packet, std::uint16_t id) {
  const Data& m = packet.udp->payload;
  return m.size() >= 12 && sys::load_be16(m.data()) == id && (sys::load_u8(&m[2]) & 0x80U) != 0 &&
         (sys::load_u8(&m[3]) & 0x0fU) == 2;
}

TEST_CASE("a question and its answer") {
  Resolving r;
  ask(r.w, query(7));
  REQUIRE(r.w.host.datagram_sockets() == 1);
  CHECK(r.w.host.datagram(0).target() == kFirst);
  REQUIRE(r.w.host.datagram(0).sent().size() == 1);
  CHECK(r.w.host.datagram(0).sent()[0] == query(7));
  r.w.host.datagram(0).answer(response(7));
  r.w.settle();
  REQUIRE(r.w.others.size() == 1);
  check_answer(r.w.others[0], response(7));
  CHECK(r.w.gateway->dns().pending() == 0);
  r.w.advance(2 * nat::DnsForwarder::kSpareTime);
  CHECK(r.w.host.datagram(0).closed());
}

TEST_CASE("the next question from the same port takes the same socket, one from another port does not") {
  Resolving r;
  ask(r.w, query(7));
  r.w.host.datagram(0).answer(response(7));
  r.w.settle();
  ask(r.w, query(8));
  CHECK(r.w.host.datagram_sockets() == 1);
  ask(r.w, query(9));  // while the other is open
  CHECK(r.w.host.datagram_sockets() == 2);
  ask(r.w, query(10), 5001);
  CHECK(r.w.host.datagram_sockets() == 3);
  ask(r.w, query(11), 5000, sys::make_ipv4(10, 0, 2, 101));
  CHECK(r.w.host.datagram_sockets() == 4);
  r.w.host.datagram(0).answer(response(8));
  r.w.settle();
  REQUIRE(r.w.others.size() == 2);
  check_answer(r.w.others[1], response(8));
}

TEST_CASE("what comes to a socket without a question is thrown away") {
  Resolving r;
  ask(r.w, query(7));
  r.w.host.datagram(0).answer(response(7));
  r.w.settle();
  r.w.host.datagram(0).answer(response(7));
  r.w.host.datagram(0).answer(response(8));
  r.w.settle();
  CHECK(r.w.others.size() == 1);
  ask(r.w, query(9));
  r.w.host.datagram(0).answer(response(8));
  r.w.settle();
  CHECK(r.w.others.size() == 1);
  r.w.host.datagram(0).answer(response(9));
  r.w.settle();
  CHECK(r.w.others.size() == 2);
}

TEST_CASE("a socket to a server that is not asked any more is not taken") {
  Resolving r;
  ask(r.w, query(7));
  r.w.host.datagram(0).answer(response(7));
  r.w.settle();
  r.w.gateway->set_resolvers({kSecond});
  ask(r.w, query(8));
  REQUIRE(r.w.host.datagram_sockets() == 2);
  CHECK(r.w.host.datagram(1).target() == kSecond);
}

TEST_CASE("sockets that wait for a question are bounded") {
  Resolving r;
  for (std::uint16_t i = 0; i < nat::Limits{}.dns_spare + 10; ++i) {
    ask(r.w, query(i), static_cast<std::uint16_t>(6000 + i));
    r.w.host.datagram(i).answer(response(i));
    r.w.settle();
  }
  CHECK(r.w.gateway->dns().spare_sockets() == nat::Limits{}.dns_spare);
  CHECK(r.w.host.datagram(0).closed());
  CHECK_FALSE(r.w.host.datagram(nat::Limits{}.dns_spare + 9).closed());
  r.w.advance(2 * nat::DnsForwarder::kSpareTime);
  CHECK(r.w.gateway->dns().spare_sockets() == 0);
}

TEST_CASE("a server that refuses makes way at once") {
  Resolving r;
  ask(r.w, query(8));
  r.w.host.datagram(0).fail(ECONNREFUSED);
  r.w.settle();
  REQUIRE(r.w.host.datagram_sockets() == 2);
  CHECK(r.w.host.datagram(1).target() == kSecond);
  CHECK(r.w.host.datagram(0).closed());
  r.w.host.datagram(1).answer(response(8));
  r.w.settle();
  REQUIRE(r.w.others.size() == 1);
  check_answer(r.w.others[0], response(8));

  // It has shown that it works: it is asked first now.
  ask(r.w, query(9), 5001);
  CHECK(r.w.host.datagram(2).target() == kSecond);
  r.w.host.datagram(2).answer(response(9));
  r.w.settle();
  // But not for ever.
  r.w.advance(2min);
  ask(r.w, query(10));
  CHECK(r.w.host.datagram(3).target() == kFirst);
}

TEST_CASE("a server without a route makes way at once") {
  Resolving r;
  r.w.host.plan_datagrams([](const nat::HostTarget& target) { return target == kFirst ? ENETUNREACH : 0; });
  ask(r.w, query(8));
  REQUIRE(r.w.host.datagram_sockets() == 2);
  CHECK(r.w.host.datagram(1).sent().size() == 1);
}

TEST_CASE("a silent server makes way after a while, all are asked twice, then the guest is told") {
  Resolving r;
  ask(r.w, query(11));
  r.w.advance(1400ms);
  CHECK(r.w.host.datagram_sockets() == 1);
  r.w.advance(200ms);
  REQUIRE(r.w.host.datagram_sockets() == 2);
  CHECK(r.w.host.datagram(0).closed());
  CHECK(r.w.host.datagram(1).target() == kSecond);
  CHECK(r.w.host.datagram(1).sent().at(0) == query(11));
  r.w.advance(4s);
  REQUIRE(r.w.host.datagram_sockets() == 4);
  CHECK(r.w.host.datagram(2).target() == kFirst);
  CHECK(r.w.host.datagram(3).target() == kSecond);
  CHECK(r.w.others.empty());
  r.w.advance(2s);
  REQUIRE(r.w.others.size() == 1);
  REQUIRE(r.w.others[0].udp.has_value());
  CHECK(is_server_failure(r.w.others[0], 11));
  CHECK(r.w.host.open_sockets() == 0);
}

TEST_CASE("without any server the guest is told at once") {
  World w;
  ask(w, query(12));
  REQUIRE(w.others.size() == 1);
  CHECK(is_server_failure(w.others[0], 12));
}

TEST_CASE("an answer with another ID or that is a question is ignored") {
  Resolving r;
  ask(r.w, query(13));
  r.w.host.datagram(0).answer(response(14));
  r.w.settle();
  r.w.host.datagram(0).answer(query(13));
  r.w.settle();
  r.w.host.datagram(0).answer(bytes_of("short"));
  r.w.settle();
  r.w.host.datagram(0).answer({});
  r.w.settle();
  CHECK(r.w.others.empty());
  r.w.host.datagram(0).answer(response(13));
  r.w.settle();
  REQUIRE(r.w.others.size() == 1);
  check_answer(r.w.others[0], response(13));
}

TEST_CASE("several datagrams that wait at once are all looked at") {
  Resolving r;
  ask(r.w, query(13));
  r.w.host.datagram(0).answer(response(99));
  r.w.host.datagram(0).answer(response(13));
  r.w.settle();
  CHECK(r.w.others.size() == 1);
}

TEST_CASE("every answer goes to its asker only") {
  Resolving r;
  const sys::Ipv4Address other = sys::make_ipv4(10, 0, 2, 101);
  ask(r.w, query(1), 5001);
  ask(r.w, query(1), 5002);  // the same ID
  ask(r.w, query(1), 5001, other);
  REQUIRE(r.w.host.datagram_sockets() == 3);
  r.w.host.datagram(2).answer(response(1, "third"));
  r.w.host.datagram(0).answer(response(1, "first"));
  r.w.settle();
  REQUIRE(r.w.others.size() == 2);
  CHECK(r.w.others[0].destination == other);
  check_answer(r.w.others[0], response(1, "third"), 5001);
  CHECK(r.w.others[1].destination == kGuestAddress);
  check_answer(r.w.others[1], response(1, "first"), 5001);
  CHECK_FALSE(r.w.host.datagram(1).closed());
}

TEST_CASE("what is no question goes nowhere") {
  Resolving r;
  ask(r.w, bytes_of("short"));
  ask(r.w, response(5));
  ask(r.w, {});
  CHECK(r.w.host.datagram_sockets() == 0);
  CHECK(r.w.others.empty());
}

TEST_CASE("the oldest question makes room when there are too many") {
  Resolving r;
  const std::size_t most = nat::Limits{}.dns_questions;
  for (std::size_t i = 0; i < most + 10; ++i) {
    ask(r.w, query(static_cast<std::uint16_t>(i)));
  }
  CHECK(r.w.gateway->dns().pending() == most);
  CHECK(r.w.gateway->dns().counters().evicted == 10);
  CHECK(r.w.host.open_sockets() == most);
  CHECK(r.w.host.datagram(9).closed());
  CHECK_FALSE(r.w.host.datagram(10).closed());
  CHECK(r.w.others.empty());
}

TEST_CASE("a flood of questions that nobody answers has a part of the time, and then waits") {
  constexpr std::size_t kFlood = 10'000;
  Resolving r;
  r.w.host.plan_datagrams([&r](const nat::HostTarget&) {
    r.w.clock.advance(20us);
    return 0;
  });
  for (std::size_t i = 0; i < kFlood; ++i) {
    ask(r.w, query(static_cast<std::uint16_t>(i)));
  }
  const nat::DnsForwarder::Counters& counters = r.w.gateway->dns().counters();
  CHECK(counters.questions > nat::OpeningLimit::kWastedBurst / 40us);
  CHECK(counters.questions + counters.dropped == kFlood);
  CHECK(counters.dropped > kFlood / 2);
  CHECK(r.w.others.empty());

  r.w.advance(1s);
  const std::uint64_t before = counters.questions;
  ask(r.w, query(1));
  CHECK(counters.questions == before + 1);
}

TEST_CASE("the oldest question makes room when all together are too large") {
  Resolving r;
  const std::string padding(60'000, 'x');
  for (std::uint16_t i = 0; i < 30; ++i) {
    r.w.send_udp({kDnsAddress, 53}, message(i, 0x01, padding));
    r.w.settle();
  }
  constexpr std::size_t kFit = nat::DnsForwarder::kMostBytes / 60'025;
  CHECK(r.w.gateway->dns().pending() == kFit);
  CHECK(r.w.gateway->dns().counters().evicted == 30 - kFit);
  CHECK(r.w.host.datagram(29 - kFit).closed());
  CHECK_FALSE(r.w.host.datagram(30 - kFit).closed());
}

TEST_CASE("new servers count from the next question on") {
  Resolving r;
  ask(r.w, query(1));
  r.w.gateway->set_resolvers({kLoopback});
  ask(r.w, query(2));
  CHECK(r.w.host.datagram(0).target() == kFirst);
  CHECK(r.w.host.datagram(1).target() == kLoopback);
}

TEST_CASE("a resolver on the host's loopback works even when the guest may not go there") {
  WorldOptions options;
  options.policy.host_loopback = false;
  World w(options);
  w.gateway->set_resolvers({kLoopback});
  ask(w, query(1));
  REQUIRE(w.host.datagram_sockets() == 1);
  CHECK(w.host.datagram(0).target() == kLoopback);
}

// --- over TCP ---

PeerOptions to_dns() {
  PeerOptions options;
  options.remote = {kDnsAddress, 53};
  return options;
}

TEST_CASE("DNS over TCP goes to the first server") {
  Resolving r;
  GuestPeer& guest = r.w.connect(to_dns());
  CHECK(r.w.host.last().target() == kFirst);
  guest.send(query(1));
  r.w.host.last().write(response(1));
  r.w.settle();
  CHECK(r.w.host.last().received() == query(1));
  CHECK(guest.received() == response(1));
}

TEST_CASE("DNS over TCP: a server that refuses makes way at once, a silent one after two seconds") {
  for (const bool refuses : {true, false}) {
    CAPTURE(refuses);
    Resolving r;
    using Kind = FakeHost::Plan::Kind;
    r.w.host.plan_connects([refuses](const nat::HostTarget& target) {
      if (target == kFirst) {
        return FakeHost::Plan{refuses ? Kind::refuse : Kind::wait, ECONNREFUSED};
      }
      return FakeHost::Plan{Kind::accept, 0};
    });
    GuestPeer& guest = r.w.peer(to_dns());
    guest.connect();
    r.w.settle();
    CHECK(guest.established() == refuses);
    r.w.advance(2100ms);
    CHECK(guest.established());
    CHECK(r.w.host.connects() == 2);
    CHECK(r.w.host.socket(0).closed());
    CHECK(r.w.host.last().target() == kSecond);
    // And is asked first the next time.
    PeerOptions again = to_dns();
    again.local.port = 40'001;
    r.w.connect(again);
    CHECK(r.w.host.last().target() == kSecond);
  }
}

TEST_CASE("DNS over TCP: all servers refuse") {
  Resolving r;
  r.w.host.plan_connects({FakeHost::Plan::Kind::refuse, ECONNREFUSED});
  GuestPeer& guest = r.w.peer(to_dns());
  guest.connect();
  r.w.settle();
  CHECK(r.w.host.connects() == 2);
  CHECK(guest.was_reset());
}

TEST_CASE("DNS over TCP without any server") {
  World w;
  GuestPeer& guest = w.peer(to_dns());
  guest.connect();
  w.settle();
  CHECK(w.host.connects() == 0);
  REQUIRE(w.icmp().size() == 1);
  CHECK(w.icmp()[0].icmp->type == 3);
}

}  // namespace
}  // namespace l4n::integration
