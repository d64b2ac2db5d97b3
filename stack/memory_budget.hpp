// MemoryBudget: how much memory the guest's connections may hold, all together and each of them.
//
// Theory of operation. Each direction of each connection is an account. The first `guaranteed` bytes that an
// account holds are its own, whatever the others do; what it holds beyond them comes out of a pool. The pool
// and the guaranteed bytes of all accounts are the limit, so the limit holds by itself.
//
// Of the pool an account may have an eighth of what is free at that moment ("dynamic thresholds", Choudhury
// and Hahne 1998). One that is alone is not held back; many that want all get equal parts; and something
// stays free for those who come later or need little. All is arithmetic on three numbers: nobody walks over
// accounts.
//
// An open receive window is a promise that is not taken back (RFC 9293 3.8.6): the right edge stays where it
// is. Promises are made by promisable(), but are not charged: most are never used. When many are used at once
// and the pool runs dry, acceptable() says how much of an arriving segment is taken; the guest repeats the
// rest.
//
// What is charged is what is held, headers and half-empty buffers included.
#pragma once

#include <cstddef>

namespace l4n::stack {

class MemoryBudget {
 public:
  // `limit` in bytes; `connections`: the most there will be.
  MemoryBudget(std::size_t limit, std::size_t connections) noexcept;
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;
  ~MemoryBudget() = default;

  [[nodiscard]] std::size_t limit() const noexcept { return limit_; }
  [[nodiscard]] std::size_t guaranteed() const noexcept { return guaranteed_; }
  [[nodiscard]] std::size_t in_use() const noexcept { return in_use_; }
  [[nodiscard]] std::size_t peak() const noexcept { return peak_; }
  // The most that one account may want to hold now.
  [[nodiscard]] std::size_t threshold() const noexcept { return guaranteed_ + pool_free() / 8; }
  // Whether it is time to spend work on saving memory.
  [[nodiscard]] bool under_pressure() const noexcept { return pool_used_ > pool_ / 2; }

 private:
  friend class MemoryAccount;

  [[nodiscard]] std::size_t pool_free() const noexcept { return pool_used_ < pool_ ? pool_ - pool_used_ : 0; }
  [[nodiscard]] std::size_t of_pool(std::size_t held) const noexcept {
    return held > guaranteed_ ? held - guaranteed_ : 0;
  }
  void change(std::size_t from, std::size_t to) noexcept;

  const std::size_t limit_;
  const std::size_t guaranteed_;
  const std::size_t pool_;
  std::size_t in_use_ = 0;
  std::size_t pool_used_ = 0;
  std::size_t peak_ = 0;
};

class MemoryAccount {
 public:
  explicit MemoryAccount(MemoryBudget& budget) noexcept : budget_(budget) {}
  MemoryAccount(const MemoryAccount&) = delete;
  MemoryAccount& operator=(const MemoryAccount&) = delete;
  ~MemoryAccount() { budget_.change(held_, 0); }

  void charge(std::size_t bytes) noexcept { set(held_ + bytes); }
  void release(std::size_t bytes) noexcept { set(held_ - bytes); }
  [[nodiscard]] std::size_t held() const noexcept { return held_; }

  // How much more it may ask for, when `promised` is on its way already.
  [[nodiscard]] std::size_t promisable(std::size_t promised = 0) const noexcept;
  // How much can be taken of what was promised.
  [[nodiscard]] std::size_t acceptable() const noexcept;

  [[nodiscard]] MemoryBudget& budget() const noexcept { return budget_; }

 private:
  void set(std::size_t held) noexcept {
    budget_.change(held_, held);
    held_ = held;
  }

  MemoryBudget& budget_;
  std::size_t held_ = 0;
};

}  // namespace l4n::stack
