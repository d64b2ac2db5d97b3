// The system has no memory for frame buffers: what waits does so without work, what cannot wait is lost, and
// all goes on once there is some.
#include "tests/integration/support/no_memory.hpp"

#include <doctest/doctest.h>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;

const sys::Endpoint kUdpPeer{sys::make_ipv4(192, 0, 2, 1), 7};

PeerOptions from_port(std::uint16_t port) {
  PeerOptions options;
  options.local.port = port;
  options.buffer = 6 * 1024 * 1024;
  return options;
}

const stack::FrameBufferPool& buffers(const World& w) { return w.gateway->guest_tcp().buffers(); }

// A connection of which every unused buffer is on its way to the guest.
class Hog {
 public:
  explicit Hog(World& w) : world_(w), guest_(w.connect(from_port(50'000))), socket_(w.host.last()) {}

  void take_all_buffers() {
    guest_.set_acknowledges(false);
    socket_.write(data_);
    world_.settle();
    REQUIRE(buffers(world_).unused() == 0);
    REQUIRE(socket_.unread() > 0);
  }
  // The guest acknowledges what it has.
  void give_back() {
    guest_.set_acknowledges(true);
    guest_.acknowledge();
  }
  [[nodiscard]] bool has_all() const { return guest_.received() == data_; }

 private:
  World& world_;
  GuestPeer& guest_;
  HostSocket& socket_;
  const Data data_ = random_data(2'000'000, 1);
};

TEST_CASE("a flow that gets no buffer looks now and then, and goes on when there is one") {
  World w;
  Hog hog(w);
  {
    const NoMemory none;
    hog.take_all_buffers();
    const std::size_t refusals = none.refusals();
    CHECK(refusals < 10);
    w.advance(1s);
    CHECK(none.refusals() > refusals);
    CHECK(none.refusals() < refusals + 100);
    CHECK(buffers(w).refused() == none.refusals());
  }
  w.advance(1s);
  hog.give_back();
  w.advance(1s);
  CHECK(hog.has_all());
}

TEST_CASE("many flows without buffers take turns") {
  World w;
  std::vector<HostSocket*> sockets;
  std::vector<GuestPeer*> guests;
  for (std::uint16_t i = 0; i < 200; ++i) {
    guests.push_back(&w.connect(from_port(static_cast<std::uint16_t>(20'000 + i))));
    sockets.push_back(&w.host.last());
  }
  Hog hog(w);
  const Data data = random_data(100, 2);
  {
    const NoMemory none;
    hog.take_all_buffers();
    for (HostSocket* socket : sockets) {
      socket->write(data);
    }
    w.settle();
    const std::size_t refusals = none.refusals();
    w.advance(1s);
    CHECK(none.refusals() < refusals + 50 * 70);
  }
  w.advance(1s);
  for (const GuestPeer* guest : guests) {
    CHECK(guest->received() == data);
  }
}

TEST_CASE("an acknowledgment is read although no buffer is left, and gives others back") {
  World w;
  Hog hog(w);
  const NoMemory none;
  hog.take_all_buffers();
  hog.give_back();
  w.advance(10s);
  CHECK(hog.has_all());
}

TEST_CASE("frames are lost while even the last buffer is in use, and do not keep the loop busy") {
  World w;
  GuestPeer& guest = w.connect(from_port(40'000));
  HostSocket& blocked = w.host.last();
  Hog hog(w);
  const Data data = random_data(200'000, 3);
  {
    const NoMemory none;
    hog.take_all_buffers();
    blocked.allow(0);
    guest.set_largest_segment(60'000);
    guest.send(data);
    w.settle();
    CHECK(none.refusals() < 100);
    CHECK(w.gateway->counters().frames < w.port.injected_frames());
  }
  w.host.release_all();
  hog.give_back();
  w.advance(10s);
  CHECK(blocked.received() == data);
  CHECK(hog.has_all());
}

TEST_CASE("datagrams are lost without buffers, and do not keep the loop busy") {
  World w;
  w.send_udp(kUdpPeer, bytes_of("hello"));
  w.settle();
  HostUdpSocket& socket = w.host.udp.last();
  const auto forward = w.gateway->forwards().add(
      {nat::ForwardProtocol::udp, {sys::make_ipv4(0, 0, 0, 0), 5353}, {kGuestAddress, 53}});
  REQUIRE(forward);
  HostUdpSocket& forwarded = w.host.udp.last();
  Hog hog(w);
  {
    const NoMemory none;
    hog.take_all_buffers();
    for (int i = 0; i < 3; ++i) {
      socket.deliver(kUdpPeer, bytes_of("lost"));
      forwarded.deliver(kUdpPeer, bytes_of("lost"));
    }
    w.settle();
    CHECK(none.refusals() < 20);
    CHECK(w.datagrams().empty());
  }
  socket.deliver(kUdpPeer, bytes_of("arrives"));
  w.settle();
  REQUIRE(w.datagrams().size() == 1);
  CHECK(w.datagrams()[0].payload == bytes_of("arrives"));
  hog.give_back();
}

}  // namespace
}  // namespace l4n::integration
