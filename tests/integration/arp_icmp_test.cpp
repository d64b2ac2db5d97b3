// What the gateway answers itself, and what it refuses: ARP, ping, and the destination policy at work.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;
using sys::Ipv4Address;
using sys::make_ipv4;

Ipv4Address guest_network(std::uint8_t n) { return make_ipv4(10, 0, 2, n); }

void ask_arp(World& w, Ipv4Address target, Ipv4Address sender = kGuestAddress) {
  constexpr stack::MacAddress kBroadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  w.port.inject(ethernet_frame(stack::kEtherTypeArp, arp_packet(1, sender, target), kGuestMac, kBroadcast));
  w.settle();
}

IcmpMessage echo(std::size_t size, std::uint32_t seed = 1) {
  return echo_request(0x1234, 7, random_data(size, seed));
}

void ping(World& w, Ipv4Address to, const IcmpMessage& message) {
  w.inject_ip(icmp_packet(kGuestAddress, to, message));
  w.settle();
}

TEST_CASE("ARP answers for the gateway and the DNS server, and for nobody else") {
  World w;
  for (unsigned n = 0; n < 256; ++n) {
    ask_arp(w, guest_network(static_cast<std::uint8_t>(n)));
  }
  ask_arp(w, make_ipv4(192, 0, 2, 1));
  ask_arp(w, make_ipv4(10, 0, 3, 2));
  REQUIRE(w.others.size() == 2);
  for (std::uint8_t i = 0; i < 2; ++i) {
    const Packet& packet = w.others[i];
    CHECK(packet.destination_mac == kGuestMac);
    REQUIRE(packet.arp.size() == 28);
    CHECK(sys::load_be16(&packet.arp[6]) == 2);
    CHECK(sys::load_be32(&packet.arp[14]) == guest_network(static_cast<std::uint8_t>(2 + i)).value);
    CHECK(std::equal(stack::kGatewayMac.begin(), stack::kGatewayMac.end(),
                     reinterpret_cast<const std::uint8_t*>(&packet.arp[8])));
    CHECK(sys::load_be32(&packet.arp[24]) == kGuestAddress.value);
  }
}

TEST_CASE("ARP without the DNS service: x.3 is nobody") {
  WorldOptions options;
  options.policy.dns = false;
  World w(options);
  ask_arp(w, kDnsAddress);
  CHECK(w.others.empty());
  ask_arp(w, kGatewayAddress);
  CHECK(w.others.size() == 1);
}

TEST_CASE("an address probe for ours learns of the conflict (RFC 5227)") {
  World w;
  ask_arp(w, kGatewayAddress, make_ipv4(0, 0, 0, 0));
  CHECK(w.others.size() == 1);
}

TEST_CASE("ARP replies and malformed ARP are not answered") {
  World w;
  w.port.inject(ethernet_frame(stack::kEtherTypeArp, arp_packet(2, kGuestAddress, kGatewayAddress)));
  const Data good = arp_packet(1, kGuestAddress, kGatewayAddress);
  for (std::size_t n = 0; n < good.size(); ++n) {
    w.port.inject(ethernet_frame(stack::kEtherTypeArp, sys::Bytes(good).first(n)));
  }
  for (const std::size_t at : {0UL, 2UL, 4UL, 5UL}) {
    Data bad = good;
    bad[at] ^= std::byte{0x11};
    w.port.inject(ethernet_frame(stack::kEtherTypeArp, bad));
  }
  w.settle();
  CHECK(w.others.empty());
}

TEST_CASE("the gateway and the DNS server answer ping, also when the host's loopback is closed") {
  for (const bool loopback : {true, false}) {
    WorldOptions options;
    options.policy.host_loopback = loopback;
    World w(options);
    for (const Ipv4Address to : {kGatewayAddress, kDnsAddress}) {
      for (const std::size_t size : {0UL, 1UL, 56UL, 1472UL - 4}) {
        CAPTURE(size);
        w.others.clear();
        const IcmpMessage request = echo(size);
        ping(w, to, request);
        REQUIRE(w.others.size() == 1);
        const Packet& reply = w.others[0];
        REQUIRE(reply.icmp.has_value());
        CHECK(reply.source == to);
        CHECK(reply.destination == kGuestAddress);
        CHECK(reply.icmp->type == 0);
        CHECK(reply.icmp->code == 0);
        CHECK(reply.icmp->rest == request.rest);
      }
    }
  }
}

TEST_CASE("a ping as large as the MTU allows") {
  WorldOptions options;
  options.mtu = 65520;
  World w(options);
  const IcmpMessage request = echo(65'520 - 28);
  ping(w, kGatewayAddress, request);
  REQUIRE(w.others.size() == 1);
  CHECK(w.others[0].icmp->rest == request.rest);
}

TEST_CASE("malformed ICMP and other types are not answered") {
  World w;
  Data wrong_sum = icmp_packet(kGuestAddress, kGatewayAddress, echo(10));
  wrong_sum.back() ^= std::byte{1};
  w.inject_ip(wrong_sum);
  IcmpMessage reply = echo(10);
  reply.type = 0;
  ping(w, kGatewayAddress, reply);
  IcmpMessage error = echo(40);
  error.type = 3;
  ping(w, kGatewayAddress, error);
  w.inject_ip(ipv4_packet(kGuestAddress, kGatewayAddress, stack::kProtocolIcmp, Data(4)));
  w.settle();
  CHECK(w.others.empty());
}

// --- the destination policy ---

struct Denied {
  sys::Endpoint to;
  bool told = false;  // with ICMP 3/0; else silently
};

void check_denied(const nat::PolicyConfig& policy, const Denied& denied) {
  CAPTURE(sys::to_string(denied.to));
  WorldOptions options;
  options.policy = policy;
  World w(options);
  w.gateway->set_resolvers({{{make_ipv4(198, 51, 100, 1), 53}}});
  PeerOptions peer;
  peer.remote = denied.to;
  peer.checksum_offload = false;
  GuestPeer& guest = w.peer(peer);
  guest.connect();
  w.settle();
  guest.vanish();
  w.inject_ip(udp_packet(kGuestAddress, denied.to.address.v4(), {6000, denied.to.port, bytes_of("data")}));
  w.settle();
  CHECK(w.host.connects() == 0);
  CHECK(w.host.datagram_sockets() == 0);
  CHECK(guest.seen().empty());
  REQUIRE(w.others.size() == (denied.told ? 2 : 0));
  for (const Packet& packet : w.others) {
    REQUIRE(packet.icmp.has_value());
    CHECK(packet.source == kGatewayAddress);
    CHECK(packet.icmp->type == 3);
    CHECK(packet.icmp->code == 0);
    const Data quoted = packet.icmp->quoted();
    REQUIRE(quoted.size() >= 28);
    CHECK(sys::load_be32(&quoted[16]) == denied.to.address.v4().value);
    CHECK(sys::load_be16(&quoted[22]) == denied.to.port);
  }
  CHECK(w.flows() == 0);
}

TEST_CASE("nothing ever reaches the host for a denied destination") {
  const nat::PolicyConfig open;
  for (const Denied& denied : {
           Denied{{kDnsAddress, 80}, true},
           {{guest_network(0), 80}, true},
           {{guest_network(1), 80}, true},
           {{guest_network(4), 80}, true},
           {{kGuestAddress, 80}, true},
           {{guest_network(254), 80}, true},
           {{guest_network(255), 80}, false},
           {{make_ipv4(127, 0, 0, 1), 80}, false},
           {{make_ipv4(127, 255, 255, 254), 80}, false},
           {{make_ipv4(0, 0, 0, 0), 80}, false},
           {{make_ipv4(0, 1, 2, 3), 80}, false},
           {{make_ipv4(169, 254, 169, 254), 80}, false},
           {{make_ipv4(224, 0, 0, 1), 80}, false},
           {{make_ipv4(239, 255, 255, 250), 1900}, false},
           {{make_ipv4(240, 0, 0, 1), 80}, false},
           {{make_ipv4(255, 255, 255, 255), 80}, false},
           {{make_ipv4(192, 0, 2, 1), 0}, false},
       }) {
    check_denied(open, denied);
  }
  nat::PolicyConfig closed;
  closed.host_loopback = false;
  check_denied(closed, {{kGatewayAddress, 80}, true});
  check_denied(closed, {{kGatewayAddress, 53}, true});
}

TEST_CASE("a source that the guest may not have reaches nobody") {
  for (const Ipv4Address from :
       {kGatewayAddress, kDnsAddress, guest_network(255), make_ipv4(127, 0, 0, 1), make_ipv4(0, 0, 0, 0),
        make_ipv4(224, 0, 0, 1), make_ipv4(255, 255, 255, 255), make_ipv4(241, 1, 1, 1)}) {
    CAPTURE(sys::to_string(from));
    World w;
    w.gateway->set_resolvers({{{make_ipv4(198, 51, 100, 1), 53}}});
    TcpSegment syn;
    syn.source_port = 1000;
    syn.destination_port = 80;
    syn.flags = Flags::kSyn;
    w.inject_ip(tcp_packet(from, kServer.address.v4(), syn, false));
    w.inject_ip(udp_packet(from, kDnsAddress, {1000, 53, Data(12)}));
    w.inject_ip(icmp_packet(from, kGatewayAddress, echo(10)));
    w.settle();
    CHECK(w.host.connects() == 0);
    CHECK(w.host.datagram_sockets() == 0);
    CHECK(w.port.sent_frames() == 0);
  }
}

TEST_CASE("a broadcast frame with a packet for one host is answered by nothing and opens nothing") {
  constexpr stack::MacAddress kMulticastMac{0x01, 0, 0x5e, 0, 0, 1};
  const Ipv4Address server = kServer.address.v4();
  TcpSegment syn;
  syn.source_port = 1000;
  syn.destination_port = 80;
  syn.flags = Flags::kSyn;
  TcpSegment stray = syn;
  stray.flags = Flags::kAck;
  const UdpDatagram datagram{1000, 9, bytes_of("data")};
  struct Row {
    std::string what;
    Data packet;
  };
  const std::vector<Row> rows{
      {"SYN", tcp_packet(kGuestAddress, server, syn, false)},
      {"SYN for where nothing goes", tcp_packet(kGuestAddress, guest_network(77), syn, false)},
      {"segment without a connection", tcp_packet(kGuestAddress, server, stray, false)},
      {"datagram", udp_packet(kGuestAddress, server, datagram)},
      {"datagram for where nothing goes", udp_packet(kGuestAddress, guest_network(77), datagram)},
      {"datagram whose TTL ends", udp_packet(kGuestAddress, server, datagram, {.ttl = 1})},
      {"question for the DNS server", udp_packet(kGuestAddress, kDnsAddress, {1000, 53, Data(12)})},
      {"ping", icmp_packet(kGuestAddress, server, echo(10))},
      {"ping of the gateway", icmp_packet(kGuestAddress, kGatewayAddress, echo(10))},
      {"first fragment", fragment_of(udp_packet(kGuestAddress, server, {1000, 9, Data(100)}), 0, 64, true)},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    for (const stack::MacAddress& to : {stack::kBroadcastMac, kMulticastMac, stack::kGatewayMac}) {
      World w;
      w.gateway->set_resolvers({{{make_ipv4(198, 51, 100, 1), 53}}});
      w.port.inject(ethernet_frame(stack::kEtherTypeIpv4, row.packet, kGuestMac, to));
      w.settle();
      w.advance(40s);
      // Sent to the gateway alone each of them has consequences.
      const bool quiet = w.port.sent_frames() == 0 && w.host.connects() == 0 && w.host.udp.opened() == 0 &&
                         w.host.ping.opened() == 0 && w.host.datagram_sockets() == 0;
      CHECK(quiet == (to != stack::kGatewayMac));
    }
  }
}

TEST_CASE("no segment to a group of hosts is answered, whatever its flags") {
  for (const Ipv4Address to : {make_ipv4(224, 0, 0, 1), make_ipv4(255, 255, 255, 255), guest_network(255)}) {
    for (const std::uint8_t flags : {Flags::kSyn, Flags::kAck, Flags::kFin, std::uint8_t{0}}) {
      for (const stack::MacAddress& mac : {stack::kGatewayMac, stack::kBroadcastMac}) {
        CAPTURE(sys::to_string(to));
        CAPTURE(flags);
        World w;
        TcpSegment segment;
        segment.source_port = 1000;
        segment.destination_port = 80;
        segment.flags = flags;
        w.port.inject(ethernet_frame(stack::kEtherTypeIpv4, tcp_packet(kGuestAddress, to, segment, false),
                                     kGuestMac, mac));
        w.settle();
        CHECK(w.port.sent_frames() == 0);
        CHECK(w.host.connects() == 0);
      }
    }
  }
}

TEST_CASE("answers go to the MAC address that the source used last") {
  World w;
  GuestPeer& guest = w.connect();
  static_cast<void>(guest);
  constexpr stack::MacAddress kMoved{0x52, 0x54, 0, 0, 0, 0x77};
  std::vector<stack::MacAddress> seen;
  w.port.set_fates_to_guest([&seen](const Packet& packet) {
    seen.push_back(packet.destination_mac);
    return Fate::pass;
  });
  w.host.last().write(bytes_of("one"));
  w.settle();
  const TcpSegment ack = guest.make(Flags::kAck);
  w.port.inject(ethernet_frame(stack::kEtherTypeIpv4,
                               tcp_packet(kGuestAddress, kServer.address.v4(), ack, false), kMoved));
  w.host.last().write(bytes_of("two"));
  w.settle();
  REQUIRE(seen.size() == 2);
  CHECK(seen[0] == kGuestMac);
  CHECK(seen[1] == kMoved);
}

TEST_CASE("frames of any size and content do no harm") {
  World w;
  std::mt19937 random(9);
  for (int i = 0; i < 3000; ++i) {
    Data frame = random_data(random() % 200, static_cast<std::uint32_t>(random()));
    if (frame.size() > 34 && i % 4 != 0) {  // something that looks like IP for the gateway
      const Data base = ethernet_frame(
          stack::kEtherTypeIpv4,
          ipv4_packet(kGuestAddress, kGatewayAddress, i % 2 == 0 ? stack::kProtocolTcp : stack::kProtocolUdp,
                      sys::Bytes(frame).subspan(34)));
      frame = base;
    }
    stack::VnetHeader vnet;
    vnet.flags = static_cast<std::uint8_t>(random() % 4);
    vnet.gso_type = static_cast<std::uint8_t>(random() % 6);
    vnet.checksum_start = static_cast<std::uint16_t>(random());
    w.port.inject(frame, vnet);
  }
  w.settle();
  CHECK_FALSE(w.gateway->counters().frames == 0);
}

TEST_CASE("frames shorter than the virtio header are dropped") {
  World w;
  for (std::size_t n = 0; n < stack::VnetHeader::kSize; ++n) {
    w.port.inject_raw(Data(n));
  }
  w.settle();
  CHECK(w.others.empty());
}

}  // namespace
}  // namespace l4n::integration
