// How long a connection may be silent: keepalive toward the guest, half-closed ones, closed windows, answers
// to what is out of place.
#include <doctest/doctest.h>

#include <cerrno>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;
using Flags = stack::TcpFlags;

const nat::TcpNat::Counters& counters(const World& w) { return w.gateway->tcp().counters(); }

// Its window closes after 5,000 bytes.
PeerOptions reads_nothing() {
  PeerOptions options;
  options.reads = false;
  options.buffer = 5'000;
  options.window_scale.reset();
  return options;
}

TEST_CASE("keepalive: a guest that is there answers, and stays for ever") {
  World w;
  GuestPeer& guest = w.connect();
  w.advance(23h);
  CHECK(w.flows() == 1);
  CHECK(counters(w).keepalive_probes == 11);
  guest.send(bytes_of("good morning"));
  w.settle();
  CHECK(w.host.last().received() == bytes_of("good morning"));
}

TEST_CASE("keepalive: a guest that has vanished is asked nine times, then the host gets a reset") {
  World w;
  GuestPeer& guest = w.connect();
  w.advance(1h);
  guest.vanish();
  w.advance(1h - 1s);
  CHECK(counters(w).keepalive_probes == 0);
  w.advance(1s + 9 * 75s - 1s);
  CHECK(counters(w).keepalive_probes == 9);
  CHECK(w.flows() == 1);
  w.advance(1s);
  CHECK(w.flows() == 0);
  CHECK(w.host.last().got_reset());
  CHECK(counters(w).keepalive_ended == 1);
}

TEST_CASE("keepalive: what happens on the connection puts it off") {
  World w;
  GuestPeer& guest = w.connect();
  for (int i = 0; i < 5; ++i) {
    w.advance(119min);
    guest.send(bytes_of("x"));
    w.settle();
  }
  CHECK(counters(w).keepalive_probes == 0);
  w.advance(121min);
  CHECK(counters(w).keepalive_probes == 1);
}

TEST_CASE("keepalive: another time, or never") {
  for (const sys::Duration time : {sys::Duration(10s), sys::Duration::zero()}) {
    WorldOptions options;
    options.limits.tcp_keepalive = time;
    World w(options);
    GuestPeer& guest = w.connect();
    guest.vanish();
    w.advance(10s + 9 * 75s);
    CHECK(w.flows() == (time == sys::Duration::zero() ? 1 : 0));
    w.advance(24h);
    CHECK(w.flows() == (time == sys::Duration::zero() ? 1 : 0));
    if (w.flows() == 1) {
      w.host.last().reset(ECONNRESET);
    }
  }
}

TEST_CASE("half-closed by the guest: the host may go on, and is given up after ten minutes of silence") {
  World w;
  GuestPeer& guest = w.connect();
  guest.finish();
  w.settle();
  for (int i = 0; i < 3; ++i) {
    w.advance(9min);
    w.host.last().write(bytes_of("more"));
    w.settle();
  }
  CHECK(guest.received() == bytes_of("moremoremore"));
  w.advance(10min - 1s);
  CHECK(w.flows() == 1);
  w.advance(2s);
  CHECK(w.flows() == 0);
  CHECK(w.host.last().got_reset());
  CHECK(guest.was_reset());
  CHECK(counters(w).half_closed_ended == 1);
}

TEST_CASE("half-closed by the host: the same for the guest (FIN-WAIT-2)") {
  World w;
  GuestPeer& guest = w.connect();
  w.advance(30min);
  w.host.last().finish();
  w.settle();
  REQUIRE(guest.got_fin());
  for (int i = 0; i < 3; ++i) {
    w.advance(9min);
    guest.send(bytes_of("more"));
    w.settle();
  }
  CHECK(w.host.last().received() == bytes_of("moremoremore"));
  w.advance(10min + 1s);
  CHECK(w.flows() == 0);
  CHECK(guest.was_reset());
  CHECK(counters(w).half_closed_ended == 1);
}

TEST_CASE("a guest that keeps its window closed stays as long as it answers our probes") {
  World w;
  GuestPeer& guest = w.connect(reads_nothing());
  const Data data = random_data(50'000, 1);
  guest.finish();
  w.host.last().write(data);
  w.host.last().finish();
  w.advance(30min);
  CHECK(w.flows() == 1);
  guest.set_reads(true);
  w.advance(5min);
  CHECK(guest.received() == data);
  CHECK(guest.got_fin());
  CHECK(w.flows() == 0);
}

TEST_CASE("a guest that has vanished with its window closed does not stay") {
  World w;
  GuestPeer& guest = w.connect(reads_nothing());
  w.host.last().write(random_data(50'000, 1));
  w.advance(1s);
  guest.vanish();
  w.advance(1h);
  CHECK(w.flows() == 0);
  CHECK(w.host.last().got_reset());
}

TEST_CASE("a guest that never finishes the handshake makes room, and is forgotten") {
  World w({.limits = {.tcp_flows = 10, .tcp_attempts = 4}});
  for (std::uint16_t i = 0; i < 8; ++i) {
    PeerOptions options;
    options.local.port = static_cast<std::uint16_t>(5'000 + i);
    options.acknowledges = false;
    w.peer(options).connect();
    w.settle();
  }
  CHECK(w.flows() == 4);
  CHECK(w.gateway->tcp().attempts() == 4);
  CHECK(counters(w).attempts_evicted == 4);
  w.advance(1min);
  CHECK(w.flows() == 0);
}

TEST_CASE("challenge acknowledgments: ten in five seconds for each connection, and data is always answered") {
  World w;
  GuestPeer& guest = w.connect();
  PeerOptions second;
  second.local.port = 40'001;
  GuestPeer& other = w.connect(second);
  for (GuestPeer* peer : {&guest, &other}) {
    peer->set_acknowledges(false);
    peer->forget();
    for (int i = 0; i < 100; ++i) {
      TcpSegment reset = peer->make(Flags::kRst);
      reset.seq += 1000;
      peer->raw(reset);
    }
    w.settle();
    CHECK(peer->seen().size() == 10);
  }
  CHECK(w.gateway->guest_tcp().counters().challenges_limited == 180);
  w.advance(5s);
  guest.forget();
  TcpSegment reset = guest.make(Flags::kRst);
  reset.seq += 1000;
  guest.raw(reset);
  w.settle();
  CHECK(guest.seen().size() == 1);

  guest.set_acknowledges(true);
  guest.send(bytes_of("x"));
  w.settle();
  guest.forget();
  for (int i = 0; i < 50; ++i) {  // repetitions of what we have
    TcpSegment again = guest.make(Flags::kAck, bytes_of("x"));
    again.seq -= 1;
    guest.raw(again);
  }
  w.settle();
  CHECK(guest.seen().size() == 50);
}

TEST_CASE("ICMP errors: a thousand in a second") {
  World w;
  const sys::Endpoint unreachable{kDnsAddress, 7};
  for (unsigned i = 0; i < 1'500; ++i) {
    w.send_udp(unreachable, bytes_of("x"));
    w.settle();
  }
  CHECK(w.icmp().size() == 1'000);
  CHECK(w.gateway->link().counters().icmp_errors == 1'000);
  CHECK(w.gateway->link().counters().icmp_errors_limited == 500);
  w.advance(1s);
  w.send_udp(unreachable, bytes_of("x"));
  w.settle();
  CHECK(w.icmp().size() == 1'001);
}

TEST_CASE("a SYN full of data: no more of it is kept than an ICMP error quotes") {
  World w;
  w.host.plan_connects({FakeHost::Plan::Kind::wait, 0});
  GuestPeer& guest = w.peer();
  guest.raw(guest.make(Flags::kSyn, random_data(60'000, 1)));
  w.settle();
  REQUIRE(w.flows() == 1);
  CHECK(w.buffers() == 0);
  w.host.last().refuse(EHOSTUNREACH);
  w.settle();
  REQUIRE(w.icmp().size() == 1);
}

}  // namespace
}  // namespace l4n::integration
