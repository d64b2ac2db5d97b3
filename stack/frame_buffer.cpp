#include "stack/frame_buffer.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <utility>

#include "stack/frame_poison.hpp"

namespace l4n::stack {
namespace {

void unmap(FrameBuffer& buffer) noexcept {
  unpoison(buffer);  // whoever gets these pages next
  ::munmap(&buffer, sizeof buffer);
}

}  // namespace

void FrameBufferReturn::operator()(FrameBuffer* buffer) const noexcept { buffer->pool->give_back(buffer); }

FrameBufferPool::FrameBufferPool() noexcept : reserve_(map()) {}

FrameBufferPool::~FrameBufferPool() {
  trim(0);
  if (reserve_ != nullptr) {
    unmap(*reserve_);
  }
}

// Null without memory.
FrameBuffer* FrameBufferPool::map() noexcept {
  void* memory =
      ::mmap(nullptr, sizeof(FrameBuffer), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return nullptr;
  }
  // Default initialisation: the data must not be touched, or every buffer would cost 64 KiB at once.
  auto* buffer = ::new (memory) FrameBuffer;
  buffer->pool = this;
  return buffer;
}

FrameBufferPtr FrameBufferPool::hand_out(FrameBuffer& buffer) noexcept {
  unpoison(buffer);
  buffer.next_free = nullptr;
  buffer.size = 0;
  ++in_use_;
  return FrameBufferPtr(&buffer);
}

FrameBufferPtr FrameBufferPool::take() noexcept {
  FrameBuffer* buffer = free_;
  if (buffer != nullptr) {
    free_ = buffer->next_free;
    --free_count_;
    fewest_free_ = std::min(fewest_free_, free_count_);
  } else if (buffer = map(); buffer == nullptr) {
    ++refused_;
    return nullptr;
  }
  return hand_out(*buffer);
}

FrameBufferPtr FrameBufferPool::take_for_frame() noexcept {
  FrameBufferPtr buffer = take();
  if (buffer == nullptr && reserve_ != nullptr) {
    buffer = hand_out(*std::exchange(reserve_, nullptr));
  }
  return buffer;
}

void FrameBufferPool::give_back(FrameBuffer* buffer) noexcept {
  --in_use_;
  poison(*buffer);
  if (reserve_ == nullptr) {
    reserve_ = buffer;
    return;
  }
  buffer->next_free = free_;
  free_ = buffer;
  ++free_count_;
  if (free_count_ > kMostUnused) {
    trim(kMostUnused);
  }
}

void FrameBufferPool::give_back_idle() noexcept {
  const std::size_t idle = fewest_free_ > kIdle ? fewest_free_ - kIdle : 0;
  trim(free_count_ - std::min(idle, free_count_));
  fewest_free_ = free_count_;
}

void FrameBufferPool::trim(std::size_t keep) noexcept {
  while (free_count_ > keep) {
    FrameBuffer* buffer = free_;
    free_ = buffer->next_free;
    --free_count_;
    unmap(*buffer);
  }
}

}  // namespace l4n::stack
