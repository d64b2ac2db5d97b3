// Who may send, and where to: for what is denied no socket of the host ever opens.
#include <algorithm>

#include "tests/conformance/frames.hpp"
#include "tests/conformance/row.hpp"

namespace l4n::conformance {
namespace {

using integration::bytes_of;
using integration::GuestPeer;
using integration::kDnsAddress;
using integration::kGatewayAddress;
using integration::kServer;
using integration::Packet;
using integration::PeerOptions;
using integration::random_data;
using sys::Ipv4Address;
using sys::make_ipv4;

const std::string kNetworkUnreachable = "ICMP 3/0 10.0.2.2 -> 10.0.2.100";
const nat::HostTarget kResolver{{make_ipv4(198, 51, 100, 1), 53}};

// --- sources ---

// Everything that a source can want: a connection, a datagram, an answer, a lease, a reassembly.
std::vector<Data> frames_from(Ipv4Address from) {
  const Data echo = echo_frame(kGatewayAddress, 64, from);
  return {
      syn_frame(kServer, from),
      syn_frame({kGatewayAddress, 80}, from),
      syn_frame({kDnsAddress, 53}, from),
      udp_frame(kServer, bytes_of("x"), from),
      udp_frame({kDnsAddress, 53}, dns_query(1), from),
      echo,
      echo_frame(kServer.address.v4(), 64, from),
      fragment_of(echo, 0, 32),
      fragment_of(echo, 32, 64),
  };
}

std::function<void()> source_is_denied(Ipv4Address from) {
  return [from] {
    World w;
    w.gateway->set_resolvers({kResolver});
    std::uint64_t sent = 0;
    for (const Data& frame : frames_from(from)) {
      w.port.inject(frame);
      w.settle();
      CHECK(w.gateway->counters().denied == ++sent);
    }
    CHECK(host_sockets(w) == 0);
    CHECK(w.port.sent_frames() == 0);
    CHECK(w.gateway->reassembly().pending() == 0);
  };
}

void other_source_is_served() {
  const Ipv4Address nested = make_ipv4(172, 17, 0, 5);
  World w;
  w.gateway->set_resolvers({kResolver});
  w.port.inject(echo_frame(kGatewayAddress, 8, nested));
  w.port.inject(syn_frame(kServer, nested));
  w.settle();
  CHECK(answer_texts(w.others) == std::vector<std::string>{"ICMP 0/0 10.0.2.2 -> 172.17.0.5",
                                                           "TCP 192.0.2.1:80 -> 172.17.0.5:40000 SYN ACK"});
}

TEST_CASE("policy: sources") {
  check_rows({
      {"RFC 1122 3.2.1.3", "the gateway's own address", source_is_denied(kGatewayAddress)},
      {"RFC 1122 3.2.1.3", "the DNS server's address", source_is_denied(kDnsAddress)},
      {"RFC 1122 3.2.1.3", "0.0.0.0", source_is_denied({})},
      {"RFC 1122 3.2.1.3", "0/8", source_is_denied(make_ipv4(0, 1, 2, 3))},
      {"RFC 1122 3.2.1.3", "127.0.0.1", source_is_denied(make_ipv4(127, 0, 0, 1))},
      {"RFC 1122 3.2.1.3", "127/8", source_is_denied(make_ipv4(127, 255, 255, 254))},
      {"RFC 1122 3.2.1.3", "the subnet's broadcast", source_is_denied(make_ipv4(10, 0, 2, 255))},
      {"RFC 1112 7.2", "the first multicast group", source_is_denied(make_ipv4(224, 0, 0, 0))},
      {"RFC 1112 7.2", "the last multicast group", source_is_denied(make_ipv4(239, 255, 255, 255))},
      {"RFC 1112 4", "240/4", source_is_denied(make_ipv4(240, 0, 0, 1))},
      {"RFC 1122 3.2.1.3", "the limited broadcast", source_is_denied(make_ipv4(255, 255, 255, 255))},
      {"RFC 1812 5.3.8", "a bridge's or pod's own network is served", other_source_is_served},
  });
}

// --- destinations ---

// TCP, UDP and ping to a destination that is denied: told by ICMP 3/0, or nothing at all.
struct Denied {
  sys::Endpoint to;
  bool told = false;
  bool echo = true;  // false: it answers ping itself
};

void check_told(const World& w, const Denied& denied, std::size_t attempts) {
  REQUIRE(w.others.size() == (denied.told ? attempts : 0));
  for (const Packet& packet : w.others) {
    CHECK(answer_text(packet) == kNetworkUnreachable);
    REQUIRE(packet.icmp.has_value());
    const Data quoted = packet.icmp->quoted();
    REQUIRE(quoted.size() >= 28);
    CHECK(sys::load_be32(&quoted[16]) == denied.to.address.v4().value);
  }
}

std::function<void()> destination_is_denied(const Denied& denied, const nat::PolicyConfig& policy = {}) {
  return [denied, policy] {
    World w({.policy = policy});
    w.gateway->set_resolvers({kResolver});
    std::vector<Data> frames{syn_frame(denied.to), udp_frame(denied.to, bytes_of("data"))};
    if (denied.echo) {
      frames.push_back(echo_frame(denied.to.address.v4()));
    }
    for (const Data& frame : frames) {
      w.port.inject(frame);
      w.settle();
    }
    CHECK(host_sockets(w) == 0);
    CHECK(w.flows() == 0);
    CHECK(w.gateway->counters().denied + w.gateway->tcp().counters().denied == frames.size());
    check_told(w, denied, frames.size());
  };
}

// The same frames to a destination that is allowed do open sockets: the rows above can fail.
std::function<void()> destination_is_allowed(const sys::Endpoint& to, const sys::Endpoint& host,
                                             const nat::PolicyConfig& policy = {}) {
  return [to, host, policy] {
    World w({.policy = policy});
    w.port.inject(syn_frame(to));
    w.port.inject(udp_frame(to, bytes_of("data")));
    w.settle();
    REQUIRE(w.host.connects() == 1);
    CHECK(w.host.last().target().endpoint == host);
    REQUIRE(w.host.udp.opened() == 1);
    REQUIRE(w.host.udp.last().sent().size() == 1);
    CHECK(w.host.udp.last().sent()[0].to == host);
  };
}

nat::PolicyConfig closed() {
  nat::PolicyConfig policy;
  policy.host_loopback = false;
  return policy;
}

nat::PolicyConfig link_local() {
  nat::PolicyConfig policy;
  policy.link_local = true;
  return policy;
}

Denied network(std::uint8_t n, bool told) { return {{make_ipv4(10, 0, 2, n), 80}, told}; }
Denied silent(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
  return {{make_ipv4(a, b, c, d), 80}, false};
}

TEST_CASE("policy: destinations that are denied") {
  check_rows({
      {"policy", "the DNS server, another port than 53",
       destination_is_denied({{kDnsAddress, 80}, true, false})},
      {"policy", "the gateway with the host's loopback closed",
       destination_is_denied({{kGatewayAddress, 80}, true, false}, closed())},
      {"policy", "the gateway's port 53 with the host's loopback closed",
       destination_is_denied({{kGatewayAddress, 53}, true, false}, closed())},
      {"policy", "the guest's network, its own address", destination_is_denied(network(0, true))},
      {"policy", "the guest's network, .1", destination_is_denied(network(1, true))},
      {"policy", "the guest's network, .4", destination_is_denied(network(4, true))},
      {"policy", "the guest itself", destination_is_denied(network(100, true))},
      {"policy", "the guest's network, .254", destination_is_denied(network(254, true))},
      {"policy", "the guest's network, broadcast", destination_is_denied(network(255, false))},
      {"policy", "127.0.0.1", destination_is_denied(silent(127, 0, 0, 1))},
      {"policy", "127/8", destination_is_denied(silent(127, 255, 255, 254))},
      {"policy", "0.0.0.0", destination_is_denied(silent(0, 0, 0, 0))},
      {"policy", "0/8", destination_is_denied(silent(0, 255, 255, 255))},
      {"policy", "169.254.169.254", destination_is_denied(silent(169, 254, 169, 254))},
      {"policy", "169.254/16", destination_is_denied(silent(169, 254, 0, 0))},
      {"policy", "the first multicast group", destination_is_denied(silent(224, 0, 0, 0))},
      {"policy", "SSDP", destination_is_denied(silent(239, 255, 255, 250))},
      {"policy", "240/4", destination_is_denied(silent(240, 0, 0, 1))},
      {"policy", "the limited broadcast", destination_is_denied(silent(255, 255, 255, 255))},
      {"policy", "port 0", destination_is_denied({{kServer.address, 0}, false, false})},
  });
}

TEST_CASE("policy: destinations that are allowed") {
  const sys::Endpoint loopback{make_ipv4(127, 0, 0, 1), 80};
  check_rows({
      {"policy", "a machine elsewhere", destination_is_allowed(kServer, kServer)},
      {"policy", "elsewhere also with the host's loopback closed",
       destination_is_allowed(kServer, kServer, closed())},
      {"policy", "the gateway is the host's loopback",
       destination_is_allowed({kGatewayAddress, 80}, loopback)},
      {"policy", "link-local when it was asked for",
       destination_is_allowed({make_ipv4(169, 254, 169, 254), 80}, {make_ipv4(169, 254, 169, 254), 80},
                              link_local())},
      {"policy", "the last address before multicast",
       destination_is_allowed({make_ipv4(223, 255, 255, 255), 80}, {make_ipv4(223, 255, 255, 255), 80})},
      {"policy", "the address behind the guest's network",
       destination_is_allowed({make_ipv4(10, 0, 3, 0), 80}, {make_ipv4(10, 0, 3, 0), 80})},
  });
}

// --- limits ---

PeerOptions from_port(std::uint16_t port) {
  PeerOptions options;
  options.local.port = port;
  return options;
}

void full_flow_table() {
  World w({.limits = {.tcp_flows = 5, .tcp_attempts = 5}});
  std::vector<GuestPeer*> guests;
  for (std::uint16_t i = 0; i < 5; ++i) {
    guests.push_back(&w.connect(from_port(static_cast<std::uint16_t>(50'000 + i))));
  }
  GuestPeer& late = w.peer(from_port(60'000));
  late.connect();
  w.settle();
  CHECK(late.was_reset());
  CHECK(w.host.connects() == 5);
  CHECK(w.gateway->tcp().counters().refused_full == 1);
  for (std::size_t i = 0; i < guests.size(); ++i) {
    const Data data = random_data(3000, static_cast<std::uint32_t>(i));
    guests[i]->send(data);
    w.host.socket(i).write(data);
    w.settle();
    CHECK(w.host.socket(i).received() == data);
    CHECK(guests[i]->received() == data);
  }
  guests[0]->reset();
  w.settle();
  w.connect(from_port(60'001));  // there is room again
}

TEST_CASE("policy: limits") {
  check_rows({
      {"limits", "a full TCP flow table refuses the new connection and never hurts the old ones",
       full_flow_table},
  });
}

}  // namespace
}  // namespace l4n::conformance
