// A small seeded generator (splitmix64): the same numbers on every machine, at the cost of a few
// instructions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace l4n::fuzz {

class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

  [[nodiscard]] std::uint64_t next() noexcept {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31U);
  }
  // 0 to n - 1; 0 when n is 0.
  [[nodiscard]] std::size_t below(std::size_t n) noexcept {
    return n == 0 ? 0 : static_cast<std::size_t>(next() % n);
  }
  [[nodiscard]] bool one_in(std::size_t n) noexcept { return below(n) == 0; }
  [[nodiscard]] std::byte byte() noexcept { return static_cast<std::byte>(next()); }

 private:
  std::uint64_t state_;
};

}  // namespace l4n::fuzz
