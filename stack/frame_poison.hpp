// Under AddressSanitizer, buffers that nobody uses and the room behind a frame are out of bounds; otherwise
// these functions do nothing. Frame buffers come from mmap and are as large as the largest frame, so without
// this no sanitizer would notice a read behind a short frame, or of one that was given back.
#pragma once

#include "stack/frame_buffer.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define L4N_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define L4N_POISON 1
#endif
#endif

#ifdef L4N_POISON
#include <sanitizer/asan_interface.h>
#endif

namespace l4n::stack {

// The whole buffer can be used.
inline void unpoison(FrameBuffer& buffer) noexcept {
#ifdef L4N_POISON
  __asan_unpoison_memory_region(&buffer, sizeof buffer);
#else
  static_cast<void>(buffer);
#endif
}

// Nobody holds the buffer: only the pool's own fields can be used.
inline void poison(FrameBuffer& buffer) noexcept {
#ifdef L4N_POISON
  __asan_poison_memory_region(buffer.pbuf_room.data(), buffer.pbuf_room.size());
  __asan_poison_memory_region(buffer.data.data(), buffer.data.size());
#else
  static_cast<void>(buffer);
#endif
}

// A frame has been read: there is nothing behind its `size` bytes.
inline void poison_behind_frame(FrameBuffer& buffer) noexcept {
#ifdef L4N_POISON
  __asan_poison_memory_region(buffer.data.data() + buffer.size, buffer.data.size() - buffer.size);
#else
  static_cast<void>(buffer);
#endif
}

}  // namespace l4n::stack
