#include "stack/frame_buffer.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace l4n::stack {
namespace {

std::vector<FrameBufferPtr> take_many(FrameBufferPool& pool, std::size_t n) {
  std::vector<FrameBufferPtr> buffers;
  for (std::size_t i = 0; i < n; ++i) {
    buffers.push_back(pool.take());
    REQUIRE(buffers.back() != nullptr);
  }
  return buffers;
}

TEST_CASE("frame buffer: a fresh one") {
  FrameBufferPool pool;
  CHECK(pool.in_use() == 0);
  CHECK(pool.unused() == 0);
  const FrameBufferPtr buffer = pool.take();
  REQUIRE(buffer);
  CHECK(pool.in_use() == 1);
  CHECK(buffer->size == 0);
  CHECK(buffer->bytes().empty());
  // Every byte is ours, and an IP header behind the virtio and Ethernet headers is aligned.
  buffer->data.fill(std::byte{0x5a});
  buffer->pbuf_room.fill(std::byte{0x5a});
  CHECK(reinterpret_cast<std::uintptr_t>(buffer->data.data() + 24) % 4 == 0);
  CHECK(reinterpret_cast<std::uintptr_t>(buffer->pbuf_room.data()) % 16 == 0);
  buffer->size = 3;
  CHECK(buffer->bytes().size() == 3);
  CHECK(buffer->bytes().data() == buffer->data.data());
}

TEST_CASE("frame buffer: one that comes back is used again, as if it were fresh") {
  FrameBufferPool pool;
  FrameBufferPtr buffer = pool.take();
  buffer->size = 1500;
  const FrameBuffer* address = buffer.get();
  buffer.reset();
  CHECK(pool.in_use() == 0);
  CHECK(pool.unused() == 1);
  buffer = pool.take();
  CHECK(buffer.get() == address);
  CHECK(buffer->size == 0);
  CHECK(pool.unused() == 0);
}

TEST_CASE("frame buffer: many are all different") {
  FrameBufferPool pool;
  const auto buffers = take_many(pool, 100);
  std::set<const FrameBuffer*> addresses;
  for (const FrameBufferPtr& buffer : buffers) {
    addresses.insert(buffer.get());
  }
  CHECK(addresses.size() == 100);
  CHECK(pool.in_use() == 100);
}

TEST_CASE("frame buffer: no more than so many unused ones are kept") {
  FrameBufferPool pool;
  take_many(pool, FrameBufferPool::kMostUnused + 50).clear();
  CHECK(pool.in_use() == 0);
  CHECK(pool.unused() == FrameBufferPool::kMostUnused);
}

TEST_CASE("frame buffer: what nobody needed since the last call goes back to the system") {
  struct Row {
    std::string description;
    std::size_t at_once;  // taken together, and given back, before the call
    std::size_t unused;   // after it
  };
  const std::vector<Row> rows = {
      {"the peak was just now: all may be needed again", 50, 50},
      {"still needed", 50, 50},
      {"twenty needed: the others go, but for the reserve", 20, 20 + FrameBufferPool::kIdle},
      {"the same need", 20, 20 + FrameBufferPool::kIdle},
      {"none needed", 0, FrameBufferPool::kIdle},
      {"still none: the reserve stays", 0, FrameBufferPool::kIdle},
      {"one of the reserve", 1, FrameBufferPool::kIdle},
      {"more than the reserve", 6, 6},
  };
  FrameBufferPool pool;
  for (const Row& row : rows) {
    CAPTURE(row.description);
    take_many(pool, row.at_once).clear();
    pool.give_back_idle();
    CHECK(pool.unused() == row.unused);
    CHECK(pool.in_use() == 0);
  }
}

TEST_CASE("frame buffer: as long as there is memory, the one that is kept for frames is not needed") {
  FrameBufferPool pool;
  const FrameBufferPtr frame = pool.take_for_frame();
  REQUIRE(frame);
  CHECK(pool.in_use() == 1);
  CHECK(pool.unused() == 0);
  CHECK(pool.refused() == 0);
}

TEST_CASE("frame buffer: those in use stay untouched") {
  FrameBufferPool pool;
  auto buffers = take_many(pool, 20);
  buffers[0]->data[0] = std::byte{0x77};
  buffers.resize(10);
  pool.give_back_idle();
  pool.give_back_idle();
  CHECK(pool.in_use() == 10);
  CHECK(pool.unused() == FrameBufferPool::kIdle);
  CHECK(buffers[0]->data[0] == std::byte{0x77});
}

}  // namespace
}  // namespace l4n::stack
