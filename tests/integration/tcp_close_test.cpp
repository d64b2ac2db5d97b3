// How connections end: every order of FINs, resets in every state, and what TIME-WAIT remembers.
#include <doctest/doctest.h>

#include <cerrno>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;

PeerOptions silent() {
  PeerOptions options;
  options.acknowledges = false;
  return options;
}

// A peer that has connected and does nothing by itself.
GuestPeer& connect_silent(World& w, PeerOptions options = {}) {
  options.acknowledges = false;
  GuestPeer& guest = w.peer(options);
  guest.connect();
  w.settle();
  guest.acknowledge();
  w.settle();
  CHECK(guest.established());
  guest.forget();
  return guest;
}

TEST_CASE("the guest closes first, the host goes on sending") {
  World w;
  GuestPeer& guest = w.connect();
  HostSocket& socket = w.host.last();
  const Data up = random_data(20'000, 1);
  guest.send(up);
  guest.finish();
  w.settle();
  CHECK(socket.received() == up);
  CHECK(socket.got_fin());
  CHECK_FALSE(socket.closed());
  CHECK_FALSE(guest.got_fin());

  const Data down = random_data(150'000, 2);
  socket.write(down);
  w.advance(3s);
  CHECK(guest.received() == down);
  socket.finish();
  w.settle();
  CHECK(guest.got_fin());
  CHECK(guest.fin_acknowledged());
  CHECK_FALSE(guest.was_reset());
  CHECK(w.flows() == 0);
  CHECK(socket.closed());
  CHECK_FALSE(socket.got_reset());
}

TEST_CASE("the host closes first, the guest goes on sending") {
  World w;
  GuestPeer& guest = w.connect();
  HostSocket& socket = w.host.last();
  const Data down = random_data(20'000, 3);
  socket.write(down);
  socket.finish();
  w.settle();
  CHECK(guest.received() == down);
  CHECK(guest.got_fin());
  CHECK_FALSE(socket.got_fin());

  const Data up = random_data(150'000, 4);
  guest.send(up);
  w.advance(3s);
  CHECK(socket.received() == up);
  CHECK_FALSE(socket.got_fin());
  guest.finish();
  w.settle();
  CHECK(socket.got_fin());
  CHECK_FALSE(socket.got_reset());
  CHECK(guest.fin_acknowledged());
  CHECK(w.flows() == 0);
}

TEST_CASE("both close in the same moment") {
  World w;
  GuestPeer& guest = w.connect();
  guest.send(bytes_of("up"));
  guest.finish();
  w.host.last().write(bytes_of("down"));
  w.host.last().finish();
  w.settle();
  CHECK(w.host.last().received() == bytes_of("up"));
  CHECK(guest.received() == bytes_of("down"));
  CHECK(guest.got_fin());
  CHECK(guest.fin_acknowledged());
  w.advance(1s);
  CHECK(w.flows() == 0);
  CHECK_FALSE(w.host.last().got_reset());
}

TEST_CASE("the FIN rides on the last data") {
  World w;
  GuestPeer& guest = w.connect();
  guest.forget();
  w.host.last().write(random_data(500, 5));
  w.host.last().finish();
  w.settle();
  bool together = false;
  for (const GuestPeer::Seen& seen : guest.seen()) {
    together = together || (seen.segment.has(Flags::kFin) && seen.segment.payload.size() == 500);
  }
  CHECK(together);
}

TEST_CASE("the guest's FIN with its last data") {
  World w;
  GuestPeer& guest = connect_silent(w);
  guest.raw(guest.make(Flags::kAck | Flags::kFin, bytes_of("last words")));
  w.settle();
  CHECK(w.host.last().received() == bytes_of("last words"));
  CHECK(w.host.last().got_fin());
}

TEST_CASE("the host's socket is given back as soon as both ends are done, not when the guest has confirmed") {
  World w;
  GuestPeer& guest = connect_silent(w);
  guest.raw(guest.make(Flags::kAck | Flags::kFin));
  w.settle();
  w.host.last().finish();
  w.settle();
  CHECK(w.host.last().closed());
  CHECK_FALSE(w.host.last().got_reset());
  CHECK(w.flows() == 1);
}

TEST_CASE("what comes after the guest's FIN is no data") {
  World w;
  GuestPeer& guest = connect_silent(w);
  guest.raw(guest.make(Flags::kAck | Flags::kFin, bytes_of("end")));
  w.settle();
  TcpSegment more = guest.make(Flags::kAck | Flags::kPsh, bytes_of("more"));
  more.seq += 4;
  guest.raw(more);
  w.settle();
  CHECK(w.host.last().received() == bytes_of("end"));
}

TEST_CASE("closing while the host has not taken everything loses nothing") {
  for (const bool host_closed : {false, true}) {
    CAPTURE(host_closed);
    World w;
    GuestPeer& guest = w.connect();
    HostSocket& socket = w.host.last();
    socket.allow(0);
    const Data up = random_data(150'000, 6);
    guest.send(up);
    guest.finish();
    if (host_closed) {
      socket.finish();
    }
    w.advance(30s);  // longer than TIME-WAIT
    CHECK(socket.received().empty());
    CHECK_FALSE(guest.was_reset());
    CHECK(guest.fin_acknowledged());
    socket.allow(50'000);
    w.settle();
    CHECK(socket.received().size() == 50'000);
    CHECK_FALSE(socket.got_fin());
    socket.allow(HostSocket::kUnlimited);
    w.settle();
    CHECK(socket.received() == up);
    CHECK(socket.got_fin());
    CHECK_FALSE(socket.got_reset());
    CHECK_FALSE(guest.was_reset());
  }
}

TEST_CASE("a FIN, not a reset, while the receive window is not fully open") {
  World w;
  GuestPeer& guest = w.connect();
  HostSocket& socket = w.host.last();
  socket.allow(0);
  guest.send(random_data(100'000, 7));
  w.settle();
  guest.forget();
  socket.finish();
  w.settle();
  CHECK(guest.got_fin());
  CHECK_FALSE(guest.was_reset());
}

TEST_CASE("the host's FIN waits for its data while the guest's window is closed") {
  World w;
  PeerOptions options;
  options.buffer = 10'000;
  options.window_scale.reset();  // exact windows
  options.reads = false;
  GuestPeer& guest = w.connect(options);
  const Data down = random_data(100'000, 8);
  w.host.last().write(down);
  w.host.last().finish();
  w.advance(10s);
  CHECK(guest.received().size() == 10'000);
  CHECK_FALSE(guest.got_fin());
  guest.set_reads(true);
  w.advance(20s);
  CHECK(guest.received() == down);
  CHECK(guest.got_fin());
}

TEST_CASE("a guest that has closed its own end may read slowly, however long it takes") {
  World w;
  PeerOptions options;
  options.buffer = 10'000;
  options.window_scale.reset();
  options.reads = false;
  GuestPeer& guest = w.connect(options);
  const Data down = random_data(35'000, 16);
  guest.finish();
  w.host.last().write(down);
  w.host.last().finish();
  for (int i = 0; i < 3; ++i) {
    w.advance(10min);
    CHECK(w.flows() == 1);
    guest.read(10'000);
  }
  w.advance(1min);
  CHECK(guest.received() == down);
  CHECK(guest.got_fin());
  CHECK(w.flows() == 0);
}

TEST_CASE("our last data and FIN reach a guest that was frozen for a minute") {
  World w;
  GuestPeer& guest = w.connect();
  guest.finish();
  w.settle();
  w.port.set_fates_to_guest([](const Packet&) { return Fate::drop; });
  const Data down = random_data(20'000, 17);
  w.host.last().write(down);
  w.host.last().finish();
  w.advance(1min);
  w.port.set_fates_to_guest({});
  w.advance(2min);
  CHECK(guest.received() == down);
  CHECK(guest.got_fin());
  CHECK_FALSE(guest.was_reset());
}

TEST_CASE("a FIN goes to a guest whose window is closed, when there is no data before it") {
  World w;
  PeerOptions options;
  options.buffer = 10'000;
  options.window_scale.reset();  // exact windows
  options.reads = false;
  GuestPeer& guest = w.connect(options);
  const Data down = random_data(10'000, 9);
  w.host.last().write(down);
  w.advance(1s);
  REQUIRE(guest.window() == 0);
  w.host.last().finish();
  w.advance(10s);
  CHECK(guest.got_fin());
  CHECK(guest.received() == down);
}

// --- resets ---

TEST_CASE("a reset of the guest, in every state") {
  enum class In { syn_received, established, guest_closed, host_closed, both_closing };
  for (const In state :
       {In::syn_received, In::established, In::guest_closed, In::host_closed, In::both_closing}) {
    CAPTURE(static_cast<int>(state));
    World w;
    GuestPeer& guest = w.peer(silent());
    guest.connect();
    w.settle();
    HostSocket& socket = w.host.last();
    std::uint32_t seq = guest.snd_nxt();
    if (state != In::syn_received) {
      guest.acknowledge();
      w.settle();
    }
    if (state == In::guest_closed) {
      guest.raw(guest.make(Flags::kFin | Flags::kAck));
      ++seq;
    }
    if (state == In::host_closed) {
      socket.finish();
      w.settle();
      guest.acknowledge();
    }
    if (state == In::both_closing) {
      socket.finish();
      w.settle();
      TcpSegment fin = guest.make(Flags::kFin | Flags::kAck);
      fin.ack -= 1;
      guest.raw(fin);
      ++seq;
    }
    w.settle();
    CHECK(w.flows() == 1);
    guest.forget();
    TcpSegment reset = guest.make(Flags::kRst);
    reset.seq = seq;
    guest.raw(reset);
    w.settle();
    CHECK(w.flows() == 0);
    CHECK(w.buffers() == 0);
    CHECK(guest.seen().empty());
    CHECK(socket.closed());
    // When both have said all, closing the host's socket normally is as good.
    CHECK((socket.got_reset() || state == In::both_closing));
  }
}

TEST_CASE("a reset of the guest while data waits on both sides") {
  World w;
  GuestPeer& guest = w.connect();
  HostSocket& socket = w.host.last();
  socket.allow(0);
  guest.send(random_data(50'000, 11));
  w.advance(1s);
  guest.set_acknowledges(false);
  socket.write(random_data(50'000, 10));
  w.settle();
  CHECK(w.buffers() > 0);
  guest.reset();
  w.settle();
  CHECK(w.flows() == 0);
  CHECK(w.buffers() == 0);
  CHECK(socket.got_reset());
}

TEST_CASE("a reset of the host, in every state") {
  enum class In { syn_received, established, guest_closed, data_waits, data_comes_to_closed_window };
  for (const In state : {In::syn_received, In::established, In::guest_closed, In::data_waits,
                         In::data_comes_to_closed_window}) {
    CAPTURE(static_cast<int>(state));
    World w;
    GuestPeer& guest = w.peer(silent());
    guest.connect();
    w.settle();
    HostSocket& socket = w.host.last();
    if (state == In::syn_received) {
      socket.reset(ECONNRESET);
      w.settle();
    }
    guest.acknowledge();
    w.settle();
    if (state == In::guest_closed) {
      guest.raw(guest.make(Flags::kFin | Flags::kAck));
      w.settle();
    }
    if (state == In::data_waits) {
      socket.allow(0);
      guest.raw(guest.make(Flags::kPsh | Flags::kAck, random_data(1000, 12)));
      w.settle();
    }
    if (state == In::data_comes_to_closed_window) {
      // In the same moment as the reset, so that it is sending that fails first.
      TcpSegment segment = guest.make(Flags::kPsh | Flags::kAck, random_data(1000, 12));
      segment.window = 0;
      guest.raw(segment);
      w.settle();
      segment.seq += 1000;
      guest.raw(segment);
    }
    if (state != In::syn_received) {
      socket.reset(ECONNRESET);
      w.settle();
    }
    CHECK(guest.was_reset());
    CHECK_FALSE(guest.got_fin());
    CHECK(w.flows() == 0);
    CHECK(w.buffers() == 0);
  }
}

TEST_CASE("the host resets after its FIN") {
  World w;
  GuestPeer& guest = w.connect();
  HostSocket& socket = w.host.last();
  socket.finish();
  w.settle();
  CHECK(guest.got_fin());
  socket.reset(ECONNRESET);
  guest.send(bytes_of("anybody?"));
  w.settle();
  CHECK(guest.was_reset());
  CHECK(w.flows() == 0);
}

TEST_CASE("a lost reset is repeated when the guest goes on") {
  World w;
  GuestPeer& guest = w.connect();
  w.port.set_fates_to_guest([](const Packet& packet) {
    return packet.tcp && packet.tcp->has(Flags::kRst) ? Fate::drop : Fate::pass;
  });
  w.host.last().reset(ECONNRESET);
  w.settle();
  CHECK(w.flows() == 0);
  CHECK(guest.established());
  w.port.set_fates_to_guest({});
  guest.send(bytes_of("hello?"));
  w.settle();
  CHECK(guest.was_reset());
}

TEST_CASE("a guest that has vanished is given up") {
  World w;
  GuestPeer& guest = w.connect();
  guest.vanish();
  w.port.set_fates_to_guest([](const Packet&) { return Fate::drop; });
  w.host.last().write(random_data(10'000, 13));
  w.advance(20min);
  CHECK(w.flows() == 0);
  CHECK(w.host.last().got_reset());
}

TEST_CASE("a guest that has vanished before our FIN is given up") {
  World w;
  GuestPeer& guest = w.connect();
  guest.vanish();
  w.port.set_fates_to_guest([](const Packet&) { return Fate::drop; });
  w.host.last().finish();
  w.advance(20min);
  CHECK(w.flows() == 0);
}

TEST_CASE("a repeated FIN is acknowledged while the host still takes the data") {
  World w;
  GuestPeer& guest = connect_silent(w);
  HostSocket& socket = w.host.last();
  socket.allow(0);
  socket.finish();
  w.settle();
  const TcpSegment fin = guest.make(Flags::kFin | Flags::kAck, bytes_of("waits"));
  guest.raw(fin);
  w.settle();
  CHECK(w.flows() == 1);
  guest.forget();
  guest.raw(fin);
  w.settle();
  REQUIRE(guest.seen().size() == 1);
  CHECK(guest.last_seen().flags == Flags::kAck);
  CHECK(guest.last_seen().ack == fin.seq + 6);
  socket.allow(100);
  w.settle();
  CHECK(socket.received() == bytes_of("waits"));
  CHECK(w.flows() == 0);
}

TEST_CASE("no TIME-WAIT where the guest closed first") {
  World w;
  GuestPeer& guest = w.connect();
  guest.finish();
  w.settle();
  w.host.last().finish();
  w.settle();
  CHECK(w.flows() == 0);
  PeerOptions options;  // the same ports and the same number again, at once
  w.connect(options);
  CHECK(w.host.connects() == 2);
}

TEST_CASE("a SYN right behind the end of a connection opens the next one") {
  for (const bool with_reset : {false, true}) {
    CAPTURE(with_reset);
    World w;
    GuestPeer& guest = w.connect();
    w.host.last().finish();
    w.settle();
    REQUIRE(guest.got_fin());
    // Both in one turn of the loop.
    guest.raw(guest.make(with_reset ? Flags::kRst | Flags::kAck : Flags::kFin | Flags::kAck));
    guest.vanish();
    PeerOptions options;
    options.isn = 5'000'000;
    GuestPeer& next = w.peer(options);
    next.connect();
    w.settle();
    CHECK(next.established());
    CHECK(next.repetitions() == 0);
    CHECK(w.host.connects() == 2);
    CHECK(w.flows() == 1);
  }
}

TEST_CASE("the next connection does not wait for a host that is slow to take what is left of the last one") {
  World w;
  GuestPeer& guest = w.connect();
  HostSocket& slow = w.host.last();
  slow.allow(0);
  slow.finish();
  const Data data = random_data(10'000, 14);
  guest.send(data);
  guest.finish();
  w.settle();
  REQUIRE(w.flows() == 1);
  guest.vanish();
  PeerOptions options;
  options.isn = guest.snd_nxt() + 100'000;
  GuestPeer& next = w.connect(options);
  CHECK(w.flows() == 2);
  slow.allow(HostSocket::kUnlimited);
  next.send(bytes_of("another"));
  w.settle();
  CHECK(slow.received() == data);
  CHECK(slow.got_fin());
  CHECK(w.host.last().received() == bytes_of("another"));
  CHECK(w.flows() == 1);
}

TEST_CASE("the end of the gateway resets what is open") {
  World w;
  GuestPeer& guest = w.connect();
  w.host.last().write(random_data(1000, 15));
  w.settle();
  w.stop_gateway();
  CHECK(guest.was_reset());
  CHECK(w.host.last().got_reset());
}

TEST_CASE("a port that has gone is told once") {
  World w;
  int closed = 0;
  w.gateway->on_port_closed([&closed] { ++closed; });
  w.port.end();
  w.turn();
  CHECK(closed == 1);
}

}  // namespace
}  // namespace l4n::integration
