// TCP port forwards: a client outside reaches the guest.
#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;
using sys::make_ipv4;

const sys::Endpoint kHostPort{make_ipv4(0, 0, 0, 0), 8080};
const sys::Endpoint kGuestPort{kGuestAddress, 80};
const sys::Endpoint kClient{make_ipv4(203, 0, 113, 7), 50000};
const nat::ForwardRule kRule{nat::ForwardProtocol::tcp, kHostPort, kGuestPort};

struct ForwardWorld : World {
  explicit ForwardWorld(const WorldOptions& options = {}) : World(options) {}

  std::uint32_t add(const nat::ForwardRule& rule = kRule) {
    const auto added = gateway->forwards().add(rule);
    REQUIRE(added);
    settle();
    return added->id;
  }
  // The guest says where it is.
  void answer_arp() {
    port.inject(ethernet_frame(stack::kEtherTypeArp, arp_packet(2, kGuestAddress, kGatewayAddress)));
    settle();
  }
  // A server in the guest that sees its client at `client`.
  GuestPeer& server(const sys::Endpoint& client = kClient) {
    PeerOptions options;
    options.local = kGuestPort;
    options.remote = client;
    GuestPeer& guest = peer(options);
    guest.listen();
    return guest;
  }
  std::size_t arp_requests() const {
    return static_cast<std::size_t>(std::count_if(others.begin(), others.end(), [](const Packet& packet) {
      return packet.arp.size() == 28 && sys::load_be16(&packet.arp[6]) == 1;
    }));
  }
};

TEST_CASE_FIXTURE(ForwardWorld, "a forwarded connection carries data both ways and closes both ways") {
  add();
  answer_arp();
  GuestPeer& guest = server();
  HostSocket& client = host.listener(0).connect_from(kClient);
  settle();
  REQUIRE(guest.established());
  const Data up = random_data(300'000, 1);
  const Data down = random_data(500'000, 2);
  client.write(down);
  guest.send(up);
  settle();
  CHECK(client.received() == up);
  CHECK(guest.received() == down);
  client.finish();
  settle();
  CHECK(guest.got_fin());
  CHECK_FALSE(client.closed());
  guest.finish();
  settle();
  CHECK(client.got_fin());
  CHECK(client.closed());
  CHECK(flows() == 0);
}

TEST_CASE_FIXTURE(ForwardWorld, "what the client sends before the guest has answered is not lost") {
  add();
  GuestPeer& guest = server();
  HostSocket& client = host.listener(0).connect_from(kClient);
  client.write(bytes_of("early"));
  client.finish();
  settle();
  CHECK(guest.seen().empty());
  answer_arp();
  CHECK(guest.established());
  CHECK(guest.received() == bytes_of("early"));
  CHECK(guest.got_fin());
}

TEST_CASE_FIXTURE(ForwardWorld, "our SYN announces MSS and window scaling, and no more than it may") {
  add();
  answer_arp();
  GuestPeer& guest = server();
  host.listener(0).connect_from(kClient);
  settle();
  REQUIRE_FALSE(guest.seen().empty());
  const TcpSegment& syn = guest.seen().front().segment;
  CHECK(syn.flags == Flags::kSyn);
  CHECK(syn.mss() == 1460);
  CHECK(syn.window_scale().has_value());
  CHECK(syn.window == 0xffff);
  CHECK(guest.send_window() <= stack::GuestConnection::kInitialCap);
}

TEST_CASE("the guest's answer without options is obeyed") {
  ForwardWorld w;
  w.add();
  w.answer_arp();
  PeerOptions options;
  options.local = kGuestPort;
  options.remote = kClient;
  options.mss = std::nullopt;
  options.window_scale = std::nullopt;
  GuestPeer& guest = w.peer(options);
  guest.listen();
  HostSocket& client = w.host.listener(0).connect_from(kClient);
  const Data down = random_data(100'000, 3);
  client.write(down);
  w.settle();
  CHECK(guest.received() == down);
  CHECK(guest.send_window() <= 0xffff);
}

TEST_CASE_FIXTURE(ForwardWorld, "a guest that refuses gives the client a reset") {
  add();
  answer_arp();
  PeerOptions options;
  options.local = kGuestPort;
  options.remote = kClient;
  options.acknowledges = false;
  GuestPeer& guest = peer(options);
  HostSocket& client = host.listener(0).connect_from(kClient);
  settle();
  REQUIRE(guest.seen().size() == 1);
  TcpSegment refusal = guest.make(Flags::kRst | Flags::kAck);
  refusal.seq = 0;
  refusal.ack = guest.seen()[0].segment.seq + 1;
  guest.raw(refusal);
  settle();
  CHECK(client.got_reset());
  CHECK(flows() == 0);
}

TEST_CASE_FIXTURE(ForwardWorld, "in SYN-SENT only an answer to our SYN counts (RFC 9293 3.10.7.3)") {
  struct Row {
    std::string what;
    std::uint8_t flags;
    std::uint32_t ack_offset;  // to what acknowledges the SYN
    bool reset_expected;
  };
  add();
  answer_arp();
  PeerOptions options;
  options.local = kGuestPort;
  options.remote = kClient;
  options.acknowledges = false;
  GuestPeer& guest = peer(options);
  HostSocket& client = host.listener(0).connect_from(kClient);
  settle();
  REQUIRE(guest.seen().size() == 1);
  const std::uint32_t good = guest.seen()[0].segment.seq + 1;
  for (const Row& row : {Row{"RST without ACK", Flags::kRst, 0, false},
                         Row{"RST with a wrong ACK", Flags::kRst | Flags::kAck, 1, false},
                         Row{"ACK without SYN", Flags::kAck, 0, false},
                         Row{"FIN alone", Flags::kFin, 0, false}, Row{"no flags", 0, 0, false},
                         Row{"SYN alone", Flags::kSyn, 0, false}, Row{"a wrong ACK", Flags::kAck, 5, true},
                         Row{"SYN-ACK of something else", Flags::kSyn | Flags::kAck, 5, true}}) {
    CAPTURE(row.what);
    guest.forget();
    TcpSegment segment = guest.make(row.flags);
    segment.ack = row.ack_offset + good;
    segment.seq = 77;
    guest.raw(segment);
    settle();
    const auto& seen = guest.seen();
    const bool reset =
        std::any_of(seen.begin(), seen.end(), [](const auto& s) { return s.segment.has(Flags::kRst); });
    CHECK(reset == row.reset_expected);
    CHECK_FALSE(client.closed());
    CHECK(flows() == 1);
  }
}

TEST_CASE_FIXTURE(ForwardWorld, "a guest that does not answer loses the client after some tries") {
  add();
  answer_arp();
  PeerOptions options;
  options.local = kGuestPort;
  options.remote = kClient;
  options.acknowledges = false;
  GuestPeer& guest = peer(options);
  HostSocket& client = host.listener(0).connect_from(kClient);
  CHECK(advance_until(30s, [&] { return client.closed(); }));
  CHECK(client.got_reset());
  CHECK(guest.seen().size() >= 4);
  CHECK(flows() == 0);
}

TEST_CASE_FIXTURE(ForwardWorld, "nobody has the guest's address: the client gets a reset") {
  add();
  HostSocket& client = host.listener(0).connect_from(kClient);
  settle();
  CHECK(flows() == 1);
  CHECK(advance_until(10s, [&] { return client.closed(); }));
  CHECK(client.got_reset());
  CHECK(arp_requests() == 3);
  CHECK(flows() == 0);
  CHECK(gateway->tcp().attempts() == 0);
}

TEST_CASE_FIXTURE(ForwardWorld, "the guest sees the client's address, or the gateway's") {
  struct Row {
    sys::Endpoint client;
    sys::Endpoint seen;
  };
  add();
  answer_arp();
  for (const Row& row :
       {Row{kClient, kClient}, Row{{make_ipv4(127, 0, 0, 1), 50001}, {kGatewayAddress, 50001}},
        Row{{make_ipv4(127, 9, 9, 9), 50002}, {kGatewayAddress, 50002}},
        Row{{kGuestAddress, 50003}, {kGatewayAddress, 50003}},
        Row{{make_ipv4(10, 0, 2, 77), 50004}, {kGatewayAddress, 50004}},
        Row{{make_ipv4(10, 0, 3, 77), 50005}, {make_ipv4(10, 0, 3, 77), 50005}}}) {
    CAPTURE(sys::to_string(row.client));
    GuestPeer& guest = server(row.seen);
    host.listener(0).connect_from(row.client);
    settle();
    CHECK(guest.established());
  }
}

TEST_CASE_FIXTURE(ForwardWorld, "two clients that look alike to the guest get two ports") {
  add();
  answer_arp();
  GuestPeer& first = server({kGatewayAddress, 50000});
  host.listener(0).connect_from({make_ipv4(127, 0, 0, 1), 50000});
  HostSocket& second = host.listener(0).connect_from({make_ipv4(127, 0, 0, 2), 50000});
  settle();
  CHECK(first.established());
  CHECK_FALSE(second.closed());
  CHECK(flows() == 2);
  REQUIRE_FALSE(others.empty());
  REQUIRE(others.back().tcp);
  CHECK(others.back().source == kGatewayAddress);
  CHECK(others.back().tcp->source_port != 50000);
}

TEST_CASE_FIXTURE(ForwardWorld, "removal stops listening and lets established connections go on") {
  const std::uint32_t id = add();
  answer_arp();
  GuestPeer& guest = server();
  HostSocket& client = host.listener(0).connect_from(kClient);
  settle();
  CHECK(gateway->forwards().list() == std::vector<nat::Forward>{{id, kRule}});
  CHECK(gateway->forwards().remove(id));
  CHECK_FALSE(gateway->forwards().remove(id));
  CHECK(gateway->forwards().list().empty());
  CHECK(host.listener(0).closed());
  client.write(bytes_of("still here"));
  settle();
  CHECK(guest.received() == bytes_of("still here"));
  CHECK(add() == id + 1);
}

TEST_CASE_FIXTURE(ForwardWorld, "a range is all or nothing") {
  nat::ForwardRule rule = kRule;
  rule.count = 3;
  host.refuse_port(8082, EADDRINUSE);
  const auto refused = gateway->forwards().add(rule);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == EADDRINUSE);
  CHECK(gateway->forwards().list().empty());
  CHECK(host.listener(0).closed());
  CHECK(host.listener(1).closed());

  rule.host.port = 9000;
  add(rule);
  answer_arp();
  REQUIRE(host.listeners() == 5);
  PeerOptions options;
  options.local = {kGuestAddress, 82};
  options.remote = kClient;
  GuestPeer& guest = peer(options);
  guest.listen();
  CHECK(host.listener(4).address().port == 9002);
  host.listener(4).connect_from(kClient);
  settle();
  CHECK(guest.established());
}

TEST_CASE_FIXTURE(ForwardWorld, "port 0: the system chooses, and the forward says what") {
  nat::ForwardRule rule = kRule;
  rule.host.port = 0;
  const auto added = gateway->forwards().add(rule);
  REQUIRE(added);
  CHECK(added->rule.host.port == host.listener(0).address().port);
  CHECK(added->rule.host.port != 0);
}

TEST_CASE_FIXTURE(ForwardWorld, "rules that cannot be") {
  struct Row {
    std::string what;
    nat::ForwardRule rule;
    int error;
  };
  nat::ForwardRule base = kRule;
  auto with = [&base](auto change) {
    nat::ForwardRule rule = base;
    change(rule);
    return rule;
  };
  for (const Row& row :
       {Row{"no port in the guest", with([](auto& r) { r.guest.port = 0; }), EINVAL},
        Row{"no ports at all", with([](auto& r) { r.count = 0; }), EINVAL},
        Row{"several free ports", with([](auto& r) { r.host.port = 0, r.count = 2; }), EINVAL},
        Row{"beyond the host's last port", with([](auto& r) { r.host.port = 65535, r.count = 2; }), EINVAL},
        Row{"beyond the guest's last port", with([](auto& r) { r.guest.port = 65535, r.count = 2; }), EINVAL},
        Row{"too many ports", with([](auto& r) { r.count = 513; }), ENOSPC}}) {
    CAPTURE(row.what);
    const auto added = gateway->forwards().add(row.rule);
    REQUIRE_FALSE(added);
    CHECK(added.error().code == row.error);
  }
  CHECK(host.listeners() == 0);
}

TEST_CASE_FIXTURE(ForwardWorld, "without descriptors accepting rests, and goes on later") {
  add();
  answer_arp();
  GuestPeer& guest = server();
  host.listener(0).exhaust(EMFILE);
  host.listener(0).connect_from(kClient);
  settle();
  CHECK(host.listener(0).accepts() == 1);
  CHECK(host.listener(0).waiting() == 1);
  host.listener(0).exhaust(0);
  advance(200ms);
  CHECK(guest.established());
}

TEST_CASE("a full flow table resets the new client and keeps the old ones") {
  WorldOptions options;
  options.limits.tcp_flows = 1;
  ForwardWorld w(options);
  w.add();
  w.answer_arp();
  GuestPeer& guest = w.server();
  HostSocket& first = w.host.listener(0).connect_from(kClient);
  w.settle();
  HostSocket& second = w.host.listener(0).connect_from({kClient.address, 50001});
  w.settle();
  CHECK(second.got_reset());
  first.write(bytes_of("alive"));
  w.settle();
  CHECK(guest.received() == bytes_of("alive"));
}

TEST_CASE_FIXTURE(ForwardWorld,
                  "a flood of clients whom nobody answers takes nothing from the guest's own connects") {
  host.plan_connects([this](const nat::HostTarget&) {
    clock.advance(50us);
    return FakeHost::Plan{};
  });
  connect();
  add();
  answer_arp();
  for (std::uint16_t i = 0; i < 3000; ++i) {
    host.listener(0).connect_from({kClient.address, static_cast<std::uint16_t>(20000 + i)});
    settle();
  }
  CHECK(gateway->tcp().counters().attempts_evicted > 1000);
  PeerOptions another;
  another.local.port = 50'001;
  CHECK(connect(another).established());
  CHECK(gateway->tcp().counters().attempts_dropped == 0);
}

TEST_CASE_FIXTURE(ForwardWorld, "many clients in one turn are all served") {
  constexpr std::uint16_t kClients = 500;
  add();
  answer_arp();
  std::vector<GuestPeer*> guests;
  for (std::uint16_t i = 0; i < kClients; ++i) {
    const sys::Endpoint client{kClient.address, static_cast<std::uint16_t>(20000 + i)};
    guests.push_back(&server(client));
    host.listener(0).connect_from(client);
  }
  settle();
  CHECK(std::all_of(guests.begin(), guests.end(), [](const GuestPeer* g) { return g->established(); }));
}

}  // namespace
}  // namespace l4n::integration
