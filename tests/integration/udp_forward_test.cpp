// UDP port forwards: clients outside reach the guest, and each gets its answers from where it asked.
#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;
using sys::make_ipv4;

const sys::Endpoint kHostPort{make_ipv4(0, 0, 0, 0), 5353};
const sys::Endpoint kGuestPort{kGuestAddress, 53};
const sys::Endpoint kClient{make_ipv4(203, 0, 113, 7), 50000};
const sys::Endpoint kLocalClient{make_ipv4(127, 0, 0, 1), 50001};
const sys::Ipv4Address kHostAddress = make_ipv4(198, 51, 100, 1);
const nat::ForwardRule kRule{nat::ForwardProtocol::udp, kHostPort, kGuestPort};

struct UdpForwardWorld : World {
  explicit UdpForwardWorld(const WorldOptions& options = {}) : World(options) {}

  HostUdpSocket& add(const nat::ForwardRule& rule = kRule) {
    const auto added = gateway->forwards().add(rule);
    REQUIRE(added);
    id = added->id;
    settle();
    HostUdpSocket& socket = host.udp.last();
    socket.set_local(kHostAddress);
    return socket;
  }
  HostUdpSocket& add_resolved() {
    HostUdpSocket& socket = add();
    answer_arp();
    return socket;
  }
  void answer_arp() {
    port.inject(ethernet_frame(stack::kEtherTypeArp, arp_packet(2, kGuestAddress, kGatewayAddress)));
    settle();
  }
  void guest_sends(const sys::Endpoint& to, sys::Bytes payload, const IpFields& fields = {}) {
    inject_ip(udp_packet(kGuestAddress, to.address.v4(),
                         {kGuestPort.port, to.port, {payload.begin(), payload.end()}}, fields));
    settle();
  }
  // The datagrams that the guest has received, and from where.
  std::vector<std::pair<sys::Endpoint, Data>> received() const {
    std::vector<std::pair<sys::Endpoint, Data>> all;
    for (const Packet& packet : others) {
      if (packet.udp) {
        all.emplace_back(sys::Endpoint{packet.source, packet.udp->source_port}, packet.udp->payload);
      }
    }
    return all;
  }

  std::uint32_t id = 0;
};

TEST_CASE_FIXTURE(UdpForwardWorld,
                  "a client's datagram reaches the guest, the answer leaves from where it came") {
  HostUdpSocket& socket = add_resolved();
  socket.deliver(kClient, bytes_of("question"));
  settle();
  REQUIRE(received().size() == 1);
  CHECK(received()[0].first == kClient);
  CHECK(received()[0].second == bytes_of("question"));
  guest_sends(kClient, bytes_of("answer"));
  REQUIRE(socket.sent().size() == 1);
  CHECK(socket.sent()[0].to == kClient);
  CHECK(socket.sent()[0].payload == bytes_of("answer"));
  CHECK(socket.sent()[0].fields.source == kHostAddress);
  CHECK(host.udp.opened() == 1);  // no other socket took part
}

TEST_CASE_FIXTURE(UdpForwardWorld, "to others the guest's endpoint speaks through a socket of its own") {
  HostUdpSocket& socket = add_resolved();
  socket.deliver(kClient, bytes_of("question"));
  settle();
  guest_sends({kClient.address, 50009}, bytes_of("unasked"));
  CHECK(socket.sent().empty());
  CHECK(host.udp.opened() == 2);
}

TEST_CASE("a client on the host's loopback appears as the gateway, also when the guest may not go there") {
  for (const bool host_loopback : {true, false}) {
    CAPTURE(host_loopback);
    WorldOptions options;
    options.policy.host_loopback = host_loopback;
    UdpForwardWorld w(options);
    HostUdpSocket& socket = w.add_resolved();
    socket.deliver(kLocalClient, bytes_of("question"));
    w.settle();
    REQUIRE(w.received().size() == 1);
    CHECK(w.received()[0].first == sys::Endpoint{kGatewayAddress, kLocalClient.port});
    w.guest_sends({kGatewayAddress, kLocalClient.port}, bytes_of("answer"));
    REQUIRE(socket.sent().size() == 1);
    CHECK(socket.sent()[0].to == kLocalClient);
  }
}

TEST_CASE_FIXTURE(UdpForwardWorld,
                  "two clients that look alike to the guest get two ports, and their own answers") {
  HostUdpSocket& socket = add_resolved();
  const sys::Endpoint other{make_ipv4(127, 0, 0, 2), kLocalClient.port};
  socket.deliver(kLocalClient, bytes_of("one"));
  socket.deliver(other, bytes_of("two"));
  settle();
  REQUIRE(received().size() == 2);
  CHECK(received()[0].first != received()[1].first);
  guest_sends(received()[1].first, bytes_of("to two"));
  guest_sends(received()[0].first, bytes_of("to one"));
  REQUIRE(socket.sent().size() == 2);
  CHECK(socket.sent()[0].to == other);
  CHECK(socket.sent()[1].to == kLocalClient);
}

TEST_CASE_FIXTURE(UdpForwardWorld, "clients with one link-local address on two links are two") {
  HostUdpSocket& socket = add({nat::ForwardProtocol::udp, {sys::Ipv6Address{}, 5353}, kGuestPort});
  answer_arp();
  const sys::Endpoint client{*sys::parse_ipv6("fe80::1"), 50000};
  for (const std::uint32_t scope_id : {2U, 3U, 2U}) {
    socket.set_scope_id(scope_id);
    socket.deliver(client, bytes_of("question"));
    settle();
  }
  REQUIRE(received().size() == 3);
  CHECK(received()[0].first == sys::Endpoint{kGatewayAddress, client.port});
  CHECK(received()[1].first != received()[0].first);
  CHECK(received()[2].first == received()[0].first);
  for (const std::size_t i : {1U, 0U}) {
    guest_sends(received()[i].first, bytes_of("answer"));
    REQUIRE(socket.sent().size() == 2 - i);
    CHECK(socket.sent().back().to == client);
    CHECK(socket.sent().back().fields.scope_id == i + 2);
  }
}

TEST_CASE_FIXTURE(UdpForwardWorld, "what comes before the guest's address is known waits for it") {
  HostUdpSocket& socket = add();
  for (int i = 0; i < 20; ++i) {
    socket.deliver(kClient, bytes_of("question"));
  }
  settle();
  CHECK(received().empty());
  answer_arp();
  CHECK(received().size() == nat::UdpForwards::kMostWaiting);
  CHECK(gateway->udp_forwards().counters().lost == 20 - nat::UdpForwards::kMostWaiting);
}

TEST_CASE_FIXTURE(UdpForwardWorld, "what waits for the guest's address at all ports together is limited") {
  nat::ForwardRule rule = kRule;
  for (int round = 0; round < 2; ++round) {
    const std::uint64_t lost = gateway->udp_forwards().counters().lost;
    for (std::uint16_t i = 0; i < 2; ++i) {
      rule.host.port = static_cast<std::uint16_t>(kHostPort.port + i);
      rule.guest.address = make_ipv4(10, 0, 2, static_cast<std::uint8_t>(50 + round));  // nobody
      HostUdpSocket& socket = add(rule);
      for (std::size_t n = 0; n < nat::UdpForwards::kMostWaiting; ++n) {
        socket.deliver(kClient, random_data(60'000, 1));
      }
      settle();
    }
    constexpr std::size_t kFit = nat::UdpForwards::kMostWaitingBytes / 60'000;
    CHECK(gateway->udp_forwards().counters().lost - lost == 2 * nat::UdpForwards::kMostWaiting - kFit);
    gateway->forwards().remove(id);
    gateway->forwards().remove(id - 1);
    settle();
  }
}

TEST_CASE_FIXTURE(UdpForwardWorld, "without a guest what waits is given up") {
  HostUdpSocket& socket = add();
  socket.deliver(kClient, bytes_of("question"));
  advance(10s);
  CHECK(received().empty());
  CHECK(gateway->udp_forwards().counters().lost == 1);
}

TEST_CASE_FIXTURE(UdpForwardWorld, "batches both ways, sizes up to the largest datagram") {
  HostUdpSocket& socket = add_resolved();
  const Data batch = random_data(5 * 1000 + 300, 1);
  socket.deliver(kClient, batch, 1000);
  settle();
  Data joined;
  for (const auto& [source, payload] : received()) {
    append(joined, payload);
  }
  CHECK(received().size() == 6);
  CHECK(joined == batch);
  others.clear();
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{1472}, std::size_t{65507}}) {
    CAPTURE(size);
    others.clear();
    socket.forget_sent();
    const Data data = random_data(size, 2);
    socket.deliver(kClient, data);
    settle();
    guest_sends(kClient, random_data(std::min<std::size_t>(size, 1472), 3));
    REQUIRE(socket.sent().size() == 1);
    CHECK(socket.sent()[0].payload == random_data(std::min<std::size_t>(size, 1472), 3));
  }
}

TEST_CASE_FIXTURE(UdpForwardWorld, "a client that refuses costs no other client its answer") {
  HostUdpSocket& socket = add_resolved();
  const sys::Endpoint other{make_ipv4(203, 0, 113, 8), 50000};
  socket.deliver(kClient, bytes_of("a"));
  socket.deliver(other, bytes_of("b"));
  settle();
  guest_sends(kClient, bytes_of("to a"));
  socket.refuse(kClient, kClient.address.v4(), bytes_of("to a"));
  guest_sends(other, bytes_of("to b"));
  REQUIRE(socket.sent().size() == 2);
  CHECK(socket.sent()[1].to == other);
}

TEST_CASE_FIXTURE(UdpForwardWorld, "a session ends when it was idle, a used one stays") {
  HostUdpSocket& socket = add_resolved();
  const sys::Endpoint other{make_ipv4(203, 0, 113, 8), 50000};
  socket.deliver(kClient, bytes_of("a"));
  socket.deliver(other, bytes_of("b"));
  settle();
  advance(200s);
  guest_sends(other, bytes_of("still here"));
  advance(41s);
  CHECK(gateway->udp_forwards().sessions() == 1);
  advance(200s);
  CHECK(gateway->udp_forwards().sessions() == 0);
}

TEST_CASE_FIXTURE(UdpForwardWorld, "sessions are bounded: the one used longest ago makes room") {
  HostUdpSocket& socket = add_resolved();
  for (unsigned i = 0; i <= nat::UdpForwards::kMostSessions; ++i) {
    socket.deliver({make_ipv4(198, 18, i >> 8U, i & 0xffU), 50000}, bytes_of("x"));
  }
  settle();
  CHECK(gateway->udp_forwards().sessions() == nat::UdpForwards::kMostSessions);
  CHECK(gateway->udp_forwards().counters().evicted == 1);
}

TEST_CASE_FIXTURE(UdpForwardWorld, "removal closes the port and ends its sessions") {
  HostUdpSocket& socket = add_resolved();
  socket.deliver(kClient, bytes_of("a"));
  settle();
  CHECK(gateway->forwards().remove(id));
  CHECK(socket.closed());
  CHECK(gateway->udp_forwards().sessions() == 0);
}

TEST_CASE_FIXTURE(UdpForwardWorld, "a port that is taken is refused") {
  host.refuse_port(kHostPort.port, EADDRINUSE);
  const auto added = gateway->forwards().add(kRule);
  REQUIRE_FALSE(added);
  CHECK(added.error().code == EADDRINUSE);
}

TEST_CASE_FIXTURE(UdpForwardWorld, "an answer with TTL 1 ends at the gateway") {
  HostUdpSocket& socket = add_resolved();
  socket.deliver(kClient, bytes_of("a"));
  settle();
  others.clear();
  IpFields fields;
  fields.ttl = 1;
  guest_sends(kClient, bytes_of("answer"), fields);
  CHECK(socket.sent().empty());
  REQUIRE(icmp().size() == 1);
  CHECK(icmp()[0].icmp->type == 11);
}

}  // namespace
}  // namespace l4n::integration
