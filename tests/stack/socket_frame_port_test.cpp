#include "stack/socket_frame_port.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>

#include "netns/sys/clock.hpp"
#include "netns/sys/event_loop.hpp"
#include "tests/support/byte_string.hpp"

namespace l4n::stack {
namespace {

using test::ByteString;

class Reader final : public sys::EventHandler {
 public:
  void on_event(std::uint32_t /*events*/) noexcept override { ++events; }
  int events = 0;
};

struct Fixture {
  sys::SystemClock clock;
  std::unique_ptr<sys::EventLoop> loop = *sys::EventLoop::create(clock);
  sys::Fd far;
  FrameBufferPool pool;
  Reader reader;
  std::unique_ptr<SocketFramePort> port;

  Fixture() {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
    far.reset(ends[0]);
    port = std::make_unique<SocketFramePort>(sys::Fd(ends[1]));
    REQUIRE(port->start(*loop, reader));
  }

  void turn() const { static_cast<void>(loop->turn(std::chrono::milliseconds(0))); }

  void send(const ByteString& message) const {
    REQUIRE(::send(far.get(), message.data(), message.size(), 0) == static_cast<ssize_t>(message.size()));
  }

  // Empty: nothing there.
  [[nodiscard]] ByteString receive() const {
    ByteString message(70000);
    const ssize_t n = ::recv(far.get(), message.data(), message.size(), 0);
    message.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    return message;
  }

  // A frame of two parts after the virtio header: its number, and filling.
  sys::IoResult write(unsigned number, std::size_t size) const {
    ByteString head(VnetHeader::kSize + 4);
    sys::store_be32(&head[VnetHeader::kSize], number);
    ByteString body(size - 4, std::byte{0x5a});
    std::array<iovec, 2> parts{iovec{head.data(), head.size()}, iovec{body.data(), body.size()}};
    return port->write(parts);
  }
};

TEST_CASE_FIXTURE(Fixture, "socket port: frames go out without a header, and come in one by one") {
  CHECK_FALSE(port->has_vnet_header());
  CHECK_FALSE(port->cuts_udp());
  CHECK(write(0x01020304, 6).bytes == 6);
  CHECK(receive() == test::from_hex("01 02 03 04 5a 5a"));
  send(test::text_bytes("first"));
  send(test::text_bytes("second"));
  turn();
  CHECK(reader.events == 1);
  const FrameBufferPtr buffer = pool.take();
  CHECK(port->read(*buffer).status == sys::IoStatus::done);
  CHECK(test::same_bytes(buffer->bytes(), test::text_bytes("first")));
  CHECK(port->read(*buffer).bytes == 6);
  CHECK(test::same_bytes(buffer->bytes(), test::text_bytes("second")));
  CHECK(port->read(*buffer).status == sys::IoStatus::would_block);
  CHECK(buffer->size == 0);
}

TEST_CASE_FIXTURE(Fixture, "socket port: what is no frame is passed over, the end is not") {
  const FrameBufferPtr buffer = pool.take();
  send({});
  send(ByteString(FrameBuffer::kCapacity + 1));
  send({});
  send(ByteString(FrameBuffer::kCapacity, std::byte{7}));
  CHECK(port->read(*buffer).bytes == FrameBuffer::kCapacity);
  CHECK(buffer->data.back() == std::byte{7});
  CHECK(port->read(*buffer).status == sys::IoStatus::would_block);
  send(test::text_bytes("last"));
  far.reset();
  CHECK(port->read(*buffer).bytes == 4);
  CHECK(port->read(*buffer).status == sys::IoStatus::end);
}

TEST_CASE_FIXTURE(Fixture, "socket port: a peer that sends nothing but empty messages does not keep us") {
  const FrameBufferPtr buffer = pool.take();
  for (int i = 0; i < 100; ++i) {
    send({});
  }
  send(test::text_bytes("frame"));
  int reads = 1;
  while (port->read(*buffer).status == sys::IoStatus::would_block && reads < 100) {
    ++reads;
  }
  CHECK(reads > 1);
  CHECK(test::same_bytes(buffer->bytes(), test::text_bytes("frame")));
}

TEST_CASE_FIXTURE(Fixture, "socket port: what the socket does not take waits, in order") {
  constexpr std::size_t kSize = 1500;
  unsigned written = 0;
  while (port->waiting() < 100 * kSize) {
    REQUIRE(write(written++, kSize).status == sys::IoStatus::done);
  }
  unsigned received = 0;
  while (received < written) {
    const ByteString frame = receive();
    if (frame.empty()) {
      REQUIRE(port->waiting() > 0);
      turn();  // EPOLLOUT
      continue;
    }
    REQUIRE(frame.size() == kSize);
    REQUIRE(sys::load_be32(frame.data()) == received++);
  }
  CHECK(port->waiting() == 0);
  CHECK(receive().empty());
  CHECK(reader.events == 0);
  // And the loop sleeps again: EPOLLOUT is no longer asked for.
  CHECK(write(0, kSize).status == sys::IoStatus::done);
  CHECK(port->waiting() == 0);
}

TEST_CASE_FIXTURE(Fixture, "socket port: not more than the limit waits") {
  constexpr std::size_t kSize = 60000;
  sys::IoResult result = write(0, kSize);
  for (unsigned i = 1; i < 1000 && result.status == sys::IoStatus::done; ++i) {
    result = write(i, kSize);
  }
  CHECK(result.status == sys::IoStatus::would_block);
  CHECK(port->waiting() <= SocketFramePort::kMostWaiting);
  CHECK(port->waiting() > SocketFramePort::kMostWaiting - kSize);
}

TEST_CASE_FIXTURE(Fixture, "socket port: what waits for a peer that has left is given up") {
  while (port->waiting() < 10000) {
    REQUIRE(write(0, 1500).status == sys::IoStatus::done);
  }
  far.reset();
  turn();
  CHECK(port->waiting() == 0);
  CHECK(reader.events == 1);
}

}  // namespace
}  // namespace l4n::stack
