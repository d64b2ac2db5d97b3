// Bytes, both ways, under every size of segment, window and socket buffer: all of them, unchanged, in order.
#include <doctest/doctest.h>

#include <cerrno>
#include <random>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;

// Sends both data in pieces of random size, as if two applications wrote them at the same time.
void exchange(World& w, GuestPeer& guest, HostSocket& socket, const Data& up, const Data& down,
              std::uint32_t seed) {
  std::mt19937 random(seed);
  std::size_t up_at = 0;
  std::size_t down_at = 0;
  while (up_at < up.size() || down_at < down.size()) {
    const std::size_t largest = random() % 4 == 0 ? 60'000 : 3'000;
    const std::size_t n = std::min<std::size_t>(random() % largest + 1, up.size() - up_at);
    const std::size_t m = std::min<std::size_t>(random() % largest + 1, down.size() - down_at);
    guest.send(sys::Bytes(up).subspan(up_at, n));
    socket.write(sys::Bytes(down).subspan(down_at, m));
    up_at += n;
    down_at += m;
    if (random() % 3 == 0) {
      w.settle();
    }
  }
  w.settle();
}

struct Shape {
  unsigned mtu = 1500;
  bool vnet = true;
  std::optional<std::uint16_t> mss;
  std::optional<std::uint8_t> scale;
};

void check_shape(const Shape& shape, std::size_t size) {
  CAPTURE(shape.mtu);
  CAPTURE(shape.vnet);
  CAPTURE(shape.mss.value_or(0));
  CAPTURE(shape.scale.has_value());
  World w({.mtu = shape.mtu, .vnet = shape.vnet});
  PeerOptions options;
  options.mss = shape.mss;
  options.window_scale = shape.scale;
  options.buffer = shape.scale ? 1024 * 1024 : 65535;
  GuestPeer& guest = w.connect(options);
  const Data up = random_data(size, shape.mtu);
  const Data down = random_data(size, shape.mtu + 1);
  exchange(w, guest, w.host.last(), up, down, shape.mtu);
  CHECK(w.advance_until(10s, [&] { return guest.received().size() >= down.size(); }));
  CHECK(w.host.last().received() == up);
  CHECK(guest.received() == down);
  CHECK(guest.repetitions() == 0);
}

TEST_CASE("every MTU, with and without offloads") {
  for (const unsigned mtu : {576U, 1280U, 1500U, 4000U, 9000U, 16384U, 32768U, 65520U, 65521U}) {
    for (const bool vnet : {true, false}) {
      for (const bool scaling : {true, false}) {
        check_shape({mtu, vnet, static_cast<std::uint16_t>(mtu - 40),
                     scaling ? std::optional<std::uint8_t>(8) : std::nullopt},
                    150'000);
      }
    }
  }
}

TEST_CASE("every MSS of the guest") {
  for (const unsigned mtu : {1500U, 65521U}) {
    for (const std::uint16_t mss : std::initializer_list<std::uint16_t>{88, 216, 536, 1220, 1459, 1460, 4096,
                                                                        32767, 32768, 65480, 65481}) {
      check_shape({mtu, true, mss, 7}, 60'000);
      check_shape({mtu, false, mss, 7}, 60'000);
    }
  }
  check_shape({1500, true, std::nullopt, 7}, 60'000);
  check_shape({1500, false, std::nullopt, std::nullopt}, 60'000);
}

TEST_CASE("an MSS near zero does not multiply packets beyond reason") {
  for (const std::uint16_t mss : std::initializer_list<std::uint16_t>{0, 1, 8, 47, 48}) {
    CAPTURE(mss);
    World w;
    PeerOptions options;
    options.mss = mss;
    options.largest_segment = 500;
    GuestPeer& guest = w.peer(options);
    guest.connect();
    w.settle();
    const Data data = random_data(2000, mss);
    w.host.last().write(data);
    w.settle();
    CHECK(guest.received() == data);
  }
}

TEST_CASE("super-segments of the guest, up to the largest packet") {
  for (const std::size_t size : {1460UL, 1461UL, 2920UL, 16'384UL, 65'000UL, 65'495UL}) {
    CAPTURE(size);
    World w;
    PeerOptions options;
    options.largest_segment = size;
    GuestPeer& guest = w.connect(options);
    const Data data = random_data(1'000'000, 7);
    guest.send(data);
    w.advance(200ms);
    CHECK(w.host.last().received() == data);
    CHECK(guest.all_acknowledged());
  }
}

TEST_CASE("full checksums from the guest are taken as well as partial ones") {
  World w;
  PeerOptions options;
  options.checksum_offload = false;
  GuestPeer& guest = w.connect(options);
  const Data data = random_data(50'000, 8);
  guest.send(data);
  w.settle();
  CHECK(w.host.last().received() == data);
}

TEST_CASE("a host that takes little at a time") {
  for (const std::size_t most : {1UL, 7UL, 1000UL, 65'537UL}) {
    CAPTURE(most);
    World w;
    GuestPeer& guest = w.connect();
    w.host.last().limit_send(most);
    const Data data = random_data(most == 1 ? 3'000 : 300'000, 9);
    guest.send(data);
    w.settle();
    CHECK(w.host.last().received() == data);
  }
}

TEST_CASE("a host that gives little at a time") {
  for (const std::size_t most : {1UL, 7UL, 1000UL}) {
    CAPTURE(most);
    World w;
    GuestPeer& guest = w.connect();
    w.host.last().limit_receive(most);
    const Data data = random_data(most == 1 ? 3'000 : 100'000, 10);
    w.host.last().write(data);
    w.settle();
    CHECK(guest.received() == data);
  }
}

TEST_CASE("a host that blocks, and takes more later") {
  World w;
  GuestPeer& guest = w.connect();
  HostSocket& socket = w.host.last();
  socket.allow(0);
  const Data data = random_data(200'000, 11);
  guest.send(data);
  w.advance(5s);
  CHECK(socket.received().empty());
  std::mt19937 random(12);
  std::size_t allowed = 0;
  while (allowed < data.size()) {
    const std::size_t n = random() % 20'000 + 1;
    socket.allow(n);
    w.settle();
    allowed = std::min(allowed + n, data.size());
    CHECK(socket.received().size() == allowed);
  }
  CHECK(socket.received() == data);
}

TEST_CASE("a host that does not read closes the guest's window and costs no processor time") {
  World w;
  GuestPeer& guest = w.connect();
  HostSocket& socket = w.host.last();
  socket.allow(0);
  const Data data = random_data(3'000'000, 13);
  guest.keep_headers_only();
  guest.send(data);
  w.advance(1s);
  CHECK(guest.send_window() == 0);
  // The guest cannot store more than the cap of one direction in us.
  const std::size_t stored = guest.snd_una() - guest.options().isn - 1;
  CHECK(stored <= stack::GuestConnection::kInitialCap + 65535);
  const std::size_t sends = socket.sends();
  w.advance(30s);
  CHECK(socket.sends() == sends);  // nobody asks a blocked socket again and again
  socket.allow(HostSocket::kUnlimited);
  w.advance(60s);
  CHECK(socket.received() == data);
}

TEST_CASE("small pieces do not pin large buffers while the host is blocked") {
  World w;
  PeerOptions options;
  options.largest_segment = 10;
  GuestPeer& guest = w.connect(options);
  w.host.last().allow(0);
  const Data data = random_data(20'000, 14);
  guest.send(data);
  w.settle();
  CHECK(w.buffers() <= 1);
  w.host.last().allow(HostSocket::kUnlimited);
  w.settle();
  CHECK(w.host.last().received() == data);
}

TEST_CASE("both sides slow at once") {
  World w;
  PeerOptions options;
  options.buffer = 20'000;
  options.reads = false;
  GuestPeer& guest = w.connect(options);
  HostSocket& socket = w.host.last();
  socket.allow(0);
  const Data up = random_data(400'000, 15);
  const Data down = random_data(400'000, 16);
  guest.send(up);
  socket.write(down);
  std::mt19937 random(17);
  for (int i = 0; i < 2000 && (socket.received().size() < up.size() || guest.received().size() < down.size());
       ++i) {
    socket.allow(random() % 3000);
    guest.read(random() % 3000);
    w.advance(10ms);
  }
  socket.allow(HostSocket::kUnlimited);
  guest.set_reads(true);
  w.advance(60s);
  CHECK(socket.received() == up);
  CHECK(guest.received() == down);
}

TEST_CASE("a large transfer in each direction, the window opening on the way") {
  World w;
  PeerOptions options;
  options.buffer = 6 * 1024 * 1024;
  options.largest_segment = 60'000;
  GuestPeer& guest = w.connect(options);
  guest.keep_headers_only();
  const Data up = random_data(12'000'000, 18);
  const Data down = random_data(12'000'000, 19);
  guest.send(up);
  w.host.last().write(down);
  w.advance(1s);
  CHECK(w.host.last().received() == up);
  CHECK(guest.received() == down);
  // The window grew while it was what limited the guest, and no further than its cap.
  CHECK(guest.send_window() > stack::GuestConnection::kInitialCap);
  CHECK(guest.send_window() <= stack::GuestConnection::kLargestCap);
}

TEST_CASE("the host is gone, but what it sent before still arrives") {
  for (const int error : {ECONNRESET, EPIPE, ETIMEDOUT}) {
    CAPTURE(error);
    World w;
    GuestPeer& guest = w.connect();
    HostSocket& socket = w.host.last();
    const Data data = random_data(100'000, 20);
    socket.write(data);
    socket.reset(error);
    guest.send(bytes_of("nobody reads this"));
    w.settle();
    CHECK(guest.received() == data);
    CHECK(guest.was_reset());
    CHECK(w.flows() == 0);
  }
}

TEST_CASE("the host is gone, and a guest with a small window still gets all that it sent before") {
  World w;
  PeerOptions options;
  options.buffer = 8'000;
  options.reads = false;
  GuestPeer& guest = w.connect(options);
  HostSocket& socket = w.host.last();
  const Data data = random_data(60'000, 23);
  socket.write(data);
  socket.reset(ECONNRESET);
  guest.send(bytes_of("nobody reads this"));
  w.settle();
  CHECK(guest.established());
  for (int i = 0; i < 20 && guest.established(); ++i) {
    guest.read(4'000);
    w.advance(1s);
  }
  CHECK(guest.received() == data);
  CHECK(guest.was_reset());
}

TEST_CASE("a send finds the host gone before any event has told so") {
  World w;
  GuestPeer& guest = w.connect();
  HostSocket& socket = w.host.last();
  const Data data = random_data(100'000, 21);
  socket.write(data);
  w.settle();
  guest.forget();
  // More data and the reset arrive between two turns; the guest's segment is handled first.
  socket.write_unannounced(data);
  socket.break_sends(EPIPE);
  guest.send(bytes_of("nobody reads this"));
  w.settle();
  CHECK(guest.received().size() == 2 * data.size());
  socket.reset(ECONNRESET);
  w.settle();
  CHECK(guest.was_reset());
}

TEST_CASE("frames that the interface cannot take are repeated") {
  World w;
  GuestPeer& guest = w.connect();
  w.port.set_full(true);
  const Data data = random_data(30'000, 22);
  w.host.last().write(data);
  guest.send(data);
  w.advance(500ms);
  CHECK(guest.received().empty());
  w.port.set_full(false);
  w.advance(20s);
  CHECK(guest.received() == data);
  CHECK(w.host.last().received() == data);
  CHECK(guest.all_acknowledged());
}

TEST_CASE("a source address and a MAC address of the guest's own choice") {
  World w;
  PeerOptions options;
  options.local = {sys::make_ipv4(172, 16, 5, 5), 1234};
  GuestPeer& guest = w.connect(options);
  w.host.last().write(bytes_of("to the pod"));
  w.settle();
  CHECK(guest.received() == bytes_of("to the pod"));
}

}  // namespace
}  // namespace l4n::integration
