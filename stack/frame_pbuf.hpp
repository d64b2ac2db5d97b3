// A frame as a pbuf for lwIP, without a copy: the pbuf lies in the room at the beginning of its buffer.
#pragma once

#include <cstddef>

#include "netns/sys/bytes.hpp"
#include "stack/frame_buffer.hpp"

struct pbuf;

namespace l4n::stack {

// `bytes`, which lie in the frame, at most 65,535. The pbuf owns the frame.
[[nodiscard]] pbuf* frame_to_pbuf(FrameBufferPtr frame, sys::MutableBytes bytes) noexcept;

// Whether a pbuf was made so, and occupies a whole buffer.
[[nodiscard]] bool is_frame(const pbuf& p) noexcept;

}  // namespace l4n::stack
