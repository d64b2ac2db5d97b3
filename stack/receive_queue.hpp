// ReceiveQueue: what the guest has sent and the host has not taken yet.
//
// A piece comes in the 64 KiB buffer that it was read into, and as a rule leaves in the same turn: then
// nothing is copied. When the host does not take it, compact() moves what is small into a block that holds
// what it carries and little more; so what waits costs about what it is, even if it came byte by byte.
//
// The account is charged for the bytes while nobody knows whether they stay, and for the whole of what holds
// them once they do.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "stack/memory_budget.hpp"

struct pbuf;

namespace l4n::stack {

class ReceiveQueue {
 public:
  explicit ReceiveQueue(MemoryAccount& account) noexcept : account_(account) {}
  ReceiveQueue(const ReceiveQueue&) = delete;
  ReceiveQueue& operator=(const ReceiveQueue&) = delete;
  ~ReceiveQueue() { clear(); }

  // Takes over a chain of pbufs: each a frame (FrameBuffer) or one that has been charged already.
  void push(pbuf* chain) noexcept;
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  // Fills `parts` with what waits, in order; returns how many parts are used.
  [[nodiscard]] std::size_t peek(std::span<iovec> parts) const noexcept;
  // The first `n` bytes are done with.
  void consume(std::size_t n) noexcept;
  void compact() noexcept;
  void clear() noexcept;

 private:
  struct Piece {
    pbuf* p = nullptr;
    std::uint32_t charged = 0;
    std::uint32_t room = 0;  // of a block: bytes behind its data that are free
    bool block = false;      // made by compact()
  };

  void drop_first() noexcept;
  [[nodiscard]] bool append(const pbuf& small) noexcept;
  [[nodiscard]] bool make_block(std::size_t size) noexcept;
  void settle(Piece piece) noexcept;
  void charge(Piece& piece, std::size_t bytes) noexcept;

  MemoryAccount& account_;
  std::vector<Piece> pieces_;
  std::size_t first_ = 0;    // index into pieces_
  std::size_t settled_ = 0;  // pieces from first_ on that compact() has dealt with
  std::size_t bytes_ = 0;
};

}  // namespace l4n::stack
