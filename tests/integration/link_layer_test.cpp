// MAC addresses: frames to everybody, and where answers go.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;
using sys::Ipv4Address;
using sys::make_ipv4;

Ipv4Address guest_network(std::uint8_t n) { return make_ipv4(10, 0, 2, n); }

IcmpMessage echo(std::size_t size, std::uint32_t seed = 1) {
  return echo_request(0x1234, 7, random_data(size, seed));
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

}  // namespace
}  // namespace l4n::integration
