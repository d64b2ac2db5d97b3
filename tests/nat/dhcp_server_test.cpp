#include "nat/dhcp_server.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/byte_string.hpp"
#include "tests/support/dhcp_client.hpp"

namespace l4n::nat {
namespace {

using namespace std::chrono_literals;
using stack::MacAddress;
using sys::Ipv4Address;
using test::byte_string;
using test::ByteString;
using test::DhcpView;
using Builder = test::DhcpMessageBuilder;

Ipv4Address x(unsigned n) { return sys::make_ipv4(10, 0, 2, n); }
constexpr Ipv4Address kElsewhere = sys::make_ipv4(192, 168, 1, 20);
constexpr Ipv4Address kNone{};
constexpr Ipv4Address kBroadcast = sys::make_ipv4(255, 255, 255, 255);

MacAddress mac(unsigned n) {
  return {0x02,
          0,
          static_cast<std::uint8_t>(n >> 24U),
          static_cast<std::uint8_t>(n >> 16U),
          static_cast<std::uint8_t>(n >> 8U),
          static_cast<std::uint8_t>(n)};
}

// A server, and what a client numbered n says to it.
struct Scene {
  explicit Scene(const DhcpServer::Config& config = {}) : server(config, clock) {}

  std::optional<DhcpView> send(const Builder& message, const MacAddress& from) {
    last = server.answer(message.build(), from);
    return last ? test::view_dhcp_reply(last->payload) : std::nullopt;
  }
  std::optional<DhcpView> discover(unsigned n, std::optional<Ipv4Address> wanted = {}) {
    Builder message(mac(n));
    message.type(test::kDiscover);
    if (wanted) {
      message.requested(*wanted);
    }
    return send(message, mac(n));
  }
  std::optional<DhcpView> select(unsigned n, Ipv4Address address, Ipv4Address chosen = x(2)) {
    return send(Builder(mac(n)).type(test::kRequest).requested(address).server(chosen), mac(n));
  }
  std::optional<DhcpView> reboot(unsigned n, Ipv4Address address) {
    return send(Builder(mac(n)).type(test::kRequest).requested(address), mac(n));
  }
  std::optional<DhcpView> renew(unsigned n, Ipv4Address address) {
    return send(Builder(mac(n)).ciaddr(address).type(test::kRequest), mac(n));
  }
  std::optional<DhcpView> release(unsigned n, Ipv4Address address, Ipv4Address from = x(2)) {
    return send(Builder(mac(n)).ciaddr(address).type(test::kRelease).server(from), mac(n));
  }
  std::optional<DhcpView> decline(unsigned n, Ipv4Address address, Ipv4Address from = x(2)) {
    return send(Builder(mac(n)).type(test::kDecline).requested(address).server(from), mac(n));
  }
  // INIT to BOUND; the address, 0.0.0.0 when it did not come to that.
  Ipv4Address join(unsigned n) {
    const auto offer = discover(n);
    const auto ack = offer ? select(n, offer->yiaddr) : std::nullopt;
    return ack && ack->type() == test::kAck ? ack->yiaddr : kNone;
  }
  void fill_pool() {
    for (unsigned n = 0; n < DhcpLeases::kSize; ++n) {
      REQUIRE(join(100 + n) == x(15 + n));
    }
  }
  std::size_t in_use() const { return server.leases().in_use(); }

  sys::ManualClock clock;
  DhcpServer server;
  std::optional<DhcpReply> last;
};

void check_nak(const std::optional<DhcpView>& reply, const Scene& scene) {
  REQUIRE(reply);
  CHECK(reply->type() == test::kNak);
  CHECK(reply->order == std::vector<unsigned>{53, 54, 56, 255});
  CHECK(reply->address(54) == x(2));
  CHECK(reply->yiaddr == kNone);
  CHECK(reply->ciaddr == kNone);
  CHECK(scene.last->destination == sys::Endpoint{kBroadcast, 68});
  CHECK(scene.last->mac == stack::kBroadcastMac);
}

TEST_CASE("dhcp server: which datagrams are for it") {
  struct Row {
    sys::Endpoint source;
    sys::Endpoint destination;
    bool served;
  };
  const std::vector<Row> rows = {
      {{kNone, 68}, {kBroadcast, 67}, true}, {{x(15), 68}, {kBroadcast, 67}, true},
      {{x(15), 68}, {x(2), 67}, true},       {{x(15), 68}, {x(255), 67}, true},
      {{x(15), 68}, {x(3), 67}, false},      {{x(15), 68}, {kElsewhere, 67}, false},
      {{x(15), 68}, {x(2), 68}, false},      {{x(15), 67}, {x(2), 67}, false},
      {{x(15), 5000}, {x(2), 67}, false},    {{sys::Ipv6Address{}, 68}, {sys::Ipv6Address{}, 67}, false},
  };
  const Scene scene;
  for (const Row& row : rows) {
    CAPTURE(sys::to_string(row.source));
    CAPTURE(sys::to_string(row.destination));
    CHECK(scene.server.serves(row.source, row.destination) == row.served);
  }
}

TEST_CASE("dhcp server: INIT, SELECTING, REQUESTING, BOUND") {
  Scene scene;
  const auto offer = scene.discover(1);
  REQUIRE(offer);
  CHECK(offer->type() == test::kOffer);
  CHECK(offer->order == std::vector<unsigned>{53, 54, 51, 1, 3, 6, 26, 255});
  CHECK(offer->xid == 0x12345678);
  CHECK(offer->yiaddr == x(15));
  CHECK(offer->ciaddr == kNone);
  CHECK(offer->address(54) == x(2));
  CHECK(offer->address(1) == sys::make_ipv4(255, 255, 255, 0));
  CHECK(offer->address(3) == x(2));
  CHECK(offer->address(6) == x(3));
  CHECK(offer->number(51) == 86400);
  CHECK(offer->number(26) == 1500);

  const auto ack = scene.select(1, x(15));
  REQUIRE(ack);
  CHECK(ack->type() == test::kAck);
  CHECK(ack->order == offer->order);
  CHECK(ack->values.at(1) == offer->values.at(1));
  CHECK(ack->number(51) == 86400);
  CHECK(ack->yiaddr == x(15));
  CHECK(scene.in_use() == 1);
  // Retransmitted, as when the ACK was lost.
  const auto again = scene.select(1, x(15));
  REQUIRE(again);
  CHECK(again->type() == test::kAck);
  CHECK(scene.in_use() == 1);
}

TEST_CASE("dhcp server: configuration") {
  DhcpServer::Config config;
  config.network = {sys::make_ipv4(10, 9, 8, 128), 25};
  config.mtu = 65520;
  config.dns = false;
  Scene scene(config);
  scene.server.set_search({"corp.example", "bad name", "example"});
  const auto offer = scene.discover(1);
  REQUIRE(offer);
  CHECK(offer->order == std::vector<unsigned>{53, 54, 51, 1, 3, 26, 119, 255});
  CHECK(offer->yiaddr == sys::make_ipv4(10, 9, 8, 143));
  CHECK(offer->address(54) == sys::make_ipv4(10, 9, 8, 130));
  CHECK(offer->address(1) == sys::make_ipv4(255, 255, 255, 128));
  CHECK(offer->number(26) == 65520);
  CHECK(offer->values.at(119) == test::from_hex("04 636f7270 07 6578616d706c65 00 07 6578616d706c65 00"));
  scene.server.set_search({});
  CHECK_FALSE(scene.discover(1)->has(119));
}

TEST_CASE("dhcp server: reply size follows option 57 and the MTU") {
  struct Row {
    unsigned mtu;
    std::optional<unsigned> asked;
    std::size_t limit;  // of the IP packet
  };
  const std::vector<Row> rows = {
      {1500, {}, 576},    {1500, 0, 576},     {1500, 400, 576},    {1500, 576, 576},
      {1500, 1000, 1000}, {1500, 1500, 1500}, {1500, 65535, 1500}, {65520, 65535, 65520},
      {500, {}, 500},     {400, 1500, 400},   {65520, 4000, 4000},
  };
  std::vector<std::string> search;
  for (unsigned i = 0; i < 5000; ++i) {
    search.push_back("a" + std::to_string(10000 + i) + ".example");  // 16 bytes on the wire
  }
  for (const Row& row : rows) {
    CAPTURE(row.mtu);
    CAPTURE(row.limit);
    DhcpServer::Config config;
    config.mtu = row.mtu;
    Scene scene(config);
    scene.server.set_search(search);
    Builder message(mac(1));
    message.type(test::kDiscover);
    if (row.asked) {
      message.option(57, byte_string({*row.asked >> 8U, *row.asked}));
    }
    REQUIRE(scene.send(message, mac(1)));
    CHECK(scene.last->payload.size() + 28 <= row.limit);
    CHECK(scene.last->payload.size() + 28 + 16 + 2 > row.limit);
  }
}

TEST_CASE("dhcp server: an MTU that is too small for any reply leaves the search list out") {
  DhcpServer::Config config;
  config.mtu = 68;
  Scene scene(config);
  scene.server.set_search({"example"});
  const auto offer = scene.discover(1);
  REQUIRE(offer);
  CHECK_FALSE(offer->has(119));
  CHECK(offer->number(26) == 68);
  CHECK(scene.last->payload.size() == 300);
}

TEST_CASE("dhcp server: where replies go (RFC 2131 4.1)") {
  struct Row {
    const char* what;
    Builder message;
    sys::Endpoint to;
    MacAddress mac;
  };
  const MacAddress client = mac(1);
  const MacAddress bridge = mac(2);  // the frame's source
  const auto from_client = [&] { return Builder(client); };
  const std::vector<Row> rows = {
      {"discover", from_client().type(test::kDiscover), {x(15), 68}, client},
      {"discover, broadcast",
       from_client().broadcast().type(test::kDiscover),
       {kBroadcast, 68},
       stack::kBroadcastMac},
      {"select", from_client().type(test::kRequest).requested(x(15)).server(x(2)), {x(15), 68}, client},
      {"select, broadcast",
       from_client().broadcast().type(test::kRequest).requested(x(15)).server(x(2)),
       {kBroadcast, 68},
       stack::kBroadcastMac},
      {"renew", from_client().ciaddr(x(15)).type(test::kRequest), {x(15), 68}, bridge},
      {"renew, broadcast", from_client().broadcast().ciaddr(x(15)).type(test::kRequest), {x(15), 68}, bridge},
      {"refused", from_client().ciaddr(x(99)).type(test::kRequest), {kBroadcast, 68}, stack::kBroadcastMac},
      {"inform", from_client().ciaddr(x(100)).type(test::kInform), {x(100), 68}, bridge},
      {"inform without address", from_client().type(test::kInform), {kBroadcast, 68}, stack::kBroadcastMac},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Scene scene;
    REQUIRE(scene.send(row.message, bridge));
    CHECK(scene.last->destination == row.to);
    CHECK(scene.last->mac == row.mac);
  }
}

TEST_CASE("dhcp server: what is not answered") {
  struct Row {
    const char* what;
    Builder message;
    bool malformed;
  };
  const auto client = [] { return Builder(mac(1)); };
  const std::vector<Row> rows = {
      {"BOOTP", client(), true},
      {"wrong cookie", client().at(test::kDhcpCookieAt, 0).type(test::kDiscover), true},
      {"through a relay", client().giaddr(x(77)).type(test::kDiscover), false},
      {"offer", client().type(test::kOffer), false},
      {"ack", client().type(test::kAck), false},
      {"nak", client().type(test::kNak), false},
      {"inform from elsewhere", client().ciaddr(kElsewhere).type(test::kInform), false},
      {"request to another server", client().type(test::kRequest).requested(x(15)).server(kElsewhere), false},
      {"release of nothing", client().ciaddr(x(15)).type(test::kRelease).server(x(2)), false},
      {"decline of nothing", client().type(test::kDecline).requested(x(15)).server(x(2)), false},
      {"decline without address", client().type(test::kDecline).server(x(2)), false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Scene scene;
    CHECK_FALSE(scene.send(row.message, mac(1)));
    CHECK_FALSE(scene.last);
    CHECK(scene.in_use() == 0);
    CHECK(scene.server.counters().malformed == (row.malformed ? 1 : 0));
    CHECK(scene.server.counters().requests == (row.malformed ? 0 : 1));
  }
}

TEST_CASE("dhcp server: DISCOVER offers the client's own, else the wanted, else the next address") {
  Scene scene;
  CHECK(scene.discover(1)->yiaddr == x(15));
  CHECK(scene.discover(1)->yiaddr == x(15));
  CHECK(scene.discover(2, x(30))->yiaddr == x(30));
  CHECK(scene.discover(3, x(30))->yiaddr == x(16));       // offered to another
  CHECK(scene.discover(4, x(14))->yiaddr == x(17));       // out of pool
  CHECK(scene.discover(5, x(31))->yiaddr == x(18));       // out of pool
  CHECK(scene.discover(6, kElsewhere)->yiaddr == x(19));  // another network
  CHECK(scene.discover(7, kNone)->yiaddr == x(20));
  CHECK(scene.discover(2, x(29))->yiaddr == x(30));  // the client's own comes first
  CHECK(scene.in_use() == 7);
}

TEST_CASE("dhcp server: DISCOVER of a bound client leaves its lease alone") {
  Scene scene;
  CHECK(scene.join(1) == x(15));
  scene.clock.advance(DhcpLeases::kLeaseTime - 60s);
  CHECK(scene.discover(1, x(20))->yiaddr == x(15));
  scene.clock.advance(45s);  // longer than an offer lasts
  CHECK(scene.in_use() == 1);
  CHECK(scene.discover(2, x(15))->yiaddr == x(16));
  scene.clock.advance(15s);
  CHECK(scene.in_use() == 1);  // the offer
}

TEST_CASE("dhcp server: REQUEST in SELECTING") {
  Scene scene;
  SUBCASE("for what was offered to another") {
    CHECK(scene.discover(1)->yiaddr == x(15));
    check_nak(scene.select(2, x(15)), scene);
    CHECK(scene.select(1, x(15))->type() == test::kAck);
  }
  SUBCASE("for what another has") {
    CHECK(scene.join(1) == x(15));
    check_nak(scene.select(2, x(15)), scene);
  }
  SUBCASE("out of the pool, own addresses included") {
    for (const Ipv4Address address : {x(0), x(2), x(3), x(14), x(31), x(100), x(255), kElsewhere, kNone}) {
      CAPTURE(sys::to_string(address));
      check_nak(scene.select(1, address), scene);
    }
    CHECK(scene.server.counters().refused == 9);
    CHECK(scene.in_use() == 0);
  }
  SUBCASE("for another free address than was offered: the offer ends") {
    CHECK(scene.discover(1)->yiaddr == x(15));
    CHECK(scene.select(1, x(20))->type() == test::kAck);
    CHECK(scene.in_use() == 1);
    CHECK(scene.discover(2, x(15))->yiaddr == x(15));
  }
  SUBCASE("of another server's offer: ours ends") {
    CHECK(scene.discover(1)->yiaddr == x(15));
    CHECK_FALSE(scene.select(1, kElsewhere, sys::make_ipv4(192, 168, 1, 1)));
    CHECK(scene.in_use() == 0);
  }
  SUBCASE("of another server's offer: a lease of ours goes on") {
    CHECK(scene.join(1) == x(15));
    CHECK_FALSE(scene.select(1, kElsewhere, sys::make_ipv4(192, 168, 1, 1)));
    CHECK(scene.in_use() == 1);
  }
  SUBCASE("after the offer has expired and nobody took the address") {
    CHECK(scene.discover(1)->yiaddr == x(15));
    scene.clock.advance(DhcpLeases::kOfferTime);
    CHECK(scene.in_use() == 0);
    CHECK(scene.select(1, x(15))->type() == test::kAck);
  }
  SUBCASE("after the offer has expired and another took the address") {
    CHECK(scene.discover(1)->yiaddr == x(15));
    scene.clock.advance(DhcpLeases::kOfferTime);
    CHECK(scene.discover(2, x(15))->yiaddr == x(15));
    check_nak(scene.select(1, x(15)), scene);
  }
  SUBCASE("without an address") {
    check_nak(scene.send(Builder(mac(1)).type(test::kRequest).server(x(2)), mac(1)), scene);
  }
}

TEST_CASE("dhcp server: REQUEST in INIT-REBOOT") {
  Scene scene;
  SUBCASE("the client's address") {
    CHECK(scene.join(1) == x(15));
    const auto ack = scene.reboot(1, x(15));
    REQUIRE(ack);
    CHECK(ack->type() == test::kAck);
    CHECK(ack->yiaddr == x(15));
  }
  SUBCASE("an unknown client, a free address: a lease from before we started") {
    CHECK(scene.reboot(1, x(22))->type() == test::kAck);
    CHECK(scene.in_use() == 1);
  }
  SUBCASE("wrong network") { check_nak(scene.reboot(1, kElsewhere), scene); }
  SUBCASE("out of pool") { check_nak(scene.reboot(1, x(100)), scene); }
  SUBCASE("taken") {
    CHECK(scene.join(1) == x(15));
    check_nak(scene.reboot(2, x(15)), scene);
  }
  SUBCASE("another address than the client's") {
    CHECK(scene.join(1) == x(15));
    check_nak(scene.reboot(1, x(20)), scene);
    CHECK(scene.in_use() == 1);
  }
  SUBCASE("another address than the one it had before") {
    CHECK(scene.join(1) == x(15));
    scene.clock.advance(DhcpLeases::kLeaseTime);
    CHECK(scene.reboot(1, x(20))->type() == test::kAck);
    CHECK(scene.in_use() == 1);
    CHECK(scene.discover(1)->yiaddr == x(20));
  }
}

TEST_CASE("dhcp server: REQUEST in RENEWING and REBINDING") {
  // They differ in the destination of the datagram only, which the server does not look at.
  Scene scene;
  SUBCASE("prolongs the lease") {
    CHECK(scene.join(1) == x(15));
    scene.clock.advance(DhcpLeases::kLeaseTime / 2);
    const auto ack = scene.renew(1, x(15));
    REQUIRE(ack);
    CHECK(ack->type() == test::kAck);
    CHECK(ack->ciaddr == x(15));
    CHECK(ack->yiaddr == x(15));
    CHECK(ack->number(51) == 86400);
    scene.clock.advance(DhcpLeases::kLeaseTime - 1s);
    CHECK(scene.in_use() == 1);
    scene.clock.advance(1s);
    CHECK(scene.in_use() == 0);
  }
  SUBCASE("expired but still free") {
    CHECK(scene.join(1) == x(15));
    scene.clock.advance(DhcpLeases::kLeaseTime + 1h);
    CHECK(scene.renew(1, x(15))->type() == test::kAck);
  }
  SUBCASE("expired and given to another") {
    CHECK(scene.join(1) == x(15));
    scene.clock.advance(DhcpLeases::kLeaseTime);
    CHECK(scene.reboot(2, x(15))->type() == test::kAck);
    check_nak(scene.renew(1, x(15)), scene);
  }
  SUBCASE("not the client's") {
    CHECK(scene.join(1) == x(15));
    check_nak(scene.renew(2, x(15)), scene);
  }
  SUBCASE("from before we started") { CHECK(scene.renew(1, x(16))->type() == test::kAck); }
  SUBCASE("another network") { check_nak(scene.renew(1, kElsewhere), scene); }
  SUBCASE("a static address") { check_nak(scene.renew(1, x(100)), scene); }
}

TEST_CASE("dhcp server: RELEASE") {
  Scene scene;
  CHECK(scene.join(1) == x(15));
  SUBCASE("frees the address, and the client is remembered") {
    CHECK_FALSE(scene.release(1, x(15)));
    CHECK(scene.in_use() == 0);
    CHECK(scene.discover(2)->yiaddr == x(16));
    CHECK(scene.discover(1)->yiaddr == x(15));
  }
  SUBCASE("of another client's address") {
    CHECK_FALSE(scene.release(2, x(15)));
    CHECK(scene.join(3) == x(16));
    CHECK_FALSE(scene.release(3, x(15)));
    CHECK(scene.in_use() == 2);
  }
  SUBCASE("of an address out of the pool") {
    CHECK_FALSE(scene.release(1, x(100)));
    CHECK(scene.in_use() == 1);
  }
  SUBCASE("to another server") {
    CHECK_FALSE(scene.release(1, x(15), kElsewhere));
    CHECK(scene.in_use() == 1);
  }
}

TEST_CASE("dhcp server: DECLINE") {
  Scene scene;
  CHECK(scene.join(1) == x(15));
  SUBCASE("puts the address aside for a while") {
    CHECK_FALSE(scene.decline(1, x(15)));
    CHECK(scene.in_use() == 1);
    CHECK(scene.discover(1, x(15))->yiaddr == x(16));
    check_nak(scene.reboot(2, x(15)), scene);
    scene.clock.advance(DhcpLeases::kDeclinedTime - 1s);
    check_nak(scene.reboot(2, x(15)), scene);
    scene.clock.advance(1s);
    CHECK(scene.reboot(2, x(15))->type() == test::kAck);
  }
  SUBCASE("of another client's address") {
    CHECK_FALSE(scene.decline(2, x(15)));
    CHECK(scene.renew(1, x(15))->type() == test::kAck);
  }
  SUBCASE("of an address that the client had once") {
    CHECK_FALSE(scene.release(1, x(15)));
    CHECK_FALSE(scene.decline(1, x(15)));
    CHECK(scene.in_use() == 0);
  }
  SUBCASE("to another server") {
    CHECK_FALSE(scene.decline(1, x(15), kElsewhere));
    CHECK(scene.renew(1, x(15))->type() == test::kAck);
  }
  SUBCASE("of all of them: nothing is left until the time is over") {
    CHECK_FALSE(scene.decline(1, x(15)));
    for (unsigned n = 16; n <= 30; ++n) {
      CHECK(scene.join(1) == x(n));
      CHECK_FALSE(scene.decline(1, x(n)));
    }
    CHECK(scene.in_use() == DhcpLeases::kSize);
    CHECK_FALSE(scene.discover(1));
    CHECK(scene.server.counters().exhausted == 1);
    scene.clock.advance(DhcpLeases::kDeclinedTime);
    CHECK(scene.discover(1)->yiaddr == x(15));
  }
}

TEST_CASE("dhcp server: INFORM is answered without an address or a lease") {
  Scene scene;
  scene.server.set_search({"example"});
  const auto ack = scene.send(Builder(mac(1)).ciaddr(x(100)).type(test::kInform), mac(1));
  REQUIRE(ack);
  CHECK(ack->type() == test::kAck);
  CHECK(ack->order == std::vector<unsigned>{53, 54, 1, 3, 6, 26, 119, 255});
  CHECK(ack->ciaddr == x(100));
  CHECK(ack->yiaddr == kNone);
  CHECK(scene.in_use() == 0);
}

TEST_CASE("dhcp server: clients are told apart by identifier, else by hardware address") {
  Scene scene;
  const auto discover = [&](unsigned n, const ByteString& id) {
    Builder message(mac(n));
    message.type(test::kDiscover);
    if (!id.empty()) {
      message.option(61, id);
    }
    return scene.send(message, mac(n));
  };
  const ByteString one = byte_string({0, 'o', 'n', 'e'});
  CHECK(discover(1, {})->yiaddr == x(15));
  CHECK(discover(1, one)->yiaddr == x(16));
  CHECK(discover(2, one)->yiaddr == x(16));
  CHECK(discover(2, byte_string({0, 'o', 'n'}))->yiaddr == x(17));
  // The usual identifier is the hardware type and address.
  const auto usual = discover(1, byte_string({1, 2, 0, 0, 0, 0, 1}));
  REQUIRE(usual);
  CHECK(usual->yiaddr == x(15));
  // RFC 6842: it comes back.
  CHECK(usual->order == std::vector<unsigned>{53, 54, 51, 1, 3, 6, 26, 61, 255});
  CHECK(usual->values.at(61) == byte_string({1, 2, 0, 0, 0, 0, 1}));
}

TEST_CASE("dhcp server: expired leases are given to others, the least recently used first") {
  Scene scene;
  scene.fill_pool();
  CHECK_FALSE(scene.discover(1));
  scene.clock.advance(1h);
  for (unsigned n = 0; n < DhcpLeases::kSize; ++n) {
    if (n != 3 && n != 7) {
      CHECK(scene.renew(100 + n, x(15 + n))->type() == test::kAck);
    }
    if (n == 5) {
      CHECK_FALSE(scene.release(105, x(20)));
      scene.clock.advance(1s);
    }
  }
  scene.clock.advance(DhcpLeases::kLeaseTime - 1h);
  // Expired are x.18 and x.22, from the start; x.20 was released an hour later.
  CHECK(scene.in_use() == DhcpLeases::kSize - 3);
  CHECK(scene.join(1) == x(18));
  CHECK(scene.join(2) == x(22));
  CHECK(scene.join(3) == x(20));
  CHECK(scene.join(4) == kNone);
}

TEST_CASE("dhcp server: an expired lease is still its client's when it returns first") {
  Scene scene;
  scene.fill_pool();
  scene.clock.advance(DhcpLeases::kLeaseTime);
  CHECK(scene.discover(109)->yiaddr == x(24));
  CHECK(scene.discover(1)->yiaddr == x(15));
  // 100 had x.15, which is now reserved for another; x.16 is the next.
  CHECK(scene.discover(100)->yiaddr == x(16));
}

TEST_CASE("dhcp server: a flood of clients neither grows the table nor takes leases away") {
  Scene scene;
  CHECK(scene.join(1) == x(15));
  SUBCASE("of offers") {
    std::set<Ipv4Address> offered;
    for (unsigned n = 0; n < 10000; ++n) {
      if (const auto offer = scene.discover(1000 + n)) {
        offered.insert(offer->yiaddr);
      }
    }
    CHECK(offered.size() == DhcpLeases::kSize - 1);
    CHECK(scene.in_use() == DhcpLeases::kSize);
    CHECK(scene.server.counters().exhausted == 10000 - 15);
    CHECK(scene.renew(1, x(15))->type() == test::kAck);
    scene.clock.advance(DhcpLeases::kOfferTime);
    CHECK(scene.in_use() == 1);
    CHECK(scene.join(2) == x(16));
  }
  SUBCASE("of leases, for longer than a lease") {
    std::size_t most = 0;
    for (unsigned n = 0; n < 10000; ++n) {
      scene.join(1000 + n);
      scene.clock.advance(30s);
      if (n % 100 == 0) {
        CHECK(scene.renew(1, x(15))->type() == test::kAck);
      }
      most = std::max(most, scene.in_use());
    }
    CHECK(most == DhcpLeases::kSize);
  }
  SUBCASE("of requests for one address") {
    for (unsigned n = 0; n < 10000; ++n) {
      CHECK(scene.reboot(1000 + n, x(15))->type() == test::kNak);
    }
    CHECK(scene.in_use() == 1);
  }
}

TEST_CASE("dhcp server: whatever is said in whatever order, no address has two holders") {
  Scene scene;
  std::mt19937 random(11);
  const auto below = [&random](unsigned n) { return static_cast<unsigned>(random() % n); };
  struct Holder {
    unsigned client = 0;
    sys::Time until{};
  };
  std::map<Ipv4Address, Holder> holders;
  for (int i = 0; i < 30000; ++i) {
    const unsigned n = 1 + below(24);
    const Ipv4Address address = x(14 + below(18));
    std::optional<DhcpView> reply;
    switch (below(7)) {
      case 0:
        reply = scene.discover(n, address);
        break;
      case 1:
        reply = scene.select(n, address);
        break;
      case 2:
        reply = scene.reboot(n, address);
        break;
      case 3:
        reply = scene.renew(n, address);
        break;
      case 4:
      case 5:
        reply = below(2) == 0 ? scene.release(n, address) : scene.decline(n, address);
        CHECK_FALSE(reply);
        if (holders[address].client == n) {
          holders[address] = {};
        }
        break;
      default:
        scene.clock.advance(std::chrono::seconds(below(100) == 0 ? 43200 : below(900)));
        break;
    }
    if (!reply || reply->type() == test::kNak) {
      continue;
    }
    CHECK(reply->yiaddr >= x(15));
    CHECK(reply->yiaddr <= x(30));
    const Holder& holder = holders[reply->yiaddr];
    CHECK((holder.client == n || holder.until <= scene.clock.now()));
    if (reply->type() == test::kAck) {
      CHECK(reply->yiaddr == address);
      holders[address] = {n, scene.clock.now() + DhcpLeases::kLeaseTime};
    }
  }
  CHECK(scene.in_use() <= DhcpLeases::kSize);
}

}  // namespace
}  // namespace l4n::nat
