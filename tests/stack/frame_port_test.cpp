#include "stack/frame_port.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>

#include "tests/support/byte_string.hpp"

namespace l4n::stack {
namespace {

using test::ByteString;

// A port over one end of a socket pair with messages, as a TAP and the BESS socket have them.
struct Fixture {
  sys::Fd far;
  sys::Fd near;
  FrameBufferPool pool;

  Fixture() {
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
    far.reset(ends[0]);
    near.reset(ends[1]);
  }

  [[nodiscard]] ByteString receive() const {
    ByteString message(70000);
    const ssize_t n = ::recv(far.get(), message.data(), message.size(), 0);
    REQUIRE(n >= 0);
    message.resize(static_cast<std::size_t>(n));
    return message;
  }
};

sys::IoResult write_two(FramePort& port) {
  ByteString head = test::from_hex("00 01 02 03 04 05 06 07 08 09 aa bb cc");
  ByteString body = test::from_hex("dd ee");
  std::array<iovec, 2> parts{iovec{head.data(), head.size()}, iovec{body.data(), body.size()}};
  return port.write(parts);
}

TEST_CASE_FIXTURE(Fixture, "frame port: with virtio headers a frame goes out whole") {
  FdFramePort port(std::move(near), true, true);
  CHECK(port.has_vnet_header());
  CHECK(port.cuts_udp());
  const sys::IoResult result = write_two(port);
  CHECK(result.status == sys::IoStatus::done);
  CHECK(result.bytes == 15);
  CHECK(receive() == test::from_hex("00 01 02 03 04 05 06 07 08 09 aa bb cc dd ee"));
}

TEST_CASE_FIXTURE(Fixture, "frame port: without, the header is left out") {
  FdFramePort port(std::move(near), false, true);
  CHECK_FALSE(port.has_vnet_header());
  CHECK_FALSE(port.cuts_udp());  // has no place to say so
  CHECK(write_two(port).bytes == 5);
  CHECK(receive() == test::from_hex("aa bb cc dd ee"));
}

TEST_CASE_FIXTURE(Fixture, "frame port: reads one frame at a time") {
  FdFramePort port(std::move(near), false, false);
  const FrameBufferPtr buffer = pool.take();
  buffer->size = 99;
  CHECK(port.read(*buffer).status == sys::IoStatus::would_block);
  CHECK(buffer->size == 0);
  const ByteString first = test::text_bytes("first");
  const ByteString second(65000, std::byte{0x22});
  REQUIRE(::send(far.get(), first.data(), first.size(), 0) > 0);
  REQUIRE(::send(far.get(), second.data(), second.size(), 0) > 0);
  CHECK(port.read(*buffer).status == sys::IoStatus::done);
  CHECK(test::same_bytes(buffer->bytes(), first));
  CHECK(port.read(*buffer).bytes == second.size());
  CHECK(test::same_bytes(buffer->bytes(), second));
  far.reset();
  CHECK(port.read(*buffer).status == sys::IoStatus::end);
  CHECK(buffer->size == 0);
}

}  // namespace
}  // namespace l4n::stack
