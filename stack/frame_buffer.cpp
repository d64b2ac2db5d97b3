#include "stack/frame_buffer.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "stack/frame_poison.hpp"

namespace l4n::stack {

void FrameBufferReturn::operator()(FrameBuffer* buffer) const noexcept { buffer->pool->give_back(buffer); }

FrameBufferPool::~FrameBufferPool() { trim(0); }

FrameBufferPtr FrameBufferPool::take() noexcept {
  FrameBuffer* buffer = free_;
  if (buffer != nullptr) {
    unpoison(*buffer);
    free_ = buffer->next_free;
    --free_count_;
    fewest_free_ = std::min(fewest_free_, free_count_);
  } else {
    void* memory =
        ::mmap(nullptr, sizeof(FrameBuffer), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      return nullptr;
    }
    // Default initialisation: the data must not be touched, or every buffer would cost 64 KiB at once.
    buffer = ::new (memory) FrameBuffer;
    buffer->pool = this;
  }
  buffer->next_free = nullptr;
  buffer->size = 0;
  ++in_use_;
  return FrameBufferPtr(buffer);
}

void FrameBufferPool::give_back(FrameBuffer* buffer) noexcept {
  --in_use_;
  poison(*buffer);
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
    unpoison(*buffer);  // whoever gets these pages next
    ::munmap(buffer, sizeof(FrameBuffer));
  }
}

}  // namespace l4n::stack
