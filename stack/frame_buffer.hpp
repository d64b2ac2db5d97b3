// Buffers for frames and for bulk data, large enough for the largest frame a TAP can carry.
//
// A buffer begins with room for lwIP's pbuf, so a frame that was read from the TAP can travel through lwIP
// to the host socket without being copied. Buffers come from mmap one by one: what the pool gives back is
// really returned to the system.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "netns/sys/bytes.hpp"

namespace l4n::stack {

class FrameBufferPool;

struct FrameBuffer {
  // virtio header + Ethernet + VLAN + the largest IP packet (IPv6: 40 + 65,535 bytes), rounded up.
  static constexpr std::size_t kCapacity = 65608;
  // Room for struct pbuf_custom; guest_tcp.cpp asserts that it suffices.
  static constexpr std::size_t kPbufRoom = 64;

  alignas(16) std::array<std::byte, kPbufRoom> pbuf_room;
  FrameBufferPool* pool;
  FrameBuffer* next_free;
  std::size_t size;  // bytes in use
  // 10 bytes of virtio header and 14 of Ethernet put the IP header on a multiple of 4.
  alignas(8) std::array<std::byte, kCapacity> data;

  [[nodiscard]] sys::MutableBytes bytes() noexcept { return {data.data(), size}; }
};

struct FrameBufferReturn {
  void operator()(FrameBuffer* buffer) const noexcept;
};
using FrameBufferPtr = std::unique_ptr<FrameBuffer, FrameBufferReturn>;

class FrameBufferPool {
 public:
  // The most unused buffers that are kept.
  static constexpr std::size_t kMostUnused = 256;
  // As many stay when nothing happens.
  static constexpr std::size_t kIdle = 1;

  FrameBufferPool() noexcept;
  FrameBufferPool(const FrameBufferPool&) = delete;
  FrameBufferPool& operator=(const FrameBufferPool&) = delete;
  // All buffers must have been given back.
  ~FrameBufferPool();

  // Null when the system has no memory.
  [[nodiscard]] FrameBufferPtr take() noexcept;
  // The same for what the guest sends: one buffer is kept for that, since a frame of the guest may be what
  // gives others back.
  [[nodiscard]] FrameBufferPtr take_for_frame() noexcept;
  // How often the system had no memory.
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }
  [[nodiscard]] std::size_t in_use() const noexcept { return in_use_; }
  [[nodiscard]] std::size_t unused() const noexcept { return free_count_; }
  // Gives the buffers back to the system that were not needed since the last call, but for kIdle.
  void give_back_idle() noexcept;

 private:
  friend struct FrameBufferReturn;
  void give_back(FrameBuffer* buffer) noexcept;

  FrameBuffer* map() noexcept;
  FrameBufferPtr hand_out(FrameBuffer& buffer) noexcept;
  void trim(std::size_t keep) noexcept;

  FrameBuffer* reserve_ = nullptr;  // null while it is in use
  FrameBuffer* free_ = nullptr;
  std::size_t free_count_ = 0;
  std::size_t fewest_free_ = 0;  // since the last give_back_idle()
  std::size_t in_use_ = 0;
  std::uint64_t refused_ = 0;
};

}  // namespace l4n::stack
