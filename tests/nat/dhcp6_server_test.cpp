#include "nat/dhcp6_server.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/support/byte_string.hpp"
#include "tests/support/dhcp6_client.hpp"

namespace l4n::nat {
namespace {

using namespace std::chrono_literals;
using sys::Ipv6Address;
using test::ByteString;
using test::Dhcp6View;
using test::ip6;
using Builder = test::Dhcp6MessageBuilder;
using Texts = std::vector<std::string>;

const Ipv6Address kClient = ip6("fe80::1234");
const sys::Endpoint kToAll{ip6("ff02::1:2"), 547};
const sys::Endpoint kToGateway{ip6("fd00::2"), 547};

constexpr Dhcp6Server::Config kConfig{{{{0xfd}}, 64}, true};

std::string granted(std::uint32_t iaid, std::string_view address) {
  return "3:" + std::to_string(iaid) + " " + std::string(address) + "/86400 T1=43200 T2=69120";
}

// A server, and what a client numbered n says to it with its association 1.
struct Scene {
  explicit Scene(const Dhcp6Server::Config& config = kConfig) : server(config, clock) {}

  std::optional<Dhcp6View> send(const Builder& message, const sys::Endpoint& to = kToAll) {
    last = server.answer(message.build(), {kClient, 546}, to);
    return last ? test::view_dhcp6_reply(last->payload) : std::nullopt;
  }
  // The one association of the answer; "none" when there is no answer.
  std::string association(const Builder& message) {
    const auto reply = send(message);
    return !reply ? "none" : reply->associations.size() == 1 ? reply->associations[0] : "not one";
  }
  std::string solicit(unsigned n, const std::vector<Ipv6Address>& hint = {}) {
    return association(Builder(test::kSolicit6).client(n).addresses(1, hint));
  }
  std::string request(unsigned n, const std::vector<Ipv6Address>& list = {}) {
    return association(Builder(test::kRequest6).client(n).server().addresses(1, list));
  }
  std::string renew(unsigned n, const std::vector<Ipv6Address>& list) {
    return association(Builder(test::kRenew6).client(n).server().addresses(1, list));
  }
  std::string rebind(unsigned n, const std::vector<Ipv6Address>& list) {
    return association(Builder(test::kRebind6).client(n).addresses(1, list));
  }
  std::optional<Dhcp6View> release(unsigned n, const std::vector<Ipv6Address>& list) {
    return send(Builder(test::kRelease6).client(n).server().addresses(1, list));
  }
  std::optional<Dhcp6View> decline(unsigned n, const std::vector<Ipv6Address>& list) {
    return send(Builder(test::kDecline6).client(n).server().addresses(1, list));
  }
  void fill_pool() {
    for (unsigned n = 0; n < DhcpLeases::kSize; ++n) {
      REQUIRE(request(100 + n) == granted(1, std::string("fd00::10") + "0123456789abcdef"[n]));
    }
  }
  std::size_t in_use() const { return server.leases().in_use(); }

  sys::ManualClock clock;
  Dhcp6Server server;
  std::optional<Dhcp6Reply> last;
};

TEST_CASE("dhcp6 server: which datagrams are for it") {
  const struct {
    sys::Endpoint destination;
    bool served = false;
  } rows[] = {
      {kToAll, true},
      {kToGateway, true},
      {{ip6("fe80::2"), 547}, true},
      {{ip6("ff02::1:2"), 546}, false},
      {{ip6("ff02::1"), 547}, false},
      {{ip6("ff05::1:3"), 547}, false},
      {{ip6("fd00::3"), 547}, false},
      {{ip6("2001:db8::2"), 547}, false},
      {{sys::make_ipv4(10, 0, 2, 2), 547}, false},
  };
  const Scene scene;
  for (const auto& row : rows) {
    CAPTURE(sys::to_string(row.destination));
    CHECK(scene.server.serves(row.destination) == row.served);
  }
}

TEST_CASE("dhcp6 server: information") {
  Scene scene;
  scene.server.set_search({"a.test", "b.test"});
  const auto reply = scene.send(Builder(test::kInformation6).client(1).wants({23, 24}));
  REQUIRE(reply);
  CHECK(reply->type == test::kReply6);
  CHECK(reply->transaction_id == 0xabcdef);
  CHECK(reply->order == std::vector<unsigned>{2, 1, 23, 24});
  CHECK(reply->values.at(1) == test::client_duid(1));
  CHECK(reply->values.at(2) == test::server_duid());
  CHECK(reply->values.at(23) == test::from_hex("fd00 0000 0000 0000 0000 0000 0000 0003"));
  CHECK(reply->values.at(24) == test::from_hex("01 61 04 74657374 00 01 62 04 74657374 00"));
  CHECK(scene.last->destination == sys::Endpoint{kClient, 546});
  CHECK(scene.in_use() == 0);
}

TEST_CASE("dhcp6 server: which options an answer has") {
  const Builder plain(test::kInformation6);
  const Builder ours = Builder(test::kInformation6).server();
  const struct {
    std::string what;
    Builder message;
    bool dns;
    std::vector<unsigned> order;
  } rows[] = {
      {"no client identifier, no list", plain, true, {2, 23, 24}},
      {"our identifier", ours, true, {2, 23, 24}},
      {"DNS only", Builder(plain).wants({23}), true, {2, 23}},
      {"domains only", Builder(plain).wants({24}), true, {2, 24}},
      {"neither", Builder(plain).wants({31}), true, {2}},
      {"no DNS here", plain, false, {2, 24}},
      {"with an address", Builder(test::kSolicit6).client(1).wants({23}).addresses(1), true, {2, 1, 3, 23}},
      {"addresses only", Builder(test::kSolicit6).client(1).wants({}).addresses(1), true, {2, 1, 3}},
  };
  for (const auto& row : rows) {
    CAPTURE(row.what);
    Scene scene({kConfig.network, row.dns});
    scene.server.set_search({"a.test"});
    const auto reply = scene.send(row.message);
    REQUIRE(reply);
    CHECK(reply->order == row.order);
  }
}

// RFC 8415 16 and 18.4.
TEST_CASE("dhcp6 server: messages that are answered, and those that are not") {
  const ByteString other_server = test::from_hex("0003 0001 52550a000203");
  const struct {
    unsigned type;
    bool without_server;  // answered with a client identifier and no server identifier …
    bool with_ours;       // … with ours, …
    bool with_anothers;   // … with another server's, …
    bool without_client;  // … and without a client identifier, the server's as is right
    bool unicast;         // to an address of the gateway: it is told to use multicast
  } rows[] = {
      {test::kSolicit6, true, false, false, false, false},
      {test::kAdvertise6, false, false, false, false, false},
      {test::kRequest6, false, true, false, false, true},
      {test::kConfirm6, true, false, false, false, false},
      {test::kRenew6, false, true, false, false, true},
      {test::kRebind6, true, false, false, false, false},
      {test::kReply6, false, false, false, false, false},
      {test::kRelease6, false, true, false, false, true},
      {test::kDecline6, false, true, false, false, true},
      {test::kReconfigure6, false, false, false, false, false},
      {test::kInformation6, true, true, false, true, false},
      {test::kRelayForward6, false, false, false, false, false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.type);
    Scene scene;
    const auto message = [&row] {
      Builder builder(row.type);
      return row.type == test::kInformation6 ? builder : builder.addresses(1, {ip6("fd00::100")});
    };
    const bool needs_server = row.with_ours && !row.without_server;
    const Builder right = needs_server ? message().client(1).server() : message().client(1);
    CHECK(scene.send(message().client(1)).has_value() == row.without_server);
    CHECK(scene.send(message().client(1).server()).has_value() == row.with_ours);
    CHECK_FALSE(scene.send(message().client(1).option(2, other_server)));
    CHECK(scene.send(needs_server ? message().server() : message()).has_value() == row.without_client);
    const auto unicast = scene.send(right, kToGateway);
    CHECK(unicast.has_value() == row.unicast);
    CHECK((!unicast || (unicast->status() == 5 && unicast->order == std::vector<unsigned>{2, 1, 13})));
  }
  Scene scene;
  CHECK_FALSE(scene.send(Builder(test::kInformation6).client(1).addresses(1)));
}

TEST_CASE("dhcp6 server: what is malformed is counted") {
  Scene scene;
  CHECK_FALSE(scene.send(Builder(test::kReply6)));
  CHECK_FALSE(scene.send(Builder(test::kSolicit6).client(1).client(1)));
  CHECK(scene.server.counters().malformed == 2);
  CHECK(scene.server.counters().requests == 0);
  CHECK(scene.send(Builder(test::kSolicit6).client(1)));
  CHECK(scene.server.counters().requests == 1);
}

TEST_CASE("dhcp6 server: a client joins") {
  Scene scene;
  const auto advertised = scene.send(Builder(test::kSolicit6).client(1).addresses(7));
  REQUIRE(advertised);
  CHECK(advertised->type == test::kAdvertise6);
  CHECK(advertised->associations == Texts{granted(7, "fd00::100")});
  CHECK_FALSE(advertised->has(14));
  const auto reply = scene.send(Builder(test::kRequest6).client(1).server().addresses(7, {ip6("fd00::100")}));
  REQUIRE(reply);
  CHECK(reply->type == test::kReply6);
  CHECK(reply->associations == Texts{granted(7, "fd00::100")});
  CHECK(scene.in_use() == 1);
}

TEST_CASE("dhcp6 server: a client joins with two messages (rapid commit)") {
  Scene scene;
  const auto reply = scene.send(Builder(test::kSolicit6).client(1).rapid().addresses(7));
  REQUIRE(reply);
  CHECK(reply->type == test::kReply6);
  CHECK(reply->has(14));
  CHECK(reply->associations == Texts{granted(7, "fd00::100")});
  scene.clock.advance(DhcpLeases::kOfferTime);
  CHECK(scene.in_use() == 1);  // a lease, not an offer
}

TEST_CASE("dhcp6 server: an offer is forgotten when it is not taken up") {
  Scene scene;
  CHECK(scene.solicit(1) == granted(1, "fd00::100"));
  CHECK(scene.solicit(2) == granted(1, "fd00::101"));
  CHECK(scene.in_use() == 2);
  scene.clock.advance(DhcpLeases::kOfferTime);
  CHECK(scene.in_use() == 0);
}

TEST_CASE("dhcp6 server: clients and associations have addresses of their own, and keep them") {
  Scene scene;
  CHECK(scene.request(1) == granted(1, "fd00::100"));
  CHECK(scene.request(2) == granted(1, "fd00::101"));
  CHECK(scene.request(1) == granted(1, "fd00::100"));
  const auto two = scene.send(Builder(test::kRequest6).client(1).server().addresses(1).addresses(2));
  REQUIRE(two);
  CHECK(two->associations == Texts{granted(1, "fd00::100"), granted(2, "fd00::102")});
  scene.clock.advance(DhcpLeases::kLeaseTime + 1h);
  CHECK(scene.solicit(2) == granted(1, "fd00::101"));
}

TEST_CASE("dhcp6 server: which address a client gets") {
  Scene scene;
  REQUIRE(scene.request(1) == granted(1, "fd00::100"));
  CHECK(scene.solicit(2, {ip6("fd00::10f")}) == granted(1, "fd00::10f"));  // as it likes
  CHECK(scene.solicit(3, {ip6("fd00::100")}) == granted(1, "fd00::101"));  // taken
  CHECK(scene.solicit(4, {ip6("fd00::110")}) == granted(1, "fd00::102"));  // not in the pool
  CHECK(scene.solicit(5, {ip6("2001:db8::1")}) == granted(1, "fd00::103"));
  CHECK(scene.request(6, {ip6("fd00::100"), ip6("fd00::10e")}) == granted(1, "fd00::10e"));
  CHECK(scene.request(7, {ip6("fd00::ff")}) == granted(1, "fd00::104"));
  CHECK(scene.request(8, {ip6("2001:db8::1")}) == "3:1 status=4");
  CHECK(scene.request(8, {ip6("fd00::105"), ip6("2001:db8::1")}) == "3:1 status=4");
  CHECK(scene.request(6, {ip6("fd00::105")}) == granted(1, "fd00::10e"));  // it has one already
}

TEST_CASE("dhcp6 server: other networks") {
  const struct {
    sys::Ipv6Network network;
    std::string first;
    std::string last;
  } rows[] = {
      {{ip6("fd01:2::"), 112}, "fd01:2::100", "fd01:2::10f"},
      {{ip6("fd01::200"), 119}, "fd01::300", "fd01::30f"},
      {{ip6("fd01::100"), 120}, "fd01::164", "fd01::173"},
      {{ip6("fd01::200"), 120}, "fd01::264", "fd01::273"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.first);
    Scene scene({row.network, true});
    CHECK(scene.request(1) == granted(1, row.first));
    for (unsigned n = 2; n < DhcpLeases::kSize; ++n) {
      CHECK(scene.request(n) != "none");
    }
    CHECK(scene.request(99) == granted(1, row.last));
  }
}

TEST_CASE("dhcp6 server: a pool that is used up") {
  Scene scene;
  scene.fill_pool();
  CHECK(scene.in_use() == DhcpLeases::kSize);
  CHECK(scene.solicit(1) == "3:1 status=2");
  CHECK(scene.request(1) == "3:1 status=2");
  CHECK(scene.renew(1, {}) == "3:1 status=2");
  CHECK(scene.server.counters().exhausted == 3);
  const auto rapid = scene.send(Builder(test::kSolicit6).client(1).rapid().addresses(1));
  REQUIRE(rapid);
  CHECK(rapid->associations == Texts{"3:1 status=2"});
  scene.clock.advance(DhcpLeases::kLeaseTime);
  CHECK(scene.solicit(1) == granted(1, "fd00::100"));
}

TEST_CASE("dhcp6 server: there are no prefixes and no temporary addresses") {
  Scene scene;
  for (const unsigned type : {test::kSolicit6, test::kRequest6, test::kRenew6}) {
    CAPTURE(type);
    Builder message(type);
    message.client(1).prefix(1).temporary(2).addresses(3);
    const auto reply = scene.send(type == test::kSolicit6 ? message : message.server());
    REQUIRE(reply);
    CHECK(reply->associations == Texts{"25:1 status=6", "4:2 status=2", granted(3, "fd00::100")});
  }
}

TEST_CASE("dhcp6 server: leases are prolonged") {
  Scene scene;
  REQUIRE(scene.request(1) == granted(1, "fd00::100"));
  scene.clock.advance(DhcpLeases::kLeaseTime - 1s);
  CHECK(scene.renew(1, {ip6("fd00::100")}) == granted(1, "fd00::100"));
  scene.clock.advance(DhcpLeases::kLeaseTime - 1s);
  CHECK(scene.rebind(1, {ip6("fd00::100")}) == granted(1, "fd00::100"));
  scene.clock.advance(DhcpLeases::kLeaseTime - 1s);
  CHECK(scene.in_use() == 1);
}

TEST_CASE("dhcp6 server: renewing what the server does not know, and what it cannot give") {
  const Ipv6Address a = ip6("fd00::100");
  const Ipv6Address b = ip6("fd00::101");
  const struct {
    std::string what;
    std::vector<Ipv6Address> list;
    std::string answer;
  } rows[] = {
      {"from an earlier run", {ip6("fd00::107")}, granted(1, "fd00::107")},
      {"another client's", {a}, "3:1 status=3"},
      {"not in the pool", {ip6("fd00::50")}, "3:1 status=3"},
      {"another link's", {ip6("2001:db8::1")}, "3:1 2001:db8::1/0"},
      {"one of two", {a, b}, "3:1 fd00::100/0 fd00::101/86400 T1=43200 T2=69120"},
      {"both, but only one may be had",
       {b, ip6("fd00::102")},
       "3:1 fd00::101/86400 fd00::102/0 T1=43200 T2=69120"},
      {"none so far", {}, granted(1, "fd00::101")},
  };
  for (const auto& row : rows) {
    CAPTURE(row.what);
    Scene renewing;
    REQUIRE(renewing.request(9) == granted(1, "fd00::100"));
    CHECK(renewing.renew(1, row.list) == row.answer);
    Scene rebinding;
    REQUIRE(rebinding.request(9) == granted(1, "fd00::100"));
    CHECK(rebinding.rebind(1, row.list) == row.answer);
  }
}

TEST_CASE("dhcp6 server: a client that has moved asks whether its addresses fit") {
  Scene scene;
  const auto confirm = [&](const std::vector<Ipv6Address>& list) {
    const auto reply = scene.send(Builder(test::kConfirm6).client(1).addresses(1, list).addresses(2));
    CHECK((!reply || reply->order == std::vector<unsigned>{2, 1, 13}));
    return reply ? reply->status() : -2;
  };
  CHECK(confirm({ip6("fd00::100")}) == 0);
  CHECK(confirm({ip6("fd00::dead:beef")}) == 0);
  CHECK(confirm({ip6("fd00:0:0:1::100")}) == 4);
  CHECK(confirm({ip6("fd00::100"), ip6("2001:db8::1")}) == 4);
  CHECK(confirm({}) == -2);
  CHECK(scene.in_use() == 0);
}

TEST_CASE("dhcp6 server: released addresses are free") {
  Scene scene;
  scene.fill_pool();
  const auto reply = scene.release(103, {ip6("fd00::103")});
  REQUIRE(reply);
  CHECK(reply->type == test::kReply6);
  CHECK(reply->status() == 0);
  CHECK(reply->associations.empty());
  CHECK(scene.in_use() == DhcpLeases::kSize - 1);
  CHECK(scene.request(1) == granted(1, "fd00::103"));
}

TEST_CASE("dhcp6 server: what a client does not have it cannot give back") {
  Scene scene;
  scene.fill_pool();
  for (const bool releasing : {true, false}) {
    CAPTURE(releasing);
    const auto give_back = [&](unsigned n, std::string_view address) {
      const std::vector<Ipv6Address> list = {ip6(address)};
      const auto reply = releasing ? scene.release(n, list) : scene.decline(n, list);
      return reply && reply->status() == 0 ? reply->associations : Texts{"no success"};
    };
    CHECK(give_back(104, "fd00::105") == Texts{"3:1 status=3"});
    CHECK(give_back(1, "fd00::105") == Texts{"3:1 status=3"});
    CHECK(give_back(105, "fd00::5") == Texts{"3:1 status=3"});
    CHECK(scene.in_use() == DhcpLeases::kSize);
  }
  CHECK(scene.request(1) == "3:1 status=2");
}

TEST_CASE("dhcp6 server: declined addresses are left alone for a while") {
  Scene scene;
  REQUIRE(scene.request(1) == granted(1, "fd00::100"));
  const auto reply = scene.decline(1, {ip6("fd00::100")});
  REQUIRE(reply);
  CHECK(reply->status() == 0);
  CHECK(reply->associations.empty());
  CHECK(scene.request(1, {ip6("fd00::100")}) == granted(1, "fd00::101"));
  CHECK(scene.request(2, {ip6("fd00::100")}) == granted(1, "fd00::102"));
  scene.clock.advance(DhcpLeases::kDeclinedTime);
  CHECK(scene.request(3, {ip6("fd00::100")}) == granted(1, "fd00::100"));
}

TEST_CASE("dhcp6 server: whatever clients do, no address has two of them") {
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same clients in every run
  Scene scene;
  std::vector<std::string> held(40);
  for (int step = 0; step < 5000; ++step) {
    const auto n = static_cast<unsigned>(random() % 40);
    const Ipv6Address some = ip6("fd00::100");
    switch (random() % 4) {
      case 0:
        held[n] = scene.request(n);
        break;
      case 1:
        held[n] = scene.renew(n, {some});
        break;
      case 2:
        scene.release(n, {some});
        held[n] = held[n] == granted(1, "fd00::100") ? "" : held[n];
        break;
      default:
        static_cast<void>(scene.solicit(n));
        break;
    }
    std::set<std::string> seen;
    for (const std::string& lease : held) {
      if (lease.find("86400") != std::string::npos) {
        CHECK(seen.insert(lease).second);
      }
    }
  }
  CHECK(scene.in_use() <= DhcpLeases::kSize);
}

}  // namespace
}  // namespace l4n::nat
