#include "stack/receive_queue.hpp"

#include <algorithm>
#include <cstring>

#include "lwip/pbuf.h"
#include "stack/frame_buffer.hpp"
#include "stack/frame_pbuf.hpp"
#include "stack/queue_head.hpp"

namespace l4n::stack {
namespace {

// Less in a buffer of 64 KiB is moved out, so what waits costs at most twice what it is.
constexpr std::size_t kSparse = 32 * 1024;
// A block begins with what it has to hold and doubles, up to this.
constexpr std::size_t kLargestBlock = 16 * 1024;
constexpr std::size_t kSmallestBlock = 64;
// pbuf, alignment, the allocator's header.
constexpr std::size_t kBlockOverhead = 64;

}  // namespace

void ReceiveQueue::charge(Piece& piece, std::size_t bytes) noexcept {
  account_.charge(bytes);
  account_.release(piece.charged);
  piece.charged = static_cast<std::uint32_t>(bytes);
}

void ReceiveQueue::push(pbuf* chain) noexcept {
  for (pbuf* next = nullptr; chain != nullptr; chain = next) {
    // Keep the pieces one by one: each is freed when the host has taken it.
    next = chain->next;
    chain->next = nullptr;
    chain->tot_len = chain->len;
    if (chain->len == 0) {
      pbuf_free(chain);
      continue;
    }
    bytes_ += chain->len;
    Piece& piece = pieces_.emplace_back();
    piece.p = chain;
    if (is_frame(*chain)) {
      charge(piece, chain->len);
    }
  }
}

std::size_t ReceiveQueue::peek(std::span<iovec> parts) const noexcept {
  const std::size_t count = std::min(parts.size(), pieces_.size() - first_);
  for (std::size_t i = 0; i < count; ++i) {
    const pbuf* p = pieces_[first_ + i].p;
    parts[i] = {p->payload, p->len};
  }
  return count;
}

void ReceiveQueue::drop_first() noexcept {
  charge(pieces_[first_], 0);
  pbuf_free(pieces_[first_].p);
  ++first_;
  settled_ -= std::min<std::size_t>(settled_, 1);
}

void ReceiveQueue::consume(std::size_t n) noexcept {
  bytes_ -= n;
  while (n > 0) {
    pbuf* p = pieces_[first_].p;
    if (n < p->len) {
      pbuf_remove_header(p, n);
      break;
    }
    n -= p->len;
    drop_first();
  }
  drop_head(pieces_, first_);
}

void ReceiveQueue::clear() noexcept {
  while (first_ < pieces_.size()) {
    drop_first();
  }
  drop_head(pieces_, first_);
  bytes_ = 0;
}

void ReceiveQueue::compact() noexcept {
  const std::size_t begin = first_ + settled_;
  if (begin == pieces_.size()) {
    return;
  }
  std::vector<Piece> fresh(pieces_.begin() + static_cast<std::ptrdiff_t>(begin), pieces_.end());
  pieces_.resize(begin);
  for (const Piece& piece : fresh) {
    settle(piece);
  }
  settled_ = pieces_.size() - first_;
}

// Puts a piece to the end for good: into the last block, into a block of its own, or as it is.
void ReceiveQueue::settle(Piece piece) noexcept {
  const std::size_t size = piece.p->len;
  if (size < kSparse && append(*piece.p)) {
    charge(piece, 0);
    pbuf_free(piece.p);
    return;
  }
  if (is_frame(*piece.p)) {
    charge(piece, sizeof(FrameBuffer));
  }
  pieces_.push_back(piece);
}

// False without memory.
bool ReceiveQueue::append(const pbuf& small) noexcept {
  const bool fits = first_ < pieces_.size() && pieces_.back().room >= small.len;
  if (!fits && !make_block(small.len)) {
    return false;
  }
  Piece& block = pieces_.back();
  std::memcpy(static_cast<std::byte*>(block.p->payload) + block.p->len, small.payload, small.len);
  block.p->len = static_cast<u16_t>(block.p->len + small.len);
  block.p->tot_len = block.p->len;
  block.room -= small.len;
  return true;
}

// Makes the last piece a block with room for `size` more bytes: a small one grows, else there is a new one.
bool ReceiveQueue::make_block(std::size_t size) noexcept {
  const bool has_block = first_ < pieces_.size() && pieces_.back().block;
  const std::size_t old = has_block ? pieces_.back().p->len : 0;
  const bool grows = has_block && old + size <= kLargestBlock;
  const std::size_t capacity =
      grows ? std::clamp(2 * old, old + size, kLargestBlock) : std::max(size, kSmallestBlock);
  pbuf* p = pbuf_alloc(PBUF_RAW, static_cast<u16_t>(capacity), PBUF_RAM);
  if (p == nullptr) {
    return false;
  }
  p->len = 0;
  if (grows) {
    Piece& last = pieces_.back();
    std::memcpy(p->payload, last.p->payload, old);
    p->len = static_cast<u16_t>(old);
    pbuf_free(last.p);
    last.p = p;
  } else {
    pieces_.push_back({.p = p, .block = true});
  }
  p->tot_len = p->len;
  pieces_.back().room = static_cast<std::uint32_t>(capacity - p->len);
  charge(pieces_.back(), capacity + kBlockOverhead);
  return true;
}

}  // namespace l4n::stack
