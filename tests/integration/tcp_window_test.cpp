// Windows: slow readers, closed windows, lost updates, tiny windows, and guests without window scaling.
#include <doctest/doctest.h>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;

TEST_CASE("a guest that does not read gets no more than its buffer, and all of it later") {
  for (const std::uint32_t buffer : {1U, 100U, 1460U, 5000U, 65535U, 300'000U}) {
    CAPTURE(buffer);
    World w;
    PeerOptions options;
    options.buffer = buffer;
    options.reads = false;
    options.window_scale = buffer > 65535 ? std::optional<std::uint8_t>(3) : std::nullopt;
    GuestPeer& guest = w.connect(options);
    const Data data = random_data(buffer < 1000 ? 3000 : 400'000, buffer);
    w.host.last().write(data);
    w.advance(60s);
    CHECK(guest.received().size() <= buffer);
    CHECK(guest.received().size() >= buffer / 2);
    CHECK(w.flows() == 1);
    guest.set_reads(true);
    w.advance(buffer < 1000 ? 3000s : 60s);
    CHECK(guest.received() == data);
  }
}

TEST_CASE("a window update that is lost is found by probing") {
  for (const std::size_t extra : {1UL, 100'000UL}) {
    CAPTURE(extra);
    World w;
    PeerOptions options;
    options.buffer = 20'000;
    options.reads = false;
    options.window_scale.reset();
    GuestPeer& guest = w.connect(options);
    const Data data = random_data(20'000 + extra, 1);
    w.host.last().write(data);
    w.settle();
    REQUIRE(guest.window() == 0);
    w.port.set_fates_to_gateway([](const Packet&) { return Fate::drop; });
    guest.set_reads(true);  // the update goes nowhere
    w.settle();
    w.port.set_fates_to_gateway({});
    CHECK(guest.received().size() == 20'000);
    guest.forget();
    CHECK(w.advance_until(5s, [&] { return guest.received().size() == data.size(); }));
    CHECK(guest.received() == data);
  }
}

TEST_CASE("data that comes when the window is already closed is probed for, too") {
  World w;
  PeerOptions options;
  options.buffer = 20'000;
  options.reads = false;
  options.window_scale.reset();
  GuestPeer& guest = w.connect(options);
  Data data = random_data(20'000, 2);
  w.host.last().write(data);
  w.settle();
  REQUIRE(guest.window() == 0);
  w.advance(5s);
  CHECK(w.gateway->guest_tcp().ticking() == 0);  // nothing to send, nothing to wait for
  w.port.set_fates_to_gateway([](const Packet&) { return Fate::drop; });
  guest.set_reads(true);
  w.settle();
  w.port.set_fates_to_gateway({});
  const Data more = random_data(5'000, 3);
  w.host.last().write(more);
  append(data, more);
  CHECK(w.advance_until(5s, [&] { return guest.received().size() == data.size(); }));
  CHECK(guest.received() == data);
}

TEST_CASE("a guest that takes the byte of a probe and opens the window later") {
  World w;
  PeerOptions options;
  options.buffer = 1000;
  options.reads = false;
  options.window_scale.reset();
  GuestPeer& guest = w.connect(options);
  const Data data = random_data(3000, 5);
  w.host.last().write(data);
  w.settle();
  REQUIRE(guest.window() == 0);
  for (std::size_t i = 1; i <= 20; ++i) {  // room for one byte only, each time
    guest.read(1);
    w.advance(15s);
    CHECK(guest.received().size() == 1000 + i);
  }
  guest.set_reads(true);
  w.advance(30s);
  CHECK(guest.received() == data);
}

TEST_CASE("the probe carries the last byte over, and the connection goes on") {
  World w;
  PeerOptions options;
  options.buffer = 1000;
  options.reads = false;
  options.window_scale.reset();
  GuestPeer& guest = w.connect(options);
  const Data data = random_data(1001, 14);
  w.host.last().write(data);
  w.settle();
  REQUIRE(guest.window() == 0);
  guest.set_acknowledges(false);  // no word of the byte that becomes free
  guest.read(1);
  guest.set_acknowledges(true);
  w.advance(15s);
  CHECK(guest.received() == data);
  CHECK(guest.window() == 0);
  CHECK(w.gateway->guest_tcp().ticking() == 0);
  // The timer runs again, for a delayed acknowledgment, while the window is still closed.
  guest.send(bytes_of("x"));
  w.advance(15s);
  CHECK(w.host.last().received() == bytes_of("x"));
  const Data more = random_data(5000, 15);
  w.host.last().write(more);
  w.advance(15s);
  guest.set_reads(true);
  w.advance(15s);
  CHECK(guest.received().size() == data.size() + more.size());
}

TEST_CASE("a window that shrinks to nothing in the middle of a transfer") {
  World w;
  PeerOptions options;
  options.acknowledges = false;
  GuestPeer& guest = w.peer(options);
  guest.connect();
  w.settle();
  guest.acknowledge();
  w.settle();
  const Data data = random_data(500'000, 6);
  w.host.last().write(data);
  w.settle();
  REQUIRE(guest.received().size() > 10'000);
  REQUIRE(guest.received().size() < data.size());
  // The guest acknowledges it all, and takes the rest of its window back.
  guest.set_window(0);
  guest.acknowledge();
  w.settle();
  const std::size_t so_far = guest.received().size();
  w.advance(5s);
  CHECK(guest.received().size() <= so_far + 1);
  guest.set_window(std::nullopt);
  guest.set_acknowledges(true);
  guest.acknowledge();
  w.advance(10s);
  CHECK(guest.received() == data);
}

TEST_CASE("a window that is closed in the SYN, and opens with the third segment or later") {
  for (const std::uint32_t first : {0U, 1U, 100U}) {
    for (const bool later : {false, true}) {
      CAPTURE(first);
      CAPTURE(later);
      World w;
      GuestPeer& guest = w.peer();
      guest.set_window(first);
      guest.connect();
      if (later) {
        w.settle();
      }
      guest.set_window(std::nullopt);
      w.settle();
      const Data data = random_data(300'000, 13);
      w.host.last().write(data);
      if (later) {
        w.settle();
        guest.acknowledge();
      }
      w.settle();
      CHECK(guest.received() == data);
    }
  }
}

TEST_CASE("a window of one byte") {
  for (const bool scaling : {false, true}) {
    World w;
    PeerOptions options;
    options.buffer = 1;
    options.window_scale = scaling ? std::optional<std::uint8_t>(0) : std::nullopt;
    GuestPeer& guest = w.connect(options);
    const Data data = random_data(300, 7);
    w.host.last().write(data);
    w.advance(200s);
    CHECK(guest.received() == data);
    const Data up = random_data(50'000, 8);
    guest.send(up);
    w.settle();
    CHECK(w.host.last().received() == up);
  }
}

TEST_CASE("a guest without window scaling is never left waiting for a timer") {
  for (const std::size_t segment : {100UL, 536UL, 1460UL, 8000UL, 10'000UL, 16'000UL, 16'384UL, 30'000UL,
                                    32'768UL, 40'000UL, 65'000UL, 65'495UL}) {
    for (const bool scaling : {false, true}) {
      CAPTURE(segment);
      CAPTURE(scaling);
      World w;
      PeerOptions options;
      options.window_scale = scaling ? std::optional<std::uint8_t>(7) : std::nullopt;
      options.buffer = 65'535;
      options.largest_segment = segment;
      GuestPeer& guest = w.connect(options);
      guest.keep_headers_only();
      const Data up = random_data(segment < 1000 ? 200'000 : 800'000, 9);
      const Data down = random_data(800'000, 10);
      guest.send(up);
      w.settle();
      CHECK(w.host.last().received() == up);
      w.host.last().write(down);
      w.settle();
      CHECK(guest.received() == down);
      CHECK(guest.repetitions() == 0);
    }
  }
}

TEST_CASE("without scaling the window is never more than the field can tell") {
  World w;
  PeerOptions options;
  options.window_scale.reset();
  GuestPeer& guest = w.connect(options);
  w.host.last().allow(0);
  const Data data = random_data(200'000, 11);
  guest.send(data);
  w.advance(100ms);
  CHECK(guest.send_window() == 0);
  CHECK(guest.snd_una() - guest.options().isn - 1 == 65'535);
  w.host.last().allow(HostSocket::kUnlimited);
  w.advance(2s);
  CHECK(w.host.last().received() == data);
}

TEST_CASE("a closed window of ours answers probes and opens by itself") {
  for (const bool lost : {false, true}) {
    CAPTURE(lost);
    World w;
    GuestPeer& guest = w.connect();
    HostSocket& socket = w.host.last();
    socket.allow(0);
    const Data data = random_data(1'000'000, 12);
    guest.keep_headers_only();
    guest.send(data);
    w.advance(1s);
    REQUIRE(guest.send_window() == 0);
    const std::uint32_t taken = guest.snd_una();
    w.advance(60s);  // the guest probes
    CHECK(guest.repetitions() > 2);
    // A scaled window of 0 may still be a few bytes.
    CHECK(guest.snd_una() - taken < 256);  // a scaled window of 0 may still be a few bytes
    if (lost) {
      w.port.set_fates_to_guest([](const Packet&) { return Fate::drop; });
    }
    socket.allow(HostSocket::kUnlimited);
    w.settle();
    w.port.set_fates_to_guest({});
    w.advance(120s);
    CHECK(socket.received() == data);
  }
}

TEST_CASE("what lies beyond our window is not taken") {
  World w;
  PeerOptions options;
  options.acknowledges = false;
  options.window_scale.reset();
  GuestPeer& guest = w.peer(options);
  guest.connect();
  w.settle();
  guest.acknowledge();
  w.settle();
  w.host.last().allow(0);
  Data sent;
  for (int i = 0; i < 10; ++i) {
    const Data piece = random_data(10'000, static_cast<std::uint32_t>(i));
    TcpSegment segment = guest.make(Flags::kAck | Flags::kPsh, piece);
    segment.seq = guest.options().isn + 1 + static_cast<std::uint32_t>(sent.size());
    guest.raw(segment);
    append(sent, piece);
  }
  w.settle();
  w.host.last().allow(HostSocket::kUnlimited);
  w.settle();
  sent.resize(65'535);
  CHECK(w.host.last().received() == sent);
}

}  // namespace
}  // namespace l4n::integration
