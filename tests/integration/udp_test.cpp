// The guest's datagrams through the gateway: what arrives at the host's sockets, what comes back, errors,
// batches, and how long a flow lives.
#include <doctest/doctest.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;
using sys::Endpoint;
using sys::Ipv4Address;
using sys::make_ipv4;

const Endpoint kGuest{kGuestAddress, 5000};
const Endpoint kPeer{make_ipv4(192, 0, 2, 1), 7};
const Endpoint kOther{make_ipv4(198, 51, 100, 9), 4242};
const Endpoint kGateway{kGatewayAddress, 7};
const Endpoint kLoopback{make_ipv4(127, 0, 0, 1), 7};
const Ipv4Address kRouter = make_ipv4(203, 0, 113, 1);

HostUdpSocket& open_flow(World& w, const Endpoint& to = kPeer, const UdpSender& sender = {}) {
  const std::size_t before = w.host.udp.opened();
  w.send_udp(to, bytes_of("open"), sender);
  w.settle();
  REQUIRE(w.host.udp.opened() == before + 1);
  HostUdpSocket& socket = w.host.udp.last();
  socket.forget_sent();
  return socket;
}

// A turn in which the frames are read before the host's events are: what a send finds out by itself.
void turn_with_frames_first(World& w) {
  w.gateway->on_event(EPOLLIN);
  static_cast<void>(w.gateway->on_turn_end());
  w.settle();
}

// --- there and back ---

TEST_CASE("datagrams of all sizes pass unchanged in both directions, at any MTU") {
  for (const unsigned mtu : {68U, 576U, 1500U, 9000U, 65520U}) {
    WorldOptions options;
    options.mtu = mtu;
    World w(options);
    HostUdpSocket& socket = open_flow(w);
    std::uint32_t seed = 1;
    for (const std::size_t size : {0UL, 1UL, 40UL, 41UL, 548UL, 549UL, 1472UL, 1473UL, 8973UL, 32000UL,
                                   65491UL, 65492UL, 65506UL, 65507UL}) {
      if (mtu == 68 && size > 32000) {
        continue;  // more than a reassembly of such small pieces may hold
      }
      CAPTURE(mtu);
      CAPTURE(size);
      socket.forget_sent();
      w.others.clear();
      const Data up = random_data(size, ++seed);
      w.send_udp(kPeer, up, {.ip = {.id = static_cast<std::uint16_t>(seed)}});
      w.settle();
      REQUIRE(socket.sent().size() == 1);
      CHECK(socket.sent()[0].to == kPeer);
      CHECK(socket.sent()[0].segment_size == 0);
      CHECK(socket.sent()[0].payload == up);
      CHECK(w.others.empty());

      const Data down = random_data(size, ++seed);
      socket.deliver(kPeer, down);
      w.settle();
      const auto received = w.datagrams();
      REQUIRE(received.size() == 1);
      CHECK(received[0].source == kPeer);
      CHECK(received[0].destination == kGuest);
      CHECK(received[0].payload == down);
    }
  }
}

TEST_CASE("a datagram without a checksum is taken, one with a wrong checksum is not") {
  World w;
  HostUdpSocket& socket = open_flow(w);
  Data packet = udp_packet(kGuestAddress, kPeer.address.v4(), {5000, 7, bytes_of("data")});
  packet[26] ^= std::byte{1};
  w.inject_ip(packet);
  w.settle();
  CHECK(socket.sends() == 1);  // the one that opened the flow
  packet[26] = packet[27] = std::byte{0};
  w.inject_ip(packet);
  w.settle();
  CHECK(socket.datagrams() == std::vector<Data>{bytes_of("data")});
}

TEST_CASE("the host sees TTL less one, TOS and DF as the guest set them") {
  struct Row {
    std::string what;
    IpFields guest;
    std::size_t size = 100;
    nat::UdpHeaderFields host;
  };
  for (const Row& row : {
           Row{"ordinary", {}, 100, {63, 0, false}},
           {"TTL 2", {.ttl = 2}, 100, {1, 0, false}},
           {"TTL 255", {.ttl = 255}, 100, {254, 0, false}},
           {"TOS", {.tos = 0xb8}, 100, {63, 0xb8, false}},
           {"ECN", {.tos = 0x03}, 100, {63, 0x03, false}},
           {"DF", {.dont_fragment = true}, 100, {63, 0, true}},
           {"DF up to the size of real links", {.dont_fragment = true}, 1472, {63, 0, true}},
           {"DF beyond it says nothing", {.dont_fragment = true}, 1473, {63, 0, false}},
       }) {
    CAPTURE(row.what);
    WorldOptions options;
    options.mtu = 65520;
    World w(options);
    w.send_udp(kPeer, Data(row.size), {.ip = row.guest});
    w.settle();
    REQUIRE(w.host.udp.opened() == 1);
    REQUIRE(w.host.udp.last().sent().size() == 1);
    CHECK(w.host.udp.last().sent()[0].fields == row.host);
  }
}

// --- flows ---

TEST_CASE("full cone: one socket serves all peers, and anybody may answer") {
  World w;
  HostUdpSocket& socket = open_flow(w);
  w.send_udp(kOther, bytes_of("to another"));
  w.settle();
  REQUIRE(w.host.udp.opened() == 1);
  REQUIRE(socket.sent().size() == 1);
  CHECK(socket.sent()[0].to == kOther);
  const Endpoint stranger{make_ipv4(203, 0, 113, 77), 1};
  for (const Endpoint& peer : {kPeer, kOther, stranger}) {
    socket.deliver(peer, bytes_of(sys::to_string(peer)));
  }
  w.settle();
  const auto received = w.datagrams();
  REQUIRE(received.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(received[i].payload == bytes_of(sys::to_string(received[i].source)));
    CHECK(received[i].destination == kGuest);
  }
  CHECK(received[2].source == stranger);
}

TEST_CASE("each endpoint of the guest has a socket of its own") {
  World w;
  const std::vector<Endpoint> guests{
      kGuest, {kGuestAddress, 5001}, {make_ipv4(10, 0, 2, 50), 5000}, {make_ipv4(172, 17, 0, 2), 5000}};
  for (const Endpoint& guest : guests) {
    open_flow(w, kPeer, {.local = guest});
  }
  CHECK(w.gateway->udp().flows() == guests.size());
  for (std::size_t i = 0; i < guests.size(); ++i) {
    w.others.clear();
    w.host.udp.socket(i).deliver(kPeer, bytes_of("answer"));
    w.settle();
    const auto received = w.datagrams();
    REQUIRE(received.size() == 1);
    CHECK(received[0].destination == guests[i]);
  }
}

TEST_CASE("x.2 is the host's loopback, and its answers come from x.2") {
  World w;
  w.send_udp(kGateway, bytes_of("question"));
  w.settle();
  REQUIRE(w.host.udp.opened() == 1);
  HostUdpSocket& socket = w.host.udp.last();
  REQUIRE(socket.sent().size() == 1);
  CHECK(socket.sent()[0].to == kLoopback);
  socket.deliver(kLoopback, bytes_of("answer"));
  socket.deliver({make_ipv4(127, 0, 0, 53), 99}, bytes_of("from next door"));
  w.settle();
  const auto received = w.datagrams();
  REQUIRE(received.size() == 2);
  CHECK(received[0].source == kGateway);
  CHECK(received[0].payload == bytes_of("answer"));
  CHECK(received[1].source == Endpoint{kGatewayAddress, 99});
}

TEST_CASE("with the host's loopback closed nothing from there reaches the guest") {
  WorldOptions options;
  options.policy.host_loopback = false;
  World w(options);
  HostUdpSocket& socket = open_flow(w);
  socket.deliver(kLoopback, bytes_of("unasked"));
  socket.deliver({make_ipv4(127, 9, 9, 9), 1}, bytes_of("unasked"));
  socket.refuse(kLoopback, std::nullopt, bytes_of("never sent"));
  w.settle();
  CHECK(w.others.empty());
  CHECK(w.gateway->udp().counters().denied_inbound == 2);
  socket.deliver(kPeer, bytes_of("asked"));
  w.settle();
  CHECK(w.datagrams().size() == 1);
}

// --- batches to the host ---

struct Piece {
  std::size_t size = 100;
  Endpoint to = kPeer;
  IpFields ip = {};
};

struct Batching {
  std::string what;
  std::vector<Piece> pieces;
  std::vector<std::uint16_t> segment_sizes;  // of the calls
};

TEST_CASE("datagrams of one turn go out together when they are equal in all but their content") {
  const std::vector<Piece> thirty_two(32, Piece{1000});
  for (const Batching& row : {
           Batching{"one", {{}}, {0}},
           {"two", {{}, {}}, {100}},
           {"as many as a turn reads", thirty_two, {1000}},
           {"the last may be shorter", {{}, {}, {40}}, {100}},
           {"a shorter one ends the batch", {{}, {40}, {}}, {100, 0}},
           {"also before one as short", {{}, {40}, {40}}, {100, 0}},
           {"a longer one begins another", {{}, {}, {101}, {101}}, {100, 101}},
           {"empty ones go alone", {{0}, {0}}, {0, 0}},
           {"an empty one ends a batch", {{}, {}, {0}, {}}, {100, 0, 0}},
           {"another address", {{}, {100, kOther}, {}}, {0, 0, 0}},
           {"another port", {{}, {100, {kPeer.address, 8}}}, {0, 0}},
           {"another TTL", {{}, {}, {100, kPeer, {.ttl = 5}}}, {100, 0}},
           {"another TOS", {{}, {}, {100, kPeer, {.tos = 4}}}, {100, 0}},
           {"another DF", {{}, {}, {100, kPeer, {.dont_fragment = true}}}, {100, 0}},
       }) {
    CAPTURE(row.what);
    World w;
    HostUdpSocket& socket = open_flow(w);
    std::vector<Data> sent;
    for (const Piece& piece : row.pieces) {
      sent.push_back(random_data(piece.size, static_cast<std::uint32_t>(sent.size())));
      w.send_udp(piece.to, sent.back(), {.ip = piece.ip});
    }
    w.settle();
    std::vector<std::uint16_t> segment_sizes;
    std::size_t next = 0;
    for (const HostUdpSocket::Sent& call : socket.sent()) {
      segment_sizes.push_back(call.segment_size);
      CHECK(call.to == row.pieces[next].to);
      CHECK(call.fields.ttl == row.pieces[next].ip.ttl - 1);
      CHECK(call.fields.tos == row.pieces[next].ip.tos);
      CHECK(call.fields.dont_fragment == row.pieces[next].ip.dont_fragment);
      next += call.datagrams().size();
    }
    CHECK(segment_sizes == row.segment_sizes);
    CHECK(socket.datagrams() == sent);
    CHECK(w.gateway->udp().counters().sent == sent.size() + 1);
  }
}

TEST_CASE("a batch holds no more than one datagram can") {
  WorldOptions options;
  options.mtu = 65520;
  World w(options);
  HostUdpSocket& socket = open_flow(w);
  std::vector<Data> sent;
  for (std::uint32_t i = 0; i < 9; ++i) {
    sent.push_back(random_data(9000, i));
    w.send_udp(kPeer, sent.back());
  }
  w.settle();
  REQUIRE(socket.sent().size() == 2);
  CHECK(socket.sent()[0].payload.size() == 7 * 9000);
  CHECK(socket.datagrams() == sent);
}

TEST_CASE("flows of one turn do not mix") {
  World w;
  const UdpSender second{.local = {kGuestAddress, 6000}};
  HostUdpSocket& a = open_flow(w);
  HostUdpSocket& b = open_flow(w, kPeer, second);
  w.send_udp(kPeer, bytes_of("a one"));
  w.send_udp(kPeer, bytes_of("b one"), second);
  w.send_udp(kPeer, bytes_of("a two"));
  w.send_udp(kPeer, bytes_of("b two"), second);
  w.settle();
  CHECK(a.datagrams() == std::vector<Data>{bytes_of("a one"), bytes_of("a two")});
  CHECK(b.datagrams() == std::vector<Data>{bytes_of("b one"), bytes_of("b two")});
}

TEST_CASE("a frame of several datagrams stays one call") {
  World w;
  HostUdpSocket& socket = open_flow(w);
  const Data payload = random_data(2500, 3);
  stack::VnetHeader vnet = partial_checksum(20, 6);
  vnet.gso_type = stack::VnetHeader::kGsoUdpL4;
  vnet.gso_size = 1000;
  vnet.header_length = 42;
  w.port.inject(ethernet_frame(stack::kEtherTypeIpv4,
                               udp_packet(kGuestAddress, kPeer.address.v4(), {5000, 7, payload})),
                vnet);
  w.send_udp(kPeer, Data(1000));
  w.settle();
  REQUIRE(socket.sent().size() == 2);
  CHECK(socket.sent()[0].segment_size == 1000);
  CHECK(socket.sent()[0].payload == payload);
  CHECK(socket.sent()[1].segment_size == 0);
}

TEST_CASE("a host that takes no such batch gets the datagrams one by one, and is not asked again") {
  World w;
  HostUdpSocket& socket = open_flow(w);
  socket.limit_segments(999);
  const unsigned before = socket.sends();
  std::vector<Data> sent;
  const auto send_three = [&](std::size_t size) {
    for (int i = 0; i < 3; ++i) {
      sent.push_back(random_data(size, static_cast<std::uint32_t>(sent.size())));
      w.send_udp(kPeer, sent.back());
    }
    w.settle();
  };
  send_three(1000);
  CHECK(socket.datagrams() == sent);
  CHECK(socket.sends() == before + 1 + 3);
  send_three(1000);
  CHECK(socket.datagrams() == sent);
  CHECK(socket.sends() == before + 1 + 3 + 3);
  send_three(999);  // shorter ones still go together
  CHECK(socket.datagrams() == sent);
  CHECK(socket.sends() == before + 1 + 3 + 3 + 1);
  CHECK(w.others.empty());
  CHECK(w.gateway->udp().counters().lost == 0);
}

// --- batches to the guest ---

TEST_CASE("datagrams that the host's kernel has joined reach the guest one by one") {
  for (const bool cuts_udp : {false, true}) {
    for (const std::size_t size : {1000UL, 1001UL, 3000UL, 3300UL}) {
      CAPTURE(cuts_udp);
      CAPTURE(size);
      WorldOptions options;
      options.cuts_udp = cuts_udp;
      World w(options);
      HostUdpSocket& socket = open_flow(w);
      const Data payload = random_data(size, 5);
      socket.deliver(kPeer, payload, 1000);
      w.settle();
      std::vector<Data> received;
      for (const GuestDatagram& datagram : w.datagrams()) {
        CHECK(datagram.source == kPeer);
        received.push_back(datagram.payload);
      }
      CHECK(received == cut(payload, 1000));
      CHECK(w.others.size() == (cuts_udp ? 1 : (size + 999) / 1000));
      CHECK(w.gateway->udp().counters().received == received.size());
    }
  }
}

TEST_CASE("joined datagrams that are longer than the MTU come in fragments each") {
  WorldOptions options;
  options.cuts_udp = true;
  options.mtu = 576;
  World w(options);
  HostUdpSocket& socket = open_flow(w);
  const Data payload = random_data(2800, 6);
  socket.deliver(kPeer, payload, 1400);
  w.settle();
  REQUIRE(w.others.size() == 2);
  CHECK(w.others[0].pieces == 3);
  CHECK(w.others[1].pieces == 3);
  CHECK(w.datagrams()[0].payload == cut(payload, 1400)[0]);
  CHECK(w.datagrams()[1].payload == cut(payload, 1400)[1]);
}

TEST_CASE("a burst toward the guest is received in order, over as many turns as it takes") {
  World w;
  HostUdpSocket& socket = open_flow(w);
  for (std::uint32_t i = 0; i < 500; ++i) {
    socket.deliver(kPeer, random_data(1 + i, i));
  }
  w.settle();
  const auto received = w.datagrams();
  REQUIRE(received.size() == 500);
  for (std::uint32_t i = 0; i < 500; ++i) {
    CHECK(received[i].payload == random_data(1 + i, i));
  }
}

// --- errors ---

// An ICMP error that quotes a datagram of the guest.
void check_icmp(const Packet& packet, Ipv4Address from, std::uint8_t type, std::uint8_t code,
                const Endpoint& destination, sys::Bytes payload) {
  REQUIRE(packet.icmp.has_value());
  CHECK(packet.source == from);
  CHECK(packet.destination == kGuestAddress);
  CHECK(packet.destination_mac == kGuestMac);
  CHECK(packet.icmp->type == type);
  CHECK(packet.icmp->code == code);
  const Data quoted = packet.icmp->quoted();
  REQUIRE(quoted.size() == 28 + payload.size());
  CHECK(ones_sum(sys::Bytes(quoted).first(20)) == 0xffff);
  CHECK(sys::load_u8(&quoted[9]) == stack::kProtocolUdp);
  CHECK(sys::load_be32(&quoted[12]) == kGuestAddress.value);
  CHECK(sys::load_be32(&quoted[16]) == destination.address.v4().value);
  CHECK(sys::load_be16(&quoted[20]) == kGuest.port);
  CHECK(sys::load_be16(&quoted[22]) == destination.port);
  CHECK(std::equal(payload.begin(), payload.end(), quoted.begin() + 28));
}

std::uint16_t next_hop_mtu(const Packet& packet) { return sys::load_be16(&packet.icmp->rest[2]); }

TEST_CASE("ICMP errors reach the guest from who sent them, about the guest's own datagram") {
  struct Row {
    std::string what;
    Endpoint to;
    Endpoint host_destination;
    int error = 0;
    nat::IcmpReason reason;
    std::optional<Ipv4Address> offender;
    Ipv4Address from;
  };
  for (const Row& row : {
           Row{"closed port", kPeer, kPeer, ECONNREFUSED, {3, 3}, kPeer.address.v4(), kPeer.address.v4()},
           {"closed port of the host",
            kGateway,
            kLoopback,
            ECONNREFUSED,
            {3, 3},
            std::nullopt,
            kGatewayAddress},
           {"no way", kPeer, kPeer, EHOSTUNREACH, {3, 1}, kRouter, kRouter},
           {"prohibited", kPeer, kPeer, EHOSTUNREACH, {3, 13}, kRouter, kRouter},
           {"time exceeded", kPeer, kPeer, EHOSTUNREACH, {11, 0}, kRouter, kRouter},
           {"parameter problem", kPeer, kPeer, EPROTO, {12, 0}, kRouter, kRouter},
           {"the host's own opinion", kPeer, kPeer, EHOSTUNREACH, {3, 1}, std::nullopt, kGatewayAddress},
       }) {
    CAPTURE(row.what);
    World w;
    HostUdpSocket& socket = open_flow(w, row.to);
    nat::HostError error;
    error.error = row.error;
    error.reason = row.reason;
    error.offender = row.offender;
    socket.fail(error, row.host_destination, bytes_of("open"));
    w.settle();
    REQUIRE(w.others.size() == 1);
    check_icmp(w.others[0], row.from, row.reason.type, row.reason.code, row.to, bytes_of("open"));
    CHECK(w.gateway->udp().counters().errors_relayed == 1);
  }
}

TEST_CASE("a parameter problem says which octet it means") {
  World w;
  HostUdpSocket& socket = open_flow(w);
  nat::HostError error;
  error.error = EPROTO;
  error.reason = nat::IcmpReason{12, 0};
  error.offender = kRouter;
  error.pointer = 1;
  socket.fail(error, kPeer);
  w.settle();
  REQUIRE(w.others.size() == 1);
  REQUIRE(w.others[0].icmp.has_value());
  CHECK(sys::load_be32(w.others[0].icmp->rest.data()) == 0x01000000);
}

TEST_CASE("the guest's packet is quoted with the identification that it had") {
  World w;
  w.send_udp(kPeer, bytes_of("open"), {.ip = {.id = 0xbeef}});
  w.settle();
  w.host.udp.last().refuse(kPeer, kPeer.address.v4());
  w.settle();
  REQUIRE(w.others.size() == 1);
  CHECK(sys::load_be16(&w.others[0].icmp->quoted()[4]) == 0xbeef);
}

TEST_CASE("an ICMP error of one peer costs no datagram to another") {
  for (const unsigned errors : {1U, 2U, 5U}) {
    CAPTURE(errors);
    World w;
    HostUdpSocket& socket = open_flow(w);
    w.send_udp(kOther, bytes_of("must arrive"));
    for (unsigned i = 0; i < errors; ++i) {
      socket.refuse(kPeer, kPeer.address.v4(), bytes_of("open"));
    }
    turn_with_frames_first(w);
    CHECK(socket.datagrams() == std::vector<Data>{bytes_of("must arrive")});
    CHECK(socket.sent()[0].to == kOther);
    REQUIRE(w.others.size() == errors);
    for (const Packet& packet : w.others) {
      check_icmp(packet, kPeer.address.v4(), 3, 3, kPeer, bytes_of("open"));
    }
    CHECK(w.gateway->udp().counters().lost == 0);
  }
}

TEST_CASE("nor does it cost what another peer has sent") {
  World w;
  HostUdpSocket& socket = open_flow(w);
  socket.deliver(kOther, bytes_of("hello"));
  socket.refuse(kPeer, kPeer.address.v4());
  w.settle();
  const auto received = w.datagrams();
  REQUIRE(received.size() == 1);
  CHECK(received[0].source == kOther);
  CHECK(w.icmp().size() == 1);
}

TEST_CASE("nor the datagrams of a batch") {
  World w;
  HostUdpSocket& socket = open_flow(w);
  for (int i = 0; i < 3; ++i) {
    w.send_udp(kOther, Data(100));
  }
  socket.refuse(kPeer, kPeer.address.v4());
  turn_with_frames_first(w);
  REQUIRE(socket.sent().size() == 1);
  CHECK(socket.sent()[0].segment_size == 100);
  CHECK(socket.datagrams().size() == 3);
}

TEST_CASE("a send that fails for a reason of the host's is told to the guest") {
  struct Row {
    int error = 0;
    std::optional<std::uint8_t> code;  // of "unreachable"; nothing: there is nothing to tell
  };
  for (const Row& row : {Row{ENETUNREACH, 0},
                         {EHOSTUNREACH, 1},
                         {EPERM, 13},
                         {EACCES, 13},
                         {ENOBUFS, {}},
                         {EAGAIN, {}},
                         {EINVAL, {}}}) {
    CAPTURE(row.error);
    World w;
    HostUdpSocket& socket = open_flow(w);
    socket.break_sends(row.error, 2);
    w.send_udp(kPeer, bytes_of("lost"));
    w.settle();
    CHECK(socket.sent().empty());
    CHECK(w.gateway->udp().counters().lost == 1);
    REQUIRE(w.others.size() == (row.code ? 1 : 0));
    if (row.code) {
      check_icmp(w.others[0], kGatewayAddress, 3, *row.code, kPeer, {});
    }
    socket.break_sends(0, 0);
    w.send_udp(kPeer, bytes_of("next"));
    w.settle();
    CHECK(socket.datagrams() == std::vector<Data>{bytes_of("next")});
  }
}

TEST_CASE("a datagram with DF that the way does not take is answered with its MTU") {
  for (const Endpoint& to : {kPeer, kGateway}) {
    World w;
    HostUdpSocket& socket = open_flow(w, to);
    socket.limit_mtu(1400);
    const IpFields df{.dont_fragment = true};
    w.send_udp(to, Data(1372), {.ip = df});
    w.settle();
    CHECK(socket.sent().size() == 1);
    CHECK(w.others.empty());
    w.send_udp(to, Data(1373), {.ip = df});
    w.settle();
    CHECK(socket.sent().size() == 1);
    REQUIRE(w.others.size() == 1);
    check_icmp(w.others[0], kGatewayAddress, 3, 4, to, {});
    CHECK(next_hop_mtu(w.others[0]) == 1400);
    w.send_udp(to, Data(1373));  // without DF the host cuts it
    w.settle();
    CHECK(socket.sent().size() == 2);
    CHECK(w.others.size() == 1);
  }
}

TEST_CASE("so is each of several that would have gone together") {
  World w;
  HostUdpSocket& socket = open_flow(w);
  socket.limit_segments(1372);
  socket.limit_mtu(1400);
  for (int i = 0; i < 3; ++i) {
    w.send_udp(kPeer, Data(1450), {.ip = {.dont_fragment = true}});
  }
  w.settle();
  CHECK(socket.sent().empty());
  REQUIRE(w.others.size() == 3);
  for (const Packet& packet : w.others) {
    check_icmp(packet, kGatewayAddress, 3, 4, kPeer, {});
    CHECK(next_hop_mtu(packet) == 1400);
  }
  CHECK(w.gateway->udp().counters().lost == 3);
}

TEST_CASE("the MTU of a router on the way is relayed") {
  World w;
  HostUdpSocket& socket = open_flow(w);
  nat::HostError error;
  error.error = EMSGSIZE;
  error.reason = nat::IcmpReason{3, 4};
  error.mtu = 1280;
  error.offender = kRouter;
  socket.fail(error, kPeer, bytes_of("open"));
  w.settle();
  REQUIRE(w.others.size() == 1);
  check_icmp(w.others[0], kRouter, 3, 4, kPeer, bytes_of("open"));
  CHECK(next_hop_mtu(w.others[0]) == 1280);
}

TEST_CASE("a TTL of 1 ends at the gateway, unless it is meant itself") {
  for (const std::uint8_t ttl : {std::uint8_t{0}, std::uint8_t{1}}) {
    CAPTURE(ttl);
    World w;
    w.send_udp(kPeer, bytes_of("probe"), {.ip = {.ttl = ttl}});
    w.settle();
    CHECK(w.host.udp.opened() == 0);
    REQUIRE(w.others.size() == 1);
    check_icmp(w.others[0], kGatewayAddress, 11, 0, kPeer, bytes_of("probe"));
    w.send_udp(kGateway, bytes_of("arrived"), {.ip = {.ttl = ttl}});
    w.settle();
    REQUIRE(w.host.udp.opened() == 1);
    CHECK(w.host.udp.last().datagrams() == std::vector<Data>{bytes_of("arrived")});
    CHECK(w.others.size() == 1);
  }
}

TEST_CASE("the error queue is looked at only when there is an error") {
  World w;
  HostUdpSocket& socket = open_flow(w);
  for (int i = 0; i < 100; ++i) {
    w.send_udp(kPeer, bytes_of("question"));
    socket.deliver(kPeer, bytes_of("answer"));
    w.settle();
  }
  CHECK(w.datagrams().size() == 100);
  CHECK(socket.error_reads() == 0);
  socket.refuse(kPeer, kPeer.address.v4());
  w.settle();
  CHECK(socket.error_reads() == 2);  // the error, and that there is no other
}

// --- lifetime and limits ---

TEST_CASE("the buffers of a burst are given back within seconds, without any TCP") {
  World w;
  open_flow(w);
  for (int i = 0; i < 32; ++i) {
    w.send_udp(kPeer, random_data(1400, 1));
  }
  w.settle();
  const stack::FrameBufferPool& buffers = w.gateway->guest_tcp().buffers();
  CHECK(buffers.unused() > stack::FrameBufferPool::kIdle);
  w.advance(3s);
  CHECK(buffers.in_use() == 0);
  CHECK(buffers.unused() == stack::FrameBufferPool::kIdle);
  CHECK(w.timers.armed_count() == 1);  // the flow's own
}

TEST_CASE("how long an idle flow lives") {
  struct Row {
    std::string what;
    std::uint16_t port = 7;
    bool answered = false;
    sys::Duration lives;
  };
  for (const Row& row : {
           Row{"without an answer", 7, false, 30s},
           {"answered", 7, true, 240s},
           {"a DNS question without an answer", 53, false, 30s},
           {"a DNS question and its answer", 53, true, 10s},
       }) {
    CAPTURE(row.what);
    World w;
    const Endpoint to{kPeer.address, row.port};
    HostUdpSocket& socket = open_flow(w, to);
    w.advance(1s);
    if (row.answered) {
      socket.deliver(to, bytes_of("answer"));
    } else {
      w.send_udp(to, bytes_of("again"));
    }
    w.advance(row.lives - 1ms);
    CHECK_FALSE(socket.closed());
    w.advance(2ms);
    CHECK(socket.closed());
    CHECK(w.gateway->udp().flows() == 0);
  }
}

TEST_CASE("every datagram, either way, lets a flow live on") {
  World w;
  HostUdpSocket& socket = open_flow(w);
  socket.deliver(kPeer, bytes_of("answer"));
  for (int i = 0; i < 10; ++i) {
    w.advance(200s);
    CHECK_FALSE(socket.closed());
    if (i % 2 == 0) {
      w.send_udp(kPeer, bytes_of("more"));
    } else {
      socket.deliver(kOther, bytes_of("more"));
    }
    w.settle();
  }
  w.advance(241s);
  CHECK(socket.closed());
  open_flow(w);  // the same endpoint again
}

TEST_CASE("when the table is full the unanswered flow used longest ago makes room") {
  WorldOptions options;
  options.limits.udp_flows = 3;
  World w(options);
  const auto sender = [](std::uint16_t port) { return UdpSender{.local = {kGuestAddress, port}}; };
  HostUdpSocket& first = open_flow(w, kPeer, sender(1));
  HostUdpSocket& second = open_flow(w, kPeer, sender(2));
  HostUdpSocket& third = open_flow(w, kPeer, sender(3));
  first.deliver(kPeer, bytes_of("answer"));
  w.send_udp(kPeer, bytes_of("again"), sender(2));
  w.settle();
  HostUdpSocket& fourth = open_flow(w, kPeer, sender(4));
  CHECK_FALSE(first.closed());
  CHECK_FALSE(second.closed());
  CHECK(third.closed());
  CHECK(w.gateway->udp().counters().evicted == 1);

  second.deliver(kPeer, bytes_of("answer"));
  fourth.deliver(kPeer, bytes_of("answer"));
  w.settle();
  w.others.clear();
  w.send_udp(kPeer, bytes_of("no room"), sender(5));
  w.settle();
  CHECK(w.host.udp.opened() == 4);
  CHECK(w.gateway->udp().counters().refused_full == 1);
  REQUIRE(w.icmp().size() == 1);
  CHECK(w.icmp()[0].icmp->type == 3);
  CHECK(w.icmp()[0].icmp->code == 13);
  CHECK(w.gateway->udp().flows() == 3);
  for (std::size_t i : {0UL, 1UL, 3UL}) {
    w.host.udp.socket(i).deliver(kPeer, bytes_of("still here"));
  }
  w.settle();
  CHECK(w.datagrams().size() == 3);
}

TEST_CASE("a flow that makes room sends first what it has gathered") {
  WorldOptions options;
  options.limits.udp_flows = 1;
  World w(options);
  w.send_udp(kPeer, bytes_of("one"), {.local = {kGuestAddress, 1}});
  w.send_udp(kPeer, bytes_of("two"), {.local = {kGuestAddress, 2}});
  w.settle();
  REQUIRE(w.host.udp.opened() == 2);
  CHECK(w.host.udp.socket(0).closed());
  CHECK(w.host.udp.socket(0).datagrams() == std::vector<Data>{bytes_of("one")});
  CHECK(w.host.udp.socket(1).datagrams() == std::vector<Data>{bytes_of("two")});
}

TEST_CASE("a flood of flows that nobody answers has a part of the time, and then waits") {
  constexpr std::size_t kFlood = 10'000;
  WorldOptions options;
  options.limits.udp_flows = 4;
  World w(options);
  w.host.udp.on_open = [&w] { w.clock.advance(20us); };
  for (std::size_t i = 0; i < kFlood; ++i) {
    w.send_udp(kPeer, bytes_of("x"), {.local = {kGuestAddress, static_cast<std::uint16_t>(20'000 + i)}});
    w.settle();
  }
  const nat::UdpNat::Counters& counters = w.gateway->udp().counters();
  CHECK(counters.opened > nat::OpeningLimit::kWastedBurst / 40us);
  CHECK(counters.opened + counters.dropped == kFlood);
  CHECK(counters.dropped > kFlood / 2);
  CHECK(counters.evicted == counters.opened - 4);
  CHECK(w.icmp().empty());

  // Who has a flow goes on meanwhile.
  const auto newest = static_cast<std::uint16_t>(20'000 + counters.opened - 1);
  w.send_udp(kPeer, bytes_of("goes on"), {.local = {kGuestAddress, newest}});
  w.settle();
  CHECK(w.host.udp.last().datagrams() == std::vector<Data>{bytes_of("x"), bytes_of("goes on")});

  w.advance(1s);
  open_flow(w);
}

TEST_CASE("flows that are answered may be as many as there is room for, at any rate") {
  World w;
  w.host.udp.on_open = [&w] { w.clock.advance(20us); };
  for (std::size_t i = 0; i < nat::Limits{}.udp_flows; ++i) {
    open_flow(w, kPeer, {.local = {kGuestAddress, static_cast<std::uint16_t>(20'000 + i)}})
        .deliver(kPeer, bytes_of("answer"));
    w.settle();
  }
  CHECK(w.gateway->udp().counters().dropped == 0);
}

TEST_CASE("when descriptors run out new flows are refused and old ones go on") {
  World w;
  HostUdpSocket& socket = open_flow(w);
  const UdpSender second{.local = {kGuestAddress, 6000}};
  w.host.udp.open_error = EMFILE;
  w.send_udp(kPeer, bytes_of("refused"), second);
  w.send_udp(kPeer, bytes_of("goes on"));
  w.settle();
  CHECK(socket.datagrams() == std::vector<Data>{bytes_of("goes on")});
  socket.deliver(kPeer, bytes_of("answer"));
  w.settle();
  CHECK(w.datagrams().size() == 1);
  CHECK(w.gateway->udp().flows() == 1);
  CHECK(w.buffers() == 0);
  w.host.udp.open_error = 0;
  open_flow(w, kPeer, second);
}

}  // namespace
}  // namespace l4n::integration
