// Frames over a connected SOCK_SEQPACKET socket, one per message and without a virtio header: the form of the
// BESS switch's socket port, which User Mode Linux speaks.
//
// A TAP queues a thousand packets of any size; a socket takes some 200 KiB, far less than a TCP window. So
// what it does not take waits here.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "netns/sys/event_loop.hpp"
#include "stack/frame_port.hpp"

namespace l4n::stack {

class SocketFramePort final : public DescriptorPort, private sys::EventHandler {
 public:
  // Bytes that may wait. What does not fit is lost, as on any Ethernet.
  static constexpr std::size_t kMostWaiting = 8 * 1024 * 1024;

  explicit SocketFramePort(sys::Fd fd) noexcept : fd_(std::move(fd)) {}

  [[nodiscard]] int fd() const noexcept override { return fd_.get(); }
  [[nodiscard]] bool has_vnet_header() const noexcept override { return false; }
  // `end`: the peer has left. Messages that are empty or larger than any frame are passed over.
  [[nodiscard]] sys::IoResult read(FrameBuffer& into) noexcept override;
  [[nodiscard]] sys::IoResult write(std::span<iovec> parts) noexcept override;
  sys::Result<void> start(sys::EventLoop& loop, sys::EventHandler& reader) override;

  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_bytes_; }

 private:
  void on_event(std::uint32_t events) noexcept override;
  // False when the socket takes no more now.
  bool send_waiting() noexcept;
  [[nodiscard]] sys::IoResult wait(std::span<const iovec> parts);
  void want_writable(bool wanted) noexcept;

  sys::Fd fd_;
  sys::EventLoop* loop_ = nullptr;
  sys::EventHandler* reader_ = nullptr;
  std::deque<std::vector<std::byte>> waiting_;
  std::size_t waiting_bytes_ = 0;
  bool wants_writable_ = false;
};

}  // namespace l4n::stack
