// Frames that are lost, repeated or overtaken: whichever one it is, everything arrives, and both ends close.
#include <doctest/doctest.h>

#include <random>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;

// Which frame has which fate.
struct Mishap {
  bool to_guest = false;
  std::uint64_t frame = 0;  // counted from 0 in its direction
  Fate fate = Fate::pass;
  std::uint64_t count = 1;  // this many in a row
};

struct Traffic {
  std::uint64_t to_guest = 0;
  std::uint64_t to_gateway = 0;
};

enum class Closes { guest_first, host_first, together };

Fates one_fate(std::uint64_t& counter, const Mishap& mishap) {
  return [&counter, mishap](const Packet&) {
    const std::uint64_t n = counter++;
    return n >= mishap.frame && n < mishap.frame + mishap.count ? mishap.fate : Fate::pass;
  };
}

// A whole life of a connection, with data both ways and one mishap. Gives how many frames went which way.
Traffic live_through(const Mishap& mishap, Closes closes, bool vnet = true) {
  Traffic traffic;
  World w({.vnet = vnet});
  Mishap none = mishap;
  none.fate = Fate::pass;
  w.port.set_fates_to_guest(one_fate(traffic.to_guest, mishap.to_guest ? mishap : none));
  w.port.set_fates_to_gateway(one_fate(traffic.to_gateway, mishap.to_guest ? none : mishap));
  PeerOptions options;
  options.buffer = 16'000;
  GuestPeer& guest = w.peer(options);
  guest.connect();
  w.advance_until(60s, [&] { return guest.established(); });
  REQUIRE(guest.established());
  HostSocket& socket = w.host.last();
  const Data up = random_data(12'000, 1);
  const Data down = random_data(40'000, 2);
  guest.send(sys::Bytes(up).first(5000));
  socket.write(down);
  w.advance(100ms);
  guest.send(sys::Bytes(up).subspan(5000));
  if (closes != Closes::host_first) {
    guest.finish();
  }
  if (closes == Closes::guest_first) {
    w.advance_until(120s, [&] { return socket.got_fin() && guest.received().size() == down.size(); });
  }
  socket.finish();
  if (closes == Closes::host_first) {
    w.advance_until(120s, [&] { return guest.got_fin() && socket.received().size() == up.size(); });
    guest.finish();
  }
  w.advance_until(120s, [&] { return w.flows() == 0 && guest.fin_acknowledged() && guest.got_fin(); });
  CHECK(socket.received() == up);
  CHECK(guest.received() == down);
  CHECK(guest.got_fin());
  CHECK(socket.got_fin());
  CHECK_FALSE(socket.got_reset());
  CHECK_FALSE(guest.was_reset());
  CHECK(guest.fin_acknowledged());
  CHECK(w.flows() == 0);
  CHECK(w.gateway->guest_tcp().ticking() == 0);
  return traffic;
}

void every_frame_once(Fate fate, std::uint64_t count = 1) {
  for (const Closes closes : {Closes::guest_first, Closes::host_first, Closes::together}) {
    const Traffic all = live_through({}, closes);
    for (const bool to_guest : {true, false}) {
      const std::uint64_t frames = to_guest ? all.to_guest : all.to_gateway;
      for (std::uint64_t frame = 0; frame < frames; ++frame) {
        CAPTURE(static_cast<int>(closes));
        CAPTURE(to_guest);
        CAPTURE(frame);
        live_through({to_guest, frame, fate, count}, closes);
      }
    }
  }
}

TEST_CASE("any one frame lost, in either direction") { every_frame_once(Fate::drop); }

TEST_CASE("any two frames in a row lost") { every_frame_once(Fate::drop, 2); }

TEST_CASE("any four frames in a row lost") { every_frame_once(Fate::drop, 4); }

TEST_CASE("any one frame twice") { every_frame_once(Fate::twice); }

TEST_CASE("any one frame overtaken by the next") { every_frame_once(Fate::hold); }

// A busy transfer over a wire that does what it likes with frames.
void noisy_transfer(std::uint32_t seed, unsigned loss_percent, bool vnet, std::size_t size) {
  CAPTURE(seed);
  CAPTURE(loss_percent);
  CAPTURE(vnet);
  World w({.vnet = vnet});
  std::mt19937 random(seed);
  const auto fates = [&random, loss_percent](const Packet&) {
    const auto dice = random() % 100;
    return dice < loss_percent       ? Fate::drop
           : dice < loss_percent + 3 ? Fate::twice
           : dice < loss_percent + 8 ? Fate::hold
                                     : Fate::pass;
  };
  w.port.set_fates_to_guest(fates);
  w.port.set_fates_to_gateway(fates);
  PeerOptions options;
  options.buffer = 64 * 1024;
  options.largest_segment = seed % 2 == 0 ? 0 : 8000;
  GuestPeer& guest = w.peer(options);
  guest.connect();
  REQUIRE(w.advance_until(300s, [&] { return guest.established(); }));
  HostSocket& socket = w.host.last();
  const Data up = random_data(size, seed);
  const Data down = random_data(size, seed + 1000);
  guest.send(up);
  socket.write(down);
  guest.finish();
  socket.finish();
  w.advance_until(3600s, [&] { return w.flows() == 0 && guest.fin_acknowledged() && guest.got_fin(); });
  CHECK(socket.received() == up);
  CHECK(guest.received() == down);
  CHECK(guest.got_fin());
  CHECK(socket.got_fin());
  CHECK_FALSE(guest.was_reset());
}

TEST_CASE("a wire that loses, repeats and reorders at random") {
  for (std::uint32_t seed = 1; seed <= 30; ++seed) {
    noisy_transfer(seed, seed % 3 * 5, seed % 5 != 0, 150'000);
  }
}

TEST_CASE("out-of-order data of the guest is kept, and acknowledged in one go") {
  World w;
  PeerOptions options;
  options.acknowledges = false;
  GuestPeer& guest = w.peer(options);
  guest.connect();
  w.settle();
  guest.acknowledge();
  w.settle();
  const Data data = random_data(10'000, 4);
  const std::uint32_t first = guest.snd_nxt();
  for (std::size_t i = 10; i-- > 1;) {
    TcpSegment segment = guest.make(Flags::kAck | Flags::kPsh, sys::Bytes(data).subspan(i * 1000, 1000));
    segment.seq += static_cast<std::uint32_t>(i) * 1000;
    guest.raw(segment);
  }
  w.settle();
  CHECK(w.host.last().received().empty());
  CHECK(guest.last_seen().ack == first);
  CHECK(w.buffers() == 0);  // what waits does not pin large buffers
  TcpSegment all = guest.make(Flags::kAck | Flags::kPsh, sys::Bytes(data).first(1000));
  all.seq = first;
  const TcpSegment whole = guest.make(Flags::kAck, data);
  guest.note_sent(whole);
  guest.raw(all);
  w.advance(100ms);
  CHECK(w.host.last().received() == data);
  CHECK(guest.last_seen().ack == first + 10'000);
}

TEST_CASE("overlapping segments give each byte once") {
  World w;
  PeerOptions options;
  options.acknowledges = false;
  GuestPeer& guest = w.peer(options);
  guest.connect();
  w.settle();
  guest.acknowledge();
  w.settle();
  const Data data = random_data(20'000, 5);
  guest.note_sent(guest.make(Flags::kAck, data));
  const std::uint32_t first = guest.snd_nxt();
  std::mt19937 random(6);
  for (int i = 0; i < 400; ++i) {
    const std::size_t at = random() % data.size();
    const std::size_t n = std::min<std::size_t>(random() % 3000 + 1, data.size() - at);
    TcpSegment segment = guest.make(Flags::kAck, sys::Bytes(data).subspan(at, n));
    segment.seq = first + static_cast<std::uint32_t>(at);
    guest.raw(segment);
    if (i % 10 == 0) {
      w.settle();
    }
    const Data& received = w.host.last().received();
    REQUIRE(std::equal(received.begin(), received.end(), data.begin()));
  }
  TcpSegment all = guest.make(Flags::kAck, data);
  all.seq = first;
  guest.raw(all);
  w.settle();
  CHECK(w.host.last().received() == data);
}

TEST_CASE("holes that are never filled cost only so much") {
  World w;
  PeerOptions options;
  options.acknowledges = false;
  GuestPeer& guest = w.peer(options);
  guest.connect();
  w.settle();
  guest.acknowledge();
  w.settle();
  for (std::uint32_t i = 0; i < 5000; ++i) {
    TcpSegment segment = guest.make(Flags::kAck, bytes_of("x"));
    segment.seq += 1 + 2 * i;
    guest.raw(segment);
    if (i % 100 == 0) {
      w.settle();
    }
  }
  w.settle();
  CHECK(w.buffers() == 0);
  CHECK(w.host.last().received().empty());
  guest.reset();
  w.settle();
  CHECK(w.flows() == 0);
}

}  // namespace
}  // namespace l4n::integration
