// The ports that carry frames over a descriptor, over socket pairs: what one side sends is what the other
// side gets, whole, once and in order, however slow its reader is.
//
// Input: a byte that says which port; then what happens, a byte each, with the size of a frame behind those
// that send one.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/input.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/support/fault.hpp"
#include "netns/sys/clock.hpp"
#include "netns/sys/event_loop.hpp"
#include "stack/frame_port.hpp"
#include "stack/packet.hpp"
#include "stack/socket_frame_port.hpp"

namespace l4n::fuzz {
namespace {

using Frame = std::vector<std::byte>;

constexpr std::size_t kVnet = stack::VnetHeader::kSize;
constexpr std::size_t kMostEvents = 64;
// So little that a few frames fill the socket.
constexpr int kSocketBuffer = 16 * 1024;

enum class Event { guest_sends, gateway_reads, gateway_sends, guest_reads, loop_turns };

Event take_event(Input& in) { return static_cast<Event>(in.u8() % 5); }

// Contents tell frames apart.
Frame make_frame(std::size_t size, unsigned number) {
  Frame frame(size);
  for (std::size_t i = 0; i < size; ++i) {
    frame[i] = static_cast<std::byte>(number * 31 + i);
  }
  return frame;
}

// A socket that keeps messages apart, as a TAP does.
class SocketPair {
 public:
  explicit SocketPair(int type) {
    std::array<int, 2> fds{};
    FUZZ_REQUIRE(::socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) == 0,
                 "cannot make a socket pair");
    gateway = sys::Fd(fds[0]);
    guest = sys::Fd(fds[1]);
    FUZZ_REQUIRE(::setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &kSocketBuffer, sizeof kSocketBuffer) == 0,
                 "cannot make a socket's buffer small");
  }

  sys::Fd gateway;
  sys::Fd guest;
};

enum class Kind { tap, tap_with_header, socket };

Kind take_kind(Input& in) { return static_cast<Kind>(in.u8() % 3); }

class World final : private sys::EventHandler {
 public:
  explicit World(Kind kind)
      : kind_(kind), pair_(kind == Kind::socket ? SOCK_SEQPACKET : SOCK_DGRAM), loop_(make_loop(clock_)) {
    if (kind == Kind::socket) {
      port_ = std::make_unique<stack::SocketFramePort>(std::move(pair_.gateway));
    } else {
      port_ =
          std::make_unique<stack::FdFramePort>(std::move(pair_.gateway), kind == Kind::tap_with_header, true);
    }
    FUZZ_REQUIRE(port_->has_vnet_header() == (kind == Kind::tap_with_header), "a port with another header");
    FUZZ_REQUIRE(port_->cuts_udp() == port_->has_vnet_header(), "a port that cuts what it cannot");
    FUZZ_REQUIRE(port_->start(*loop_, *this), "a port that cannot be watched");
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() { loop_->remove(port_->fd()); }

  void happen(Event event, Input& in) {
    switch (event) {
      case Event::guest_sends:
        return guest_sends(in.u16() % (kMostFrame + 1));
      case Event::gateway_reads:
        return gateway_reads();
      case Event::gateway_sends:
        return gateway_sends(in.in_range(stack::kEthernetHeaderSize, kMostFrame));
      case Event::guest_reads:
        static_cast<void>(guest_reads());
        return;
      case Event::loop_turns:
        return turn();
    }
  }

  // Nothing that was taken is lost; and the end is told.
  void finish() {
    while (!to_guest_.empty()) {
      const std::size_t before = to_guest_.size();
      turn();
      while (guest_reads()) {
      }
      FUZZ_REQUIRE(to_guest_.size() < before, "{} frames that never come", before);
    }
    while (!to_gateway_.empty()) {
      gateway_reads();
    }
    if (kind_ == Kind::socket) {
      pair_.guest.reset();
      FUZZ_REQUIRE(port_->read(buffer_).status == sys::IoStatus::end, "a peer's end that is not told");
    }
  }

 private:
  static constexpr std::uint32_t kMostFrame = 9000;

  static std::unique_ptr<sys::EventLoop> make_loop(const sys::Clock& clock) {
    auto loop = sys::EventLoop::create(clock);
    FUZZ_REQUIRE(loop, "cannot make a loop");
    return *std::move(loop);
  }

  void on_event(std::uint32_t /*events*/) noexcept override { told_ = true; }

  void turn() {
    told_ = false;
    FUZZ_REQUIRE(loop_->turn(sys::Duration::zero()), "the loop has failed");
    FUZZ_REQUIRE(told_ || to_gateway_.empty(), "frames of which nobody is told");
  }

  // An empty message is passed over; no TAP brings one.
  void guest_sends(std::size_t size) {
    if (size == 0 && kind_ != Kind::socket) {
      return;
    }
    const Frame frame = make_frame(size, ++number_);
    if (::send(pair_.guest.get(), frame.data(), frame.size(), MSG_NOSIGNAL) >= 0 && size > 0) {
      to_gateway_.push_back(frame);
    }
  }

  void gateway_reads() {
    sys::IoResult result = port_->read(buffer_);
    if (result.status == sys::IoStatus::would_block) {
      result = port_->read(buffer_);  // behind more empty messages than are passed over at once
    }
    if (to_gateway_.empty()) {
      FUZZ_REQUIRE(result.status == sys::IoStatus::would_block, "a frame that nobody has sent");
      return;
    }
    FUZZ_REQUIRE(result.status == sys::IoStatus::done && result.bytes == buffer_.size,
                 "a frame that is not read");
    if (fault("frame_port: byte changed")) {
      buffer_.data[0] ^= std::byte{1};
    }
    const sys::Bytes read = buffer_.bytes();
    const Frame& sent = to_gateway_.front();
    FUZZ_REQUIRE(std::equal(read.begin(), read.end(), sent.begin(), sent.end()),
                 "the gateway reads another frame");
    to_gateway_.pop_front();
  }

  void gateway_sends(std::size_t size) {
    Frame frame = make_frame(kVnet + size, ++number_);
    const std::size_t head = kVnet + size / 2;
    std::array<iovec, 2> parts{iovec{frame.data(), head}, iovec{frame.data() + head, frame.size() - head}};
    const sys::IoResult result = port_->write(parts);
    const std::size_t left_out = kind_ == Kind::tap_with_header ? 0 : kVnet;
    if (result.status == sys::IoStatus::done) {
      FUZZ_REQUIRE(result.bytes == frame.size() - left_out, "a frame of which {} bytes are sent",
                   result.bytes);
      to_guest_.emplace_back(frame.begin() + static_cast<std::ptrdiff_t>(left_out), frame.end());
      return;
    }
    FUZZ_REQUIRE(result.status == sys::IoStatus::would_block, "a frame that cannot be sent");
    FUZZ_REQUIRE(kind_ != Kind::socket, "a frame is lost for which there is room");
  }

  // False when nothing is there.
  bool guest_reads() {
    Frame frame(kVnet + kMostFrame + 1);
    const ssize_t n = ::recv(pair_.guest.get(), frame.data(), frame.size(), 0);
    if (n < 0) {
      return false;
    }
    frame.resize(static_cast<std::size_t>(n));
    FUZZ_REQUIRE(!to_guest_.empty() && frame == to_guest_.front(), "the guest reads another frame");
    to_guest_.pop_front();
    return true;
  }

  Kind kind_;
  sys::ManualClock clock_;
  SocketPair pair_;
  std::unique_ptr<sys::EventLoop> loop_;
  std::unique_ptr<stack::DescriptorPort> port_;
  stack::FrameBuffer buffer_{};
  std::deque<Frame> to_gateway_;
  std::deque<Frame> to_guest_;
  unsigned number_ = 0;
  bool told_ = false;
};

void run(sys::Bytes input) {
  Input in(input);
  const auto world = std::make_unique<World>(take_kind(in));  // a buffer of 64 KiB is too much for a stack
  for (std::size_t i = 0; i < kMostEvents && !in.empty(); ++i) {
    const Event event = take_event(in);
    world->happen(event, in);
  }
  world->finish();
}

}  // namespace

const Harness kHarness{run, print_hex, mutate_bytes};

}  // namespace l4n::fuzz
