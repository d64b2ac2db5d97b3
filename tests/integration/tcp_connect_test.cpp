// How a connection comes to be: the guest is answered when the host has been.
#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;
using Kind = FakeHost::Plan::Kind;

PeerOptions from_port(std::uint16_t port) {
  PeerOptions options;
  options.local.port = port;
  return options;
}

// The SYN with which this peer connects, as an IP packet.
Data syn_packet(const PeerOptions& options, std::uint32_t isn) {
  TcpSegment syn;
  syn.source_port = options.local.port;
  syn.destination_port = options.remote.port;
  syn.seq = isn;
  syn.flags = Flags::kSyn;
  syn.window = 0xffff;
  syn.options = mss_option(*options.mss);
  append(syn.options, window_scale_option(*options.window_scale));
  return tcp_packet(options.local.address.v4(), options.remote.address.v4(), syn, options.checksum_offload);
}

TEST_CASE("a connection carries data both ways") {
  World w;
  GuestPeer& guest = w.connect();
  const Data up = random_data(100'000, 1);
  const Data down = random_data(200'000, 2);
  guest.send(up);
  w.host.last().write(down);
  w.settle();
  CHECK(w.host.last().target().endpoint == kServer);
  CHECK(w.host.last().received() == up);
  CHECK(guest.received() == down);
}

TEST_CASE("the SYN is answered only after the host has connected") {
  World w;
  w.host.plan_connects({Kind::wait});
  GuestPeer& guest = w.peer();
  guest.connect();
  w.advance(20s);
  CHECK(guest.repetitions() >= 4);
  CHECK(w.port.sent_frames() == 0);
  CHECK(w.host.connects() == 1);  // repeated SYNs start nothing
  CHECK(w.gateway->tcp().attempts() == 1);

  w.host.last().accept();
  w.settle();
  CHECK(guest.established());
  CHECK(w.gateway->tcp().attempts() == 0);
  guest.send(bytes_of("hello"));
  w.settle();
  CHECK(w.host.last().received() == bytes_of("hello"));
}

TEST_CASE("x.2 is the host's loopback") {
  World w;
  PeerOptions options;
  options.remote = {kGatewayAddress, 8080};
  w.connect(options);
  CHECK(w.host.last().target().endpoint == sys::Endpoint{sys::make_ipv4(127, 0, 0, 1), 8080});
}

TEST_CASE("a refused connection is a reset, at once") {
  for (const int error : {ECONNREFUSED, ECONNRESET, EMFILE, ENFILE, ENOBUFS, EADDRNOTAVAIL}) {
    for (const Kind kind : {Kind::refuse, Kind::no_socket}) {
      CAPTURE(error);
      CAPTURE(static_cast<int>(kind));
      World w;
      w.host.plan_connects({kind, error});
      GuestPeer& guest = w.peer();
      guest.connect();
      w.settle();
      CHECK(guest.was_reset());
      CHECK(w.port.sent_frames() == 1);
      CHECK(w.flows() == 0);
      CHECK(w.gateway->tcp().attempts() == 0);
    }
  }
}

TEST_CASE("an unreachable destination is an ICMP error that quotes the guest's own SYN") {
  struct Case {
    int error;
    std::uint8_t code;
  };
  for (const Case c : {Case{EHOSTUNREACH, 1}, Case{EHOSTDOWN, 1}, Case{ENETUNREACH, 0}, Case{ENETDOWN, 0},
                       Case{EACCES, 13}, Case{EPERM, 13}}) {
    for (const Kind kind : {Kind::refuse, Kind::no_socket}) {
      CAPTURE(c.error);
      World w;
      w.host.plan_connects({kind, c.error});
      GuestPeer& guest = w.peer();
      guest.connect();
      w.settle();
      CHECK(guest.seen().empty());
      REQUIRE(w.others.size() == 1);
      const Packet& packet = w.others.front();
      REQUIRE(packet.icmp.has_value());
      CHECK(packet.source == kGatewayAddress);
      CHECK(packet.destination == kGuestAddress);
      CHECK(packet.icmp->type == 3);
      CHECK(packet.icmp->code == c.code);
      CHECK(packet.icmp->quoted() == syn_packet(guest.options(), guest.options().isn));
      CHECK(w.flows() == 0);
    }
  }
}

TEST_CASE("an unreachable destination quotes the SYN that the guest sent last") {
  World w;
  w.host.plan_connects({Kind::wait});
  GuestPeer& guest = w.peer();
  guest.connect();
  w.settle();
  PeerOptions options;
  options.checksum_offload = false;
  w.inject_ip(syn_packet(options, 5555));
  w.settle();
  w.host.last().refuse(EHOSTUNREACH);
  w.settle();
  REQUIRE(w.others.size() == 1);
  const Data quoted = w.others.front().icmp->quoted();
  REQUIRE(quoted.size() >= 28);
  CHECK(sys::load_be32(&quoted[24]) == 5555);
}

TEST_CASE("no answer from outside: silence, and the guest's own repetition starts again") {
  World w;
  w.host.plan_connects({Kind::wait});
  GuestPeer& guest = w.peer();
  guest.connect();
  w.advance(30500ms);
  CHECK(w.host.connects() == 1);
  CHECK(w.host.socket(0).closed());
  CHECK(w.flows() == 0);
  CHECK(w.port.sent_frames() == 0);

  w.advance(5s);
  CHECK(w.host.connects() == 2);
  CHECK(w.port.sent_frames() == 0);
  w.host.last().accept();
  w.settle();
  CHECK(guest.established());
}

TEST_CASE("a host's own time-out is silence too") {
  World w;
  w.host.plan_connects({Kind::refuse, ETIMEDOUT});
  GuestPeer& guest = w.peer();
  guest.connect();
  w.settle();
  CHECK(w.port.sent_frames() == 0);
  CHECK(w.flows() == 0);
}

TEST_CASE("a new SYN while the host connects counts instead of the old one") {
  World w;
  w.host.plan_connects({Kind::wait});
  PeerOptions options;
  options.isn = 1'000'000;
  GuestPeer& old = w.peer(options);
  old.connect();
  w.settle();
  options.isn = 9'000'000;
  options.mss = 700;
  options.window_scale.reset();
  GuestPeer& guest = w.peer(options);  // takes the place of the old one
  guest.connect();
  w.settle();
  w.host.last().accept();
  w.settle();
  old.vanish();
  CHECK(w.host.connects() == 1);
  CHECK(guest.established());
  const Data data = random_data(5000, 3);
  w.host.last().write(data);
  w.settle();
  CHECK(guest.received() == data);
}

TEST_CASE("a reset while the host connects ends the attempt") {
  World w;
  w.host.plan_connects({Kind::wait});
  GuestPeer& guest = w.peer();
  guest.connect();
  w.settle();
  TcpSegment reset = guest.make(Flags::kRst);
  guest.raw(reset);
  w.settle();
  CHECK(w.flows() == 0);
  CHECK(w.host.last().closed());
  CHECK(w.port.sent_frames() == 0);
  guest.vanish();
}

TEST_CASE("other segments while the host connects are ignored") {
  World w;
  w.host.plan_connects({Kind::wait});
  GuestPeer& guest = w.peer();
  guest.connect();
  w.settle();
  guest.raw(guest.make(Flags::kAck, bytes_of("early")));
  guest.raw(guest.make(Flags::kFin | Flags::kAck));
  w.settle();
  CHECK(w.port.sent_frames() == 0);
  w.host.last().accept();
  w.settle();
  CHECK(guest.established());
  CHECK(w.host.last().received().empty());
  CHECK_FALSE(w.host.last().got_fin());
}

TEST_CASE("the oldest attempt makes room when there are too many, silently, and comes back by itself") {
  World w({.limits = {.tcp_flows = 100, .tcp_attempts = 4}});
  w.host.plan_connects({Kind::wait});
  std::vector<GuestPeer*> guests;
  for (std::uint16_t i = 0; i < 6; ++i) {
    guests.push_back(&w.peer(from_port(static_cast<std::uint16_t>(50'000 + i))));
    guests.back()->connect();
    w.settle();
  }
  CHECK(w.gateway->tcp().attempts() == 4);
  CHECK(w.gateway->tcp().counters().attempts_evicted == 2);
  CHECK(w.port.sent_frames() == 0);
  CHECK(w.host.socket(0).closed());
  CHECK(w.host.socket(1).closed());
  for (std::size_t i = 2; i < 6; ++i) {
    w.host.socket(i).accept();
  }
  w.host.plan_connects({Kind::accept});
  w.advance(2s);  // the first two repeat their SYNs
  for (GuestPeer* guest : guests) {
    CHECK(guest->established());
  }
  CHECK(w.flows() == 6);
}

TEST_CASE("of a flood of attempts only so many make room for others, the rest is dropped until later") {
  constexpr std::size_t kAttempts = 4;
  constexpr std::size_t kDropped = 3;
  World w({.limits = {.tcp_flows = 100, .tcp_attempts = kAttempts}});
  w.host.plan_connects({Kind::wait});
  std::uint16_t port = 20'000;
  const auto connect_one_more = [&w, &port] {
    w.peer(from_port(port++)).connect();
    w.settle();
  };
  for (std::size_t i = 0; i < kAttempts + nat::TcpNat::kEvictions + kDropped; ++i) {
    connect_one_more();
  }
  const nat::TcpNat::Counters& counters = w.gateway->tcp().counters();
  CHECK(counters.attempts_evicted == nat::TcpNat::kEvictions);
  CHECK(counters.attempts_dropped == kDropped);
  CHECK(w.gateway->tcp().attempts() == kAttempts);
  CHECK(w.port.sent_frames() == 0);

  w.advance(nat::TcpNat::kEvictionPeriod);
  connect_one_more();
  CHECK(counters.attempts_evicted == nat::TcpNat::kEvictions + 1);
  CHECK(counters.attempts_dropped == kDropped);
}

// Connects `count` guests whose connects take so long, some time apart. How many of them were let in.
std::size_t connect_slowly(World& w, std::size_t count, sys::Duration each, sys::Duration between,
                           const FakeHost::Plan& plan = {}) {
  w.host.plan_connects([&w, each, plan](const nat::HostTarget&) {
    w.clock.advance(each);
    return plan;
  });
  const nat::TcpNat::Counters before = w.gateway->tcp().counters();
  const std::size_t first_port = 20'000 + before.opened + before.attempts_dropped;
  for (std::size_t i = 0; i < count; ++i) {
    w.clock.advance(between);
    w.peer(from_port(static_cast<std::uint16_t>(first_port + i))).connect();
    w.settle();
  }
  return w.gateway->tcp().counters().opened - before.opened;
}

TEST_CASE("connects that take long leave about half of the time to everything else") {
  World w;
  const nat::TcpNat::Counters& counters = w.gateway->tcp().counters();
  // The burst, and for half of the time meanwhile as much again.
  const std::size_t at_once = connect_slowly(w, 500, 2ms, 0ms);
  CHECK(at_once > 2 * nat::OpeningLimit::kSlowBurst / 2ms - 2);
  CHECK(at_once < 3 * nat::OpeningLimit::kSlowBurst / 2ms);
  CHECK(counters.attempts_dropped == 500 - at_once);
  CHECK(w.others.empty());
  // From then on, of 2 ms in 3.
  const std::size_t later = connect_slowly(w, 300, 2ms, 1ms);
  CHECK(later > 100);
  CHECK(later < 200);
  // What was dropped is repeated.
  w.host.plan_connects({Kind::accept});
  w.advance(10s);
  CHECK(w.flows() == 800);
}

TEST_CASE("connects that take as long as usual are not held back") {
  World w;
  CHECK(connect_slowly(w, 1000, 50us, 0ms) == 1000);
}

TEST_CASE("connects that are refused have a part of the time, and then wait") {
  World w;
  GuestPeer& old = w.connect(from_port(10'000));
  const std::size_t at_once = connect_slowly(w, 1000, 50us, 0ms, {Kind::refuse, ECONNREFUSED});
  CHECK(at_once > nat::OpeningLimit::kWastedBurst / 100us);
  CHECK(at_once < 2 * nat::OpeningLimit::kWastedBurst / 100us);
  CHECK(w.gateway->tcp().counters().attempts_dropped == 1000 - at_once);
  old.send(bytes_of("goes on"));
  w.settle();
  CHECK(w.host.socket(0).received() == bytes_of("goes on"));

  // What was dropped is repeated.
  w.host.plan_connects({Kind::accept});
  w.advance(10s);
  CHECK(w.flows() == 1000 - at_once + 1);
}

TEST_CASE("an established connection does not die for a new attempt") {
  World w({.limits = {.tcp_flows = 3, .tcp_attempts = 3}});
  GuestPeer& old = w.connect(from_port(50'000));
  w.host.plan_connects({Kind::wait});
  for (std::uint16_t i = 1; i < 10; ++i) {
    w.peer(from_port(static_cast<std::uint16_t>(50'000 + i))).connect();
    w.settle();
  }
  old.send(bytes_of("still here"));
  w.settle();
  CHECK(w.host.socket(0).received() == bytes_of("still here"));
}

TEST_CASE("data and FIN in the third segment of the handshake") {
  World w;
  PeerOptions options;
  options.acknowledges = false;
  GuestPeer& guest = w.peer(options);
  guest.connect();
  w.settle();
  REQUIRE(guest.established());
  guest.raw(guest.make(Flags::kAck | Flags::kPsh | Flags::kFin, bytes_of("all in one")));
  w.settle();
  CHECK(w.host.last().received() == bytes_of("all in one"));
  CHECK(w.host.last().got_fin());
}

TEST_CASE("data in the SYN is not taken, and comes again") {
  World w;
  GuestPeer& guest = w.peer();
  TcpSegment syn = guest.make(Flags::kSyn, bytes_of("too early"));
  syn.options = mss_option(1460);
  guest.raw(syn);
  w.settle();
  REQUIRE(guest.seen().size() == 1);
  CHECK(guest.last_seen().ack == syn.seq + 1);
  CHECK(w.host.last().received().empty());
}

TEST_CASE("a guest that never finishes the handshake is given up") {
  World w;
  PeerOptions options;
  options.acknowledges = false;
  GuestPeer& guest = w.peer(options);
  guest.connect();
  w.settle();
  CHECK(w.flows() == 1);
  w.advance(60s);
  CHECK(guest.seen().size() > 2);  // the SYN-ACK was repeated
  CHECK(w.flows() == 0);
  CHECK(w.host.last().closed());
}

TEST_CASE("a SYN that our answer did not reach is answered again") {
  World w;
  PeerOptions options;
  options.acknowledges = false;
  GuestPeer& guest = w.peer(options);
  guest.connect();
  w.settle();
  guest.forget();
  TcpSegment syn = guest.make(Flags::kSyn);
  syn.seq = options.isn;
  guest.raw(syn);
  w.settle();
  REQUIRE(guest.seen().size() == 1);
  CHECK(guest.last_seen().flags == (Flags::kSyn | Flags::kAck));
  CHECK(guest.last_seen().seq == guest.remote_isn());
  CHECK(w.host.connects() == 1);
}

TEST_CASE("a repeated SYN with other options than the first is answered as the first was") {
  World w;
  PeerOptions options;
  options.acknowledges = false;
  options.mss = 1000;
  options.window_scale.reset();
  GuestPeer& guest = w.peer(options);
  guest.connect();
  w.settle();
  guest.forget();
  TcpSegment syn = guest.make(Flags::kSyn);
  syn.seq = options.isn;
  syn.options = mss_option(1460);
  append(syn.options, window_scale_option(5));
  guest.raw(syn);
  w.settle();
  REQUIRE(guest.seen().size() == 1);
  CHECK(guest.last_seen().flags == (Flags::kSyn | Flags::kAck));
  CHECK_FALSE(guest.last_seen().window_scale().has_value());
}

}  // namespace
}  // namespace l4n::integration
