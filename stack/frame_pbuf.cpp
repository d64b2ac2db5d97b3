#include "stack/frame_pbuf.hpp"

#include "lwip/pbuf.h"

namespace l4n::stack {
namespace {

static_assert(sizeof(pbuf_custom) <= FrameBuffer::kPbufRoom);

void free_frame(pbuf* p) noexcept { FrameBufferReturn()(reinterpret_cast<FrameBuffer*>(p)); }

}  // namespace

pbuf* frame_to_pbuf(FrameBufferPtr frame, sys::MutableBytes bytes) noexcept {
  auto* custom = reinterpret_cast<pbuf_custom*>(frame.release()->pbuf_room.data());
  custom->custom_free_function = free_frame;
  const auto length = static_cast<u16_t>(bytes.size());
  return pbuf_alloced_custom(PBUF_RAW, length, PBUF_REF, custom, bytes.data(), length);
}

bool is_frame(const pbuf& p) noexcept {
  return (p.flags & PBUF_FLAG_IS_CUSTOM) != 0 &&
         reinterpret_cast<const pbuf_custom*>(&p)->custom_free_function == free_frame;
}

}  // namespace l4n::stack
