#include "nat/received_batch.hpp"

namespace l4n::nat {
namespace {

std::size_t segment_of(const HostUdp::Received& received) noexcept {
  return received.segment_size == 0 ? received.bytes : received.segment_size;
}

}  // namespace

bool ReceivedBatch::takes(const HostUdp::Received& received) const noexcept {
  if (count_ == 0) {
    return true;
  }
  const bool last_was_whole = bytes_ == 0 ? false : bytes_ % segment_size_ == 0;
  const std::size_t segment = segment_of(received);
  // A shorter datagram may be the last one; a shorter batch would have segments of another size.
  const bool same_size = segment == segment_size_ || (received.segment_size == 0 && segment < segment_size_);
  return count_ < kMost && received.source == source_ && last_was_whole && same_size && received.bytes > 0 &&
         bytes_ + received.bytes <= kMostBytes;
}

void ReceivedBatch::add(const HostUdp::Received& received, stack::FrameBufferPtr buffer) noexcept {
  if (count_ == 0) {
    source_ = received.source;
    segment_size_ = segment_of(received);
  }
  parts_[count_] = {buffer->data.data(), received.bytes};
  buffers_[count_] = std::move(buffer);
  bytes_ += received.bytes;
  ++count_;
}

void ReceivedBatch::clear() noexcept {
  while (count_ > 0) {
    buffers_[--count_].reset();
  }
  bytes_ = 0;
  segment_size_ = 0;
}

}  // namespace l4n::nat
