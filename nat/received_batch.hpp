// ReceivedBatch: datagrams of one size that one peer has sent, one after the other, to go to the guest as one
// frame (stack::GuestLink::send_udp_batch). Only what one event brought: nothing waits for more to come.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <span>

#include "nat/host_udp.hpp"
#include "stack/frame_buffer.hpp"

namespace l4n::nat {

class ReceivedBatch {
 public:
  // Receives: what one event may bring, so that the other flows have their turn.
  static constexpr std::size_t kMost = 32;
  // Payload bytes of one frame.
  static constexpr std::size_t kMostBytes = 65507;

  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  // Whether these may follow: same peer, same size, and nothing shorter went before.
  [[nodiscard]] bool takes(const HostUdp::Received& received) const noexcept;
  // `buffer` begins with what was received.
  void add(const HostUdp::Received& received, stack::FrameBufferPtr buffer) noexcept;
  void clear() noexcept;

  [[nodiscard]] const sys::Endpoint& source() const noexcept { return source_; }
  [[nodiscard]] std::span<const iovec> parts() const noexcept { return std::span(parts_).first(count_); }
  [[nodiscard]] std::size_t segment_size() const noexcept { return segment_size_; }
  [[nodiscard]] std::size_t datagrams() const noexcept {
    return segment_size_ == 0 ? count_ : (bytes_ + segment_size_ - 1) / segment_size_;
  }

 private:
  sys::Endpoint source_;
  std::size_t segment_size_ = 0;
  std::size_t bytes_ = 0;
  std::size_t count_ = 0;  // of parts_ and buffers_
  std::array<iovec, kMost> parts_{};
  std::array<stack::FrameBufferPtr, kMost> buffers_;
};

}  // namespace l4n::nat
