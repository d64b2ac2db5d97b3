// DHCP as a client in the guest sees it, in frames: who is answered, where to, and with what.
#include <doctest/doctest.h>

#include <string>

#include "tests/integration/support/world.hpp"
#include "tests/support/dhcp_client.hpp"

namespace l4n::integration {
namespace {

using sys::Ipv4Address;
using sys::make_ipv4;
using test::DhcpMessageBuilder;

constexpr Ipv4Address kNobody{};
const Ipv4Address kEverybody = make_ipv4(255, 255, 255, 255);

Ipv4Address address(unsigned n) { return make_ipv4(10, 0, 2, static_cast<std::uint8_t>(n)); }
stack::MacAddress mac(unsigned n) { return {0x52, 0x54, 0, 0, 1, static_cast<std::uint8_t>(n)}; }

struct Reply {
  Packet packet;
  test::DhcpView dhcp;
};

// A client's end of the wire. It has no address as long as it is not told one.
class Client {
 public:
  Client(World& world, unsigned number) : world_(world), mac_(mac(number)) {}

  [[nodiscard]] DhcpMessageBuilder message(unsigned type) const {
    return DhcpMessageBuilder(mac_).type(type);
  }

  // To everybody, from nobody.
  std::optional<Reply> broadcast(const DhcpMessageBuilder& message) {
    return send(message, kNobody, kEverybody, stack::kBroadcastMac);
  }
  std::optional<Reply> unicast(const DhcpMessageBuilder& message, Ipv4Address from) {
    return send(message, from, kGatewayAddress, stack::kGatewayMac);
  }

  // What a client does to get an address.
  std::optional<Reply> obtain() {
    const auto offer = broadcast(message(test::kDiscover));
    if (!offer) {
      return std::nullopt;
    }
    CHECK(offer->dhcp.type() == test::kOffer);
    return broadcast(message(test::kRequest).requested(offer->dhcp.yiaddr).server(kGatewayAddress));
  }

 private:
  std::optional<Reply> send(const DhcpMessageBuilder& message, Ipv4Address from, Ipv4Address to,
                            const stack::MacAddress& to_mac) {
    world_.others.clear();
    const Data packet = udp_packet(from, to, {68, 67, message.build()});
    world_.port.inject(ethernet_frame(stack::kEtherTypeIpv4, packet, mac_, to_mac));
    world_.settle();
    if (world_.others.empty()) {
      return std::nullopt;
    }
    CHECK(world_.others.size() == 1);
    const Packet& answer = world_.others[0];
    REQUIRE(answer.udp.has_value());
    CHECK(answer.source == kGatewayAddress);
    CHECK(answer.udp->source_port == 67);
    CHECK(answer.udp->destination_port == 68);
    auto view = test::view_dhcp_reply(answer.udp->payload);
    REQUIRE(view.has_value());
    CHECK(view->xid == 0x12345678);
    CHECK(std::equal(mac_.begin(), mac_.end(), reinterpret_cast<const std::uint8_t*>(view->chaddr.data())));
    return Reply{answer, *std::move(view)};
  }

  World& world_;
  stack::MacAddress mac_;
};

void check_configuration(const test::DhcpView& view, unsigned mtu) {
  CHECK(view.address(54) == kGatewayAddress);
  CHECK(view.address(1) == make_ipv4(255, 255, 255, 0));
  CHECK(view.address(3) == kGatewayAddress);
  CHECK(view.number(26) == mtu);
}

TEST_CASE("a client gets its address and all it needs to use it") {
  for (const unsigned mtu : {576U, 1500U, 65520U}) {
    CAPTURE(mtu);
    WorldOptions options;
    options.mtu = mtu;
    World w(options);
    Client client(w, 1);
    const auto offer = client.broadcast(client.message(test::kDiscover));
    REQUIRE(offer.has_value());
    CHECK(offer->dhcp.type() == test::kOffer);
    CHECK(offer->dhcp.yiaddr == address(15));
    const auto ack =
        client.broadcast(client.message(test::kRequest).requested(address(15)).server(kGatewayAddress));
    REQUIRE(ack.has_value());
    CHECK(ack->dhcp.type() == test::kAck);
    for (const auto& reply : {offer, ack}) {
      CHECK(reply->dhcp.yiaddr == address(15));
      CHECK(reply->dhcp.number(51) == 86400);
      CHECK(reply->dhcp.address(6) == kDnsAddress);
      check_configuration(reply->dhcp, mtu);
      CHECK(reply->packet.destination == address(15));
      CHECK(reply->packet.destination_mac == mac(1));
    }
    CHECK(w.host.open_sockets() == 0);
  }
}

TEST_CASE("a client that asks for broadcast is answered by broadcast") {
  World w;
  Client client(w, 1);
  const auto offer = client.broadcast(client.message(test::kDiscover).broadcast());
  REQUIRE(offer.has_value());
  CHECK(offer->dhcp.broadcast);
  CHECK(offer->packet.destination == kEverybody);
  CHECK(offer->packet.destination_mac == stack::kBroadcastMac);
}

TEST_CASE("without the DNS service no name server is told") {
  WorldOptions options;
  options.policy.dns = false;
  World w(options);
  const auto ack = Client(w, 1).obtain();
  REQUIRE(ack.has_value());
  CHECK_FALSE(ack->dhcp.has(6));
  check_configuration(ack->dhcp, 1500);
}

TEST_CASE("the host's search list is told, also after it has changed") {
  World w;
  Client client(w, 1);
  CHECK_FALSE(client.obtain()->dhcp.has(119));
  w.gateway->set_search({"example.org"});
  CHECK(client.obtain()->dhcp.values.at(119) == test::from_hex("07 6578616d706c65 03 6f7267 00"));
  w.gateway->set_search({"a.test"});
  CHECK(client.obtain()->dhcp.values.at(119) == test::from_hex("01 61 04 74657374 00"));
}

TEST_CASE("each client has an address of its own and keeps it; sixteen there are") {
  World w;
  for (unsigned n = 0; n < 16; ++n) {
    const auto ack = Client(w, n).obtain();
    REQUIRE(ack.has_value());
    CHECK(ack->dhcp.yiaddr == address(15 + n));
  }
  CHECK_FALSE(Client(w, 16).obtain().has_value());
  const auto again = Client(w, 7).obtain();
  REQUIRE(again.has_value());
  CHECK(again->dhcp.yiaddr == address(22));
}

TEST_CASE("what cannot be granted is refused, to everybody") {
  World w;
  REQUIRE(Client(w, 1).obtain().has_value());
  Client client(w, 2);
  struct Row {
    std::string what;
    Ipv4Address wanted;
  };
  for (const Row& row : {Row{"taken", address(15)},
                         {"out of the pool", address(31)},
                         {"the guest's fixed address", address(100)},
                         {"the gateway", kGatewayAddress},
                         {"another network", make_ipv4(192, 168, 1, 5)}}) {
    CAPTURE(row.what);
    const auto nak = client.broadcast(client.message(test::kRequest).requested(row.wanted));
    REQUIRE(nak.has_value());
    CHECK(nak->dhcp.type() == test::kNak);
    CHECK(nak->dhcp.address(54) == kGatewayAddress);
    CHECK(nak->dhcp.yiaddr == kNobody);
    CHECK_FALSE(nak->dhcp.has(51));
    CHECK(nak->packet.destination == kEverybody);
    CHECK(nak->packet.destination_mac == stack::kBroadcastMac);
  }
}

TEST_CASE("a request that chose another server is not answered") {
  World w;
  Client client(w, 1);
  REQUIRE(client.broadcast(client.message(test::kDiscover)).has_value());
  const auto chosen = client.message(test::kRequest).requested(address(15)).server(address(99));
  CHECK_FALSE(client.broadcast(chosen).has_value());
}

TEST_CASE("a lease is renewed by unicast, to the address that the client has") {
  World w;
  Client client(w, 1);
  REQUIRE(client.obtain().has_value());
  const auto ack = client.unicast(client.message(test::kRequest).ciaddr(address(15)), address(15));
  REQUIRE(ack.has_value());
  CHECK(ack->dhcp.type() == test::kAck);
  CHECK(ack->dhcp.yiaddr == address(15));
  CHECK(ack->dhcp.ciaddr == address(15));
  CHECK(ack->packet.destination == address(15));
  CHECK(ack->packet.destination_mac == mac(1));
}

TEST_CASE("a released address can be had by another client") {
  World w;
  for (unsigned n = 0; n < 16; ++n) {
    REQUIRE(Client(w, n).obtain().has_value());
  }
  Client third(w, 3);
  const auto release = third.message(test::kRelease).ciaddr(address(18)).server(kGatewayAddress);
  CHECK_FALSE(third.unicast(release, address(18)).has_value());
  const auto ack = Client(w, 40).obtain();
  REQUIRE(ack.has_value());
  CHECK(ack->dhcp.yiaddr == address(18));
}

TEST_CASE("a declined address is not offered again") {
  World w;
  Client client(w, 1);
  REQUIRE(client.obtain().has_value());
  const auto decline = client.message(test::kDecline).requested(address(15)).server(kGatewayAddress);
  CHECK_FALSE(client.broadcast(decline).has_value());
  for (unsigned n = 1; n < 4; ++n) {
    const auto ack = Client(w, n).obtain();
    REQUIRE(ack.has_value());
    CHECK(ack->dhcp.yiaddr == address(15 + n));
  }
}

TEST_CASE("a client with an address from elsewhere is told the rest") {
  World w;
  Client client(w, 1);
  const auto ack = client.unicast(client.message(test::kInform).ciaddr(address(100)), address(100));
  REQUIRE(ack.has_value());
  CHECK(ack->dhcp.type() == test::kAck);
  CHECK(ack->dhcp.yiaddr == kNobody);
  CHECK_FALSE(ack->dhcp.has(51));
  CHECK(ack->dhcp.address(6) == kDnsAddress);
  check_configuration(ack->dhcp, 1500);
  CHECK(ack->packet.destination == address(100));
  CHECK(ack->packet.destination_mac == mac(1));
}

TEST_CASE("what is no DHCP request, or not for this server, is not answered and reaches no socket") {
  World w;
  const Data discover = DhcpMessageBuilder(mac(1)).type(test::kDiscover).build();
  struct Row {
    std::string what;
    Data packet;
  };
  const Ipv4Address outside = make_ipv4(192, 0, 2, 1);
  for (const Row& row : {
           Row{"another cookie",
               udp_packet(kNobody, kEverybody, {68, 67, DhcpMessageBuilder(mac(1)).at(236, 0).build()})},
           {"no message type", udp_packet(kNobody, kEverybody, {68, 67, DhcpMessageBuilder(mac(1)).build()})},
           {"empty", udp_packet(kNobody, kEverybody, {68, 67, {}})},
           {"not from the client's port", udp_packet(kNobody, kEverybody, {69, 67, discover})},
           {"not to the server's port", udp_packet(kNobody, kEverybody, {68, 69, discover})},
           {"from the gateway's own address", udp_packet(kGatewayAddress, kEverybody, {68, 67, discover})},
           {"from nobody to a server outside", udp_packet(kNobody, outside, {68, 67, discover})},
       }) {
    CAPTURE(row.what);
    w.inject_ip(row.packet);
    w.settle();
    CHECK(w.others.empty());
    CHECK(w.host.udp.opened() == 0);
  }
}

}  // namespace
}  // namespace l4n::integration
