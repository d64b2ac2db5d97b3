// IPv6 through the gateway: neighbour discovery, ping, fragments, errors, UDP, TCP both ways. What does not
// depend on the family is tested with IPv4.
#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;
using sys::Endpoint;
using sys::Ipv6Address;

Ipv6Address v6(const char* text) { return sys::parse_ipv6(text).value(); }

const Ipv6Address kGuest6 = v6("fd00::100");
const Ipv6Address kGateway6 = v6("fd00::2");
const Ipv6Address kDns6 = v6("fd00::3");
const Ipv6Address kRouter6 = v6("fe80::2");
const Ipv6Address kGuestLinkLocal = v6("fe80::5054:ff:fe12:3456");
const Ipv6Address kAllNodes = v6("ff02::1");
const Ipv6Address kAllRouters = v6("ff02::2");
const Endpoint kServer6{v6("2001:db8::1"), 80};
const Endpoint kPeer6{v6("2001:db8::1"), 7};
const Endpoint kClient6{v6("2001:db8:7::7"), 50000};
const UdpSender kSender6{{kGuest6, 5000}, {}};

enum : std::uint8_t {
  kUnreachable = 1,
  kTimeExceeded = 3,
  kParameterProblem = 4,
  kEchoRequest = 128,
  kEchoReply = 129,
  kRouterSolicitation = 133,
  kRouterAdvertisement = 134,
  kNeighbourSolicitation = 135,
  kNeighbourAdvertisement = 136,
};

WorldOptions with_ipv6(unsigned mtu = 1500, bool vnet = true) {
  WorldOptions options;
  options.mtu = mtu;
  options.vnet = vnet;
  options.policy.network6 = sys::Ipv6Network{v6("fd00::"), 64};
  return options;
}

Data bytes(const Ipv6Address& address) {
  const auto raw = std::as_bytes(std::span(address.bytes));
  return {raw.begin(), raw.end()};
}

Data concat(std::initializer_list<Data> parts) {
  Data all;
  for (const Data& part : parts) {
    append(all, part);
  }
  return all;
}

// A link-layer address option of the guest: 1 the source's, 2 the target's.
Data link_layer_option(unsigned type, const stack::MacAddress& mac = kGuestMac) {
  Data option{static_cast<std::byte>(type), std::byte{1}};
  append(option, std::as_bytes(std::span(mac)));
  return option;
}

IcmpMessage neighbour_message(std::uint8_t type, std::uint8_t flags, const Ipv6Address& target,
                              const Data& option) {
  return {type, 0, concat({Data{std::byte{flags}}, Data(3), bytes(target), option})};
}

IcmpMessage echo(std::size_t size, std::uint32_t seed = 1) {
  IcmpMessage message = echo_request(0x1234, 7, random_data(size, seed));
  message.type = kEchoRequest;
  return message;
}

struct World6 : World {
  explicit World6(const WorldOptions& options = with_ipv6()) : World(options) {}

  // What the gateway says when the guest sends this.
  std::vector<Packet> answers_to(sys::Bytes packet, const stack::MacAddress& to = stack::kGatewayMac) {
    others.clear();
    port.inject(ip_frame(packet, kGuestMac, to));
    settle();
    return others;
  }
  std::vector<Packet> answers_to_solicitation(const Ipv6Address& source, const Ipv6Address& destination,
                                              const Ipv6Address& target, const Data& option) {
    const IcmpMessage question = neighbour_message(kNeighbourSolicitation, 0, target, option);
    return answers_to(icmp_packet(source, destination, question, {.ttl = 255}));
  }
  // The guest says where it is.
  void advertise_guest() {
    const IcmpMessage message =
        neighbour_message(kNeighbourAdvertisement, 0x60, kGuest6, link_layer_option(2));
    inject_ip(icmp_packet(kGuest6, kRouter6, message, {.ttl = 255}));
    settle();
  }
  std::size_t solicitations() const {
    return static_cast<std::size_t>(std::count_if(others.begin(), others.end(), [](const Packet& packet) {
      return packet.icmp && packet.icmp->type == kNeighbourSolicitation;
    }));
  }
};

// --- neighbour discovery ---

TEST_CASE_FIXTURE(World6, "IPv6: our addresses are answered for, and no others") {
  struct Row {
    Ipv6Address target;
    bool ours = false;
  };
  for (const Row& row : {Row{kGateway6, true},
                         {kDns6, true},
                         {kRouter6, true},
                         {kGuest6, false},
                         {v6("fd00::4"), false},
                         {v6("fe80::1"), false},
                         {kServer6.address.v6(), false}}) {
    CAPTURE(sys::to_string(row.target));
    const auto answers = answers_to_solicitation(kGuest6, row.target, row.target, link_layer_option(1));
    REQUIRE(answers.size() == (row.ours ? 1 : 0));
    if (row.ours) {
      const Packet& answer = answers[0];
      CHECK(answer.destination_mac == kGuestMac);
      CHECK(answer.source == row.target);
      CHECK(answer.destination == kGuest6);
      CHECK(answer.ttl == 255);
      REQUIRE(answer.icmp);
      CHECK(answer.icmp->type == kNeighbourAdvertisement);
      CHECK(answer.icmp->code == 0);
      // Router, solicited, override.
      CHECK(answer.icmp->rest ==
            neighbour_message(0, 0xe0, row.target, link_layer_option(2, stack::kGatewayMac)).rest);
    }
  }
}

TEST_CASE_FIXTURE(World6, "IPv6: duplicate address detection of our address is answered to all nodes") {
  const auto answers = answers_to_solicitation(v6("::"), v6("ff02::1:ff00:2"), kGateway6, {});
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].destination == kAllNodes);
  CHECK(answers[0].destination_mac == stack::MacAddress{0x33, 0x33, 0, 0, 0, 1});
  REQUIRE(answers[0].icmp);
  CHECK(answers[0].icmp->rest[0] == std::byte{0xa0});  // not solicited
  CHECK(answers_to_solicitation(v6("::"), v6("ff02::1:ff00:100"), kGuest6, {}).empty());
}

TEST_CASE_FIXTURE(World6, "IPv6: invalid solicitations are answered by nothing") {
  const IcmpMessage good = neighbour_message(kNeighbourSolicitation, 0, kGateway6, link_layer_option(1));
  IcmpMessage code = good;
  code.code = 1;
  IcmpMessage no_length = good;
  no_length.rest[21] = std::byte{0};
  const std::vector<Data> packets = {
      icmp_packet(kGuest6, kGateway6, good, {.ttl = 254}),
      icmp_packet(kGuest6, kGateway6, code, {.ttl = 255}),
      icmp_packet(kGuest6, kGateway6, no_length, {.ttl = 255}),
      icmp_packet(v6("::"), v6("ff02::1:ff00:2"), good, {.ttl = 255}),
  };
  for (const Data& packet : packets) {
    CHECK(answers_to(packet).empty());
  }
  CHECK(answers_to(icmp_packet(kGuest6, kGateway6, good, {.ttl = 255})).size() == 1);
}

TEST_CASE_FIXTURE(World6, "IPv6: nobody is told about neighbours who cannot be who they say") {
  for (const char* source : {"ff02::1", "::1", "fd00::2", "fd00::3", "fe80::2"}) {
    CAPTURE(source);
    CHECK(answers_to_solicitation(v6(source), kGateway6, kGateway6, link_layer_option(1)).empty());
    const IcmpMessage question{kRouterSolicitation, 0, Data(4)};
    CHECK(answers_to(icmp_packet(v6(source), kAllRouters, question, {.ttl = 255}), {0x33, 0x33, 0, 0, 0, 2})
              .empty());
  }
}

TEST_CASE("IPv6: a router solicitation is answered with what the guest needs") {
  struct Row {
    std::string description;
    Ipv6Address source;
    Data option;
    Ipv6Address destination;
    stack::MacAddress mac;
  };
  const std::vector<Row> rows = {
      {"from its link-local address", kGuestLinkLocal, link_layer_option(1), kGuestLinkLocal, kGuestMac},
      {"from nobody yet", v6("::"), {}, kAllNodes, {0x33, 0x33, 0, 0, 0, 1}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    World6 w(with_ipv6(9000));
    const IcmpMessage question{kRouterSolicitation, 0, concat({Data(4), row.option})};
    const auto answers =
        w.answers_to(icmp_packet(row.source, kAllRouters, question, {.ttl = 255}), {0x33, 0x33, 0, 0, 0, 2});
    REQUIRE(answers.size() == 1);
    CHECK(answers[0].source == kRouter6);
    CHECK(answers[0].destination == row.destination);
    CHECK(answers[0].destination_mac == row.mac);
    CHECK(answers[0].ttl == 255);
    REQUIRE(answers[0].icmp);
    CHECK(answers[0].icmp->type == kRouterAdvertisement);
    const Data& rest = answers[0].icmp->rest;
    REQUIRE(rest.size() >= 12);
    CHECK(rest[0] == std::byte{64});
    CHECK(sys::load_be16(&rest[2]) == 1800);
    const auto contains = [&rest](const Data& option) {
      return std::search(rest.begin() + 12, rest.end(), option.begin(), option.end()) != rest.end();
    };
    CHECK(contains(link_layer_option(1, stack::kGatewayMac)));
    CHECK(
        contains({std::byte{5}, std::byte{1}, {}, {}, {}, {}, std::byte{9000 >> 8}, std::byte{9000 & 0xff}}));
    CHECK(contains(concat({{std::byte{3}, std::byte{4}, std::byte{64}, std::byte{0xc0}}})));
    CHECK(contains(concat({Data(4), bytes(v6("fd00::"))})));
    CHECK(contains(bytes(kDns6)));
  }
}

TEST_CASE_FIXTURE(World6, "IPv6: advertisements come unasked, every 200 to 600 seconds") {
  advance(199s);
  CHECK(others.empty());
  advance(401s);
  REQUIRE(others.size() >= 1);
  CHECK(others.size() <= 3);
  CHECK(others[0].destination == kAllNodes);
  CHECK(others[0].icmp->type == kRouterAdvertisement);
}

TEST_CASE("IPv6: without a network nothing of it is answered") {
  World w;
  w.inject_ip(icmp_packet(kGuest6, kGateway6, echo(8)));
  w.inject_ip(icmp_packet(v6("::"), kAllRouters, {kRouterSolicitation, 0, Data(4)}, {.ttl = 255}));
  w.inject_ip(icmp_packet(kGuest6, kGateway6,
                          neighbour_message(kNeighbourSolicitation, 0, kGateway6, link_layer_option(1)),
                          {.ttl = 255}));
  w.advance(700s);
  CHECK(w.port.sent_frames() == 0);
}

// --- ping and fragments ---

TEST_CASE("IPv6: pings of our addresses are answered in all sizes, at any MTU") {
  for (const unsigned mtu : {1280U, 1500U, 65520U}) {
    World6 w(with_ipv6(mtu));
    for (const std::size_t size : {0UL, 1UL, 1232UL, 1233UL, 1452UL, 1453UL, 8000UL, 65471UL, 65527UL}) {
      CAPTURE(mtu);
      CAPTURE(size);
      w.others.clear();
      const IcmpMessage request = echo(size, mtu);
      w.inject_fragmented(icmp_packet(kGuest6, kGateway6, request));
      w.settle();
      REQUIRE(w.others.size() == 1);
      CHECK(w.others[0].source == kGateway6);
      CHECK(w.others[0].destination == kGuest6);
      REQUIRE(w.others[0].icmp);
      CHECK(w.others[0].icmp->type == kEchoReply);
      CHECK(w.others[0].icmp->rest == request.rest);
    }
  }
}

TEST_CASE("IPv6: fragments in any order make the packet that was sent") {
  const Data packet = icmp_packet(kGuest6, kGateway6, echo(1500));
  const std::vector<Data> pieces = fragment(packet, 500);
  REQUIRE(pieces.size() == 4);
  std::vector<std::size_t> order{0, 1, 2, 3};
  do {
    World6 w;
    for (const std::size_t next : order) {
      CHECK(w.others.empty());
      w.inject_ip(pieces[next]);
      w.settle();
    }
    REQUIRE(w.others.size() == 1);
    CHECK(w.others[0].icmp->rest == echo(1500).rest);
    CHECK(w.gateway->reassembly().pending() == 0);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE_FIXTURE(World6, "IPv6: an atomic fragment is answered alone, while its name is taken (RFC 6946)") {
  const Data packet = icmp_packet(kGuest6, kGateway6, echo(100));
  inject_ip(fragment_of(packet, 0, 64, true));
  const auto answers = answers_to(fragment_of(packet, 0, 108, false));
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].icmp->rest == echo(100).rest);
  CHECK(gateway->reassembly().pending() == 1);
  inject_ip(fragment_of(packet, 64, 44, false));
  settle();
  CHECK(others.size() == 2);
}

TEST_CASE_FIXTURE(World6, "IPv6: fragments that overlap end their packet (RFC 5722)") {
  const Data packet = icmp_packet(kGuest6, kGateway6, echo(100));
  inject_ip(fragment_of(packet, 0, 64, true));
  inject_ip(fragment_of(packet, 56, 16, true));
  inject_ip(fragment_of(packet, 64, 44, false));
  settle();
  CHECK(others.empty());
  CHECK(gateway->reassembly().counters().conflicting == 1);
}

TEST_CASE_FIXTURE(World6, "IPv6: what stays incomplete for a minute is told") {
  const Data first = fragment_of(icmp_packet(kGuest6, kGateway6, echo(100)), 0, 64, true);
  inject_ip(first);
  advance(59s);
  CHECK(others.empty());
  advance(1s);
  REQUIRE(others.size() == 1);
  CHECK(others[0].source == kGateway6);
  CHECK(others[0].destination == kGuest6);
  REQUIRE(others[0].icmp);
  CHECK(others[0].icmp->type == kTimeExceeded);
  CHECK(others[0].icmp->code == 1);
  CHECK(others[0].icmp->quoted() == first);
}

// --- parameter problems ---

TEST_CASE_FIXTURE(World6, "IPv6: who sends what cannot be served is told where that is") {
  struct Row {
    std::string description;
    Data packet;
    std::optional<std::pair<unsigned, unsigned>> told;  // code and pointer
  };
  const Ipv6Address group = v6("ff02::1234");
  const auto option = [](unsigned type, const Ipv6Address& to) {
    return ip_packet(kGuest6, to, 60,
                     Data{std::byte{59}, {}, static_cast<std::byte>(type), std::byte{4}, {}, {}, {}, {}});
  };
  const Data rest = Data(64);
  Data too_long = fragment_of(ip_packet(kGuest6, kGateway6, 17, rest), 0, 8, false);
  sys::store_be16(&too_long[42], 65528);
  const std::vector<Row> rows = {
      {"an unknown protocol", ip_packet(kGuest6, kGateway6, 47, rest), {{1, 6}}},
      {"an unknown protocol for others", ip_packet(kGuest6, kServer6.address, 47, rest), {{1, 6}}},
      {"an unknown protocol to a group", ip_packet(kGuest6, group, 47, rest), std::nullopt},
      {"no next header", ip_packet(kGuest6, kGateway6, 59, rest), std::nullopt},
      {"an option to skip", option(0x1e, kGateway6), std::nullopt},
      {"an option to discard", option(0x5e, kGateway6), std::nullopt},
      {"an option to tell", option(0x9e, kGateway6), {{2, 42}}},
      {"an option to tell, to a group", option(0x9e, group), {{2, 42}}},
      {"an option to tell unless to a group", option(0xde, kGateway6), {{2, 42}}},
      {"the same to a group", option(0xde, group), std::nullopt},
      {"segments left",
       ip_packet(kGuest6, kGateway6, 43, Data{std::byte{59}, {}, {}, std::byte{1}, {}, {}, {}, {}}),
       {{0, 42}}},
      {"a fragment of 12 bytes", fragment_of(ip_packet(kGuest6, kGateway6, 17, rest), 0, 12, true), {{0, 4}}},
      {"past the largest packet", too_long, {{0, 42}}},
      {"a first fragment without its header",
       fragment_of(ip_packet(kGuest6, kGateway6, 6, rest), 0, 16, true),
       {{3, 0}}},
      {"from an address of ours", ip_packet(kGateway6, kServer6.address, 47, rest), std::nullopt},
      {"truncated", Data(39, std::byte{0x60}), std::nullopt},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    const bool to_group = row.packet.size() >= 40 && row.packet[24] == std::byte{0xff};
    const auto answers = answers_to(
        row.packet, to_group ? stack::MacAddress{0x33, 0x33, 0, 0, 0x12, 0x34} : stack::kGatewayMac);
    REQUIRE(answers.size() == (row.told ? 1 : 0));
    if (row.told) {
      CHECK(answers[0].source == kGateway6);
      CHECK(answers[0].destination == kGuest6);
      REQUIRE(answers[0].icmp);
      CHECK(answers[0].icmp->type == kParameterProblem);
      CHECK(answers[0].icmp->code == row.told->first);
      CHECK(sys::load_be32(answers[0].icmp->rest.data()) == row.told->second);
      CHECK(answers[0].icmp->quoted() == row.packet);
    }
  }
  CHECK(gateway->reassembly().pending() == 0);
}

// --- UDP ---

TEST_CASE("IPv6: datagrams of all sizes pass unchanged in both directions, at any MTU") {
  for (const unsigned mtu : {1280U, 1500U, 65520U}) {
    World6 w(with_ipv6(mtu));
    w.send_udp(kPeer6, bytes_of("open"), kSender6);
    w.settle();
    REQUIRE(w.host.udp.opened() == 1);
    HostUdpSocket& socket = w.host.udp.last();
    std::uint32_t seed = 1;
    for (const std::size_t size :
         {0UL, 1UL, 1232UL, 1233UL, 1452UL, 1453UL, 32000UL, 65472UL, 65507UL, 65527UL}) {
      CAPTURE(mtu);
      CAPTURE(size);
      socket.forget_sent();
      w.others.clear();
      const Data up = random_data(size, ++seed);
      w.send_udp(kPeer6, up, kSender6);
      w.settle();
      REQUIRE(socket.sent().size() == 1);
      CHECK(socket.sent()[0].to == kPeer6);
      CHECK(socket.sent()[0].payload == up);
      const Data down = random_data(size, ++seed);
      socket.deliver(kPeer6, down);
      w.settle();
      const auto received = w.datagrams();
      REQUIRE(received.size() == 1);
      CHECK(received[0].source == kPeer6);
      CHECK(received[0].destination == kSender6.local);
      CHECK(received[0].payload == down);
    }
  }
}

TEST_CASE_FIXTURE(World6, "IPv6: a datagram needs its checksum (RFC 8200 8.1)") {
  Data packet = udp_packet(kGuest6, kPeer6.address, {5000, 7, bytes_of("data")});
  packet[46] = packet[47] = std::byte{0};
  CHECK(answers_to(packet).empty());
  CHECK(host.udp.opened() == 0);
}

TEST_CASE_FIXTURE(World6, "IPv6: a hop limit of 1 ends at the gateway") {
  const Data packet = udp_packet(kGuest6, kPeer6.address, {5000, 7, bytes_of("data")}, {.ttl = 1});
  const auto answers = answers_to(packet);
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].source == kGateway6);
  REQUIRE(answers[0].icmp);
  CHECK(answers[0].icmp->type == kTimeExceeded);
  CHECK(answers[0].icmp->code == 0);
  CHECK(answers[0].icmp->quoted() == packet);
  CHECK(host.udp.opened() == 0);
}

// --- TCP ---

TEST_CASE("IPv6: a connection carries data both ways and closes both ways, at any MTU") {
  for (const unsigned mtu : {1280U, 1500U, 65520U}) {
    for (const bool vnet : {true, false}) {
      CAPTURE(mtu);
      CAPTURE(vnet);
      World6 w(with_ipv6(mtu, vnet));
      PeerOptions options;
      options.local = {kGuest6, 40000};
      options.remote = kServer6;
      options.mss = static_cast<std::uint16_t>(mtu - 60);
      GuestPeer& guest = w.connect(options);
      CHECK(w.host.last().target().endpoint == kServer6);
      const Data up = random_data(300'000, 1);
      const Data down = random_data(500'000, 2);
      w.host.last().write(down);
      guest.send(up);
      w.settle();
      CHECK(w.host.last().received() == up);
      CHECK(guest.received() == down);
      guest.finish();
      w.settle();
      CHECK(w.host.last().got_fin());
      w.host.last().finish();
      w.settle();
      CHECK(guest.got_fin());
      CHECK(w.flows() == 0);
    }
  }
}

TEST_CASE_FIXTURE(World6, "IPv6: the gateway's address is the host's loopback") {
  PeerOptions options;
  options.local = {kGuest6, 40000};
  options.remote = {kGateway6, 8080};
  connect(options);
  CHECK(host.last().target().endpoint == Endpoint{v6("::1"), 8080});
}

TEST_CASE_FIXTURE(World6, "IPv6: refused is a reset, unreachable an ICMPv6 error about the guest's SYN") {
  struct Row {
    int error = 0;
    std::optional<std::uint8_t> code;
  };
  for (const Row& row : {Row{ECONNREFUSED, std::nullopt}, {EHOSTUNREACH, 3}, {ENETUNREACH, 0}}) {
    CAPTURE(row.error);
    others.clear();
    PeerOptions options;
    options.local = {kGuest6, static_cast<std::uint16_t>(40000 + row.error)};
    options.remote = kServer6;
    GuestPeer& guest = peer(options);
    host.plan_connects({FakeHost::Plan::Kind::refuse, row.error});
    guest.connect();
    settle();
    CHECK(guest.was_reset() == !row.code);
    REQUIRE(icmp().size() == (row.code ? 1 : 0));
    if (row.code) {
      CHECK(icmp()[0].icmp->type == kUnreachable);
      CHECK(icmp()[0].icmp->code == row.code);
    }
    guest.vanish();
  }
}

TEST_CASE_FIXTURE(World6, "IPv6: a client outside reaches the guest, who is asked for first") {
  const Endpoint guest_port{kGuest6, 80};
  REQUIRE(gateway->forwards().add({nat::ForwardProtocol::tcp, {v6("::"), 8080}, guest_port}));
  settle();
  CHECK(solicitations() == 1);
  PeerOptions options;
  options.local = guest_port;
  options.remote = kClient6;
  GuestPeer& guest = peer(options);
  guest.listen();
  HostSocket& client = host.listener(0).connect_from(kClient6);
  client.write(bytes_of("early"));
  settle();
  CHECK(guest.seen().empty());
  CHECK(others[0].destination == v6("ff02::1:ff00:100"));
  CHECK(others[0].destination_mac == stack::MacAddress{0x33, 0x33, 0xff, 0, 1, 0});
  CHECK(others[0].source == kRouter6);
  CHECK(others[0].icmp->rest ==
        neighbour_message(0, 0, kGuest6, link_layer_option(1, stack::kGatewayMac)).rest);

  advertise_guest();
  REQUIRE(guest.established());
  CHECK(guest.received() == bytes_of("early"));
  const Data up = random_data(100'000, 1);
  guest.send(up);
  guest.finish();
  client.finish();
  settle();
  CHECK(client.received() == up);
  CHECK(client.got_fin());
  CHECK(flows() == 0);
}

TEST_CASE_FIXTURE(World6, "IPv6: a client of a guest that is not there is reset after three questions") {
  REQUIRE(gateway->forwards().add({nat::ForwardProtocol::tcp, {v6("::"), 8080}, {kGuest6, 80}}));
  HostSocket& client = host.listener(0).connect_from(kClient6);
  advance(4s);
  CHECK(solicitations() == 3);
  CHECK(client.got_reset());
  CHECK(flows() == 0);
}

}  // namespace
}  // namespace l4n::integration
