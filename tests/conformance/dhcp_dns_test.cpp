// What the gateway serves itself: RFC 2131 addresses, RFC 1035 names. Only what can be seen on the wire; the
// server's states are tests/nat/dhcp_server_test.cpp, the fail-over of resolvers
// tests/integration/dns_test.cpp.
#include <algorithm>

#include "tests/conformance/frames.hpp"
#include "tests/conformance/row.hpp"
#include "tests/support/dhcp_client.hpp"

namespace l4n::conformance {
namespace {

using integration::bytes_of;
using integration::GuestPeer;
using integration::kDnsAddress;
using integration::kGatewayAddress;
using integration::kGuestAddress;
using integration::kGuestMac;
using integration::PeerOptions;
using sys::Ipv4Address;
using sys::make_ipv4;
using test::DhcpMessageBuilder;

constexpr Ipv4Address kAnyone = make_ipv4(255, 255, 255, 255);
constexpr Ipv4Address kFirstLease = make_ipv4(10, 0, 2, 15);

Data dhcp_frame(const DhcpMessageBuilder& message, Ipv4Address from = {}, Ipv4Address to = kAnyone,
                std::uint16_t from_port = 68) {
  return integration::ethernet_frame(stack::kEtherTypeIpv4,
                                     integration::udp_packet(from, to, {from_port, 67, message.build()}),
                                     kGuestMac, to == kAnyone ? stack::kBroadcastMac : stack::kGatewayMac);
}

DhcpMessageBuilder message(unsigned type) { return DhcpMessageBuilder(kGuestMac).type(type); }
DhcpMessageBuilder request_for(Ipv4Address address) {
  return message(test::kRequest).requested(address).server(kGatewayAddress);
}

DhcpMessageBuilder wrong_cookie() { return message(test::kDiscover).at(test::kDhcpCookieAt + 3, 0x62); }
DhcpMessageBuilder bootp() { return DhcpMessageBuilder(kGuestMac); }
DhcpMessageBuilder reply_operation() { return message(test::kDiscover).at(0, 2); }
DhcpMessageBuilder relayed() { return message(test::kDiscover).giaddr(make_ipv4(192, 168, 1, 1)); }

const std::string kToAll = "UDP 10.0.2.2:67 -> 255.255.255.255:68";
const std::string kToLease = "UDP 10.0.2.2:67 -> 10.0.2.15:68";

// The reply to the last of these frames, which is the only one that is looked at.
test::DhcpView reply_to(World& w, const std::vector<Data>& frames) {
  for (const Data& frame : frames) {
    w.others.clear();
    w.port.inject(frame);
    w.settle();
  }
  REQUIRE(w.others.size() == 1);
  REQUIRE(w.others[0].udp.has_value());
  const auto view = test::view_dhcp_reply(w.others[0].udp->payload);
  REQUIRE(view.has_value());
  return *view;
}

void check_type(const std::vector<Data>& frames, unsigned type) {
  World w;
  const test::DhcpView reply = reply_to(w, frames);
  CHECK(reply.type() == type);
  CHECK(reply.xid == 0x12345678);
  CHECK(reply.address(54) == kGatewayAddress);
}

void check_configuration() {
  World w;
  const test::DhcpView ack =
      reply_to(w, {dhcp_frame(message(test::kDiscover)), dhcp_frame(request_for(kFirstLease))});
  CHECK(ack.type() == test::kAck);
  CHECK(ack.yiaddr == kFirstLease);
  CHECK(ack.number(1) == 0xffffff00);
  CHECK(ack.address(3) == kGatewayAddress);
  CHECK(ack.address(6) == kDnsAddress);
  CHECK(ack.number(26) == 1500);
  CHECK(ack.number(51) == 86'400);
}

TEST_CASE("DHCP") {
  const Data discover = dhcp_frame(message(test::kDiscover));
  const Data request = dhcp_frame(request_for(kFirstLease));
  check_rows({
      {"RFC 2131 3.1", "DISCOVER is answered with OFFER",
       [discover] { check_type({discover}, test::kOffer); }},
      {"RFC 2131 3.1", "REQUEST of what was offered with ACK",
       [discover, request] {
         check_type({discover, request}, test::kAck);
       }},
      {"RFC 2131 4.3.2", "REQUEST of an address out of the pool with NAK",
       [] { check_type({dhcp_frame(request_for(make_ipv4(10, 0, 2, 200)))}, test::kNak); }},
      {"RFC 2131 4.3.2", "REQUEST of another network's address with NAK",
       [] {
         check_type({dhcp_frame(message(test::kRequest).requested(make_ipv4(192, 168, 1, 5)))}, test::kNak);
       }},
      {"RFC 2131 4.3.5", "INFORM with ACK, without an address",
       [] {
         World w;
         const test::DhcpView ack = reply_to(
             w, {dhcp_frame(message(test::kInform).ciaddr(kGuestAddress), kGuestAddress, kGatewayAddress)});
         CHECK(ack.type() == test::kAck);
         CHECK(ack.yiaddr == Ipv4Address{});
         CHECK_FALSE(ack.has(51));
       }},
      {"RFC 2132", "the configuration that an ACK gives", check_configuration},
  });
  check_frame_rows({
      {"RFC 2131 4.1", "an answer goes to the address that it gives", {discover}, {kToLease}, ""},
      {"RFC 2131 4.1",
       "or to all when the client asks so",
       {dhcp_frame(message(test::kDiscover).broadcast())},
       {kToAll},
       ""},
      {"RFC 2131 4.1", "NAK goes to all", {dhcp_frame(request_for(make_ipv4(10, 0, 2, 200)))}, {kToAll}, ""},
      {"RFC 2131 3", "a wrong magic cookie", {dhcp_frame(wrong_cookie())}, {}, ""},
      {"RFC 2131 3", "BOOTP, which has no message type", {dhcp_frame(bootp())}, {}, ""},
      {"RFC 2131 2", "what says it is a reply", {dhcp_frame(reply_operation())}, {}, ""},
      {"RFC 2131 4.3.2",
       "REQUEST to another server",
       {dhcp_frame(message(test::kRequest).requested(kFirstLease).server(make_ipv4(10, 0, 2, 9)))},
       {},
       ""},
      {"RFC 2131 4.3.4",
       "RELEASE is not answered",
       {discover, request,
        dhcp_frame(message(test::kRelease).ciaddr(kFirstLease).server(kGatewayAddress), kFirstLease,
                   kGatewayAddress)},
       {kToLease, kToLease},
       ""},
      {"RFC 2131 4.3.3",
       "DECLINE is not answered",
       {dhcp_frame(message(test::kDecline).requested(kFirstLease).server(kGatewayAddress))},
       {},
       ""},
      {"RFC 2131 4.1", "from a relay's other network", {dhcp_frame(relayed())}, {}, ""},
      {"RFC 2131 4.3", "OFFER, which is a server's word", {dhcp_frame(message(test::kOffer))}, {}, ""},
      {"RFC 2131 4.1",
       "from another port than the client's",
       {dhcp_frame(message(test::kDiscover), {}, kAnyone, 1068)},
       {},
       "denied 1"},
      {"RFC 2131 4.1",
       "from a source that nobody may have",
       {dhcp_frame(message(test::kDiscover), make_ipv4(127, 0, 0, 1))},
       {},
       "denied 1"},
  });
}

// --- DNS ---

const nat::HostTarget kResolver{{make_ipv4(198, 51, 100, 1), 53}};
const sys::Endpoint kDns{kDnsAddress, 53};

// A question goes to the resolver as it is, and its answer to the guest as it is.
std::function<void()> passes(const Data& query, const Data& response) {
  return [query, response] {
    World w;
    w.gateway->set_resolvers({kResolver});
    w.port.inject(udp_frame(kDns, query));
    w.settle();
    REQUIRE(w.host.datagram_sockets() == 1);
    CHECK(w.host.datagram(0).target() == kResolver);
    REQUIRE(w.host.datagram(0).sent().size() == 1);
    CHECK(w.host.datagram(0).sent()[0] == query);
    w.host.datagram(0).answer(response);
    w.settle();
    REQUIRE(w.others.size() == 1);
    CHECK(answer_text(w.others[0]) == "UDP 10.0.2.3:53 -> 10.0.2.100:5000");
    CHECK(w.others[0].udp->payload == response);
  };
}

Data truncated(Data response) {
  response[2] |= std::byte{0x02};
  return response;
}

void over_tcp() {
  World w;
  w.gateway->set_resolvers({kResolver});
  PeerOptions options;
  options.remote = kDns;
  GuestPeer& guest = w.connect(options);
  REQUIRE(w.host.connects() == 1);
  CHECK(w.host.last().target() == kResolver);
  Data question{std::byte{0}, std::byte{25}};  // RFC 1035 4.2.2: the length goes before
  integration::append(question, dns_query(7));
  guest.send(question);
  w.settle();
  CHECK(w.host.last().received() == question);
  const Data answer = integration::random_data(60'000, 1);
  w.host.last().write(answer);
  w.settle();
  CHECK(guest.received() == answer);
}

TEST_CASE("DNS") {
  const Data query = dns_query(7);
  check_rows({
      {"RFC 1035 4.2.1", "a question and its answer", passes(query, dns_response(7, 120))},
      {"RFC 1035 4.2.1", "an answer of 512 bytes", passes(query, dns_response(7, 512))},
      {"RFC 1035 4.2.1", "an answer that is marked truncated",
       passes(query, truncated(dns_response(7, 512)))},
      {"RFC 6891 6.1", "a question with EDNS", passes(dns_query(7, true), dns_response(7, 120))},
      {"RFC 6891 6.2.3", "an answer of 1232 bytes", passes(dns_query(7, true), dns_response(7, 1232))},
      {"RFC 6891 6.2.5", "an answer of 4096 bytes, in fragments",
       passes(dns_query(7, true), dns_response(7, 4096))},
      {"RFC 7766 5", "over TCP", over_tcp},
      {"RFC 768", "a question without a checksum",
       [query] {
         World w;
         w.gateway->set_resolvers({kResolver});
         w.port.inject(changed(udp_frame(kDns, query), kTransportAt + 6, {0, 0}));
         w.settle();
         CHECK(w.host.datagram_sockets() == 1);
       }},
      {"RFC 1035 4.1.1", "what is no question goes nowhere",
       [] {
         World w;
         w.gateway->set_resolvers({kResolver});
         w.port.inject(udp_frame(kDns, dns_response(7, 120)));
         w.port.inject(udp_frame(kDns, bytes_of("too short")));
         w.settle();
         CHECK(host_sockets(w) == 0);
         CHECK(w.others.empty());
       }},
  });
}

}  // namespace
}  // namespace l4n::conformance
