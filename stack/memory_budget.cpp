#include "stack/memory_budget.hpp"

#include <algorithm>

namespace l4n::stack {
namespace {

// A quarter of the limit is guaranteed, but no account needs more than one large segment for itself.
std::size_t guaranteed_of(std::size_t limit, std::size_t accounts) noexcept {
  constexpr std::size_t kMostGuaranteed = 64 * 1024;
  return std::min(limit / 4 / accounts, kMostGuaranteed);
}

}  // namespace

MemoryBudget::MemoryBudget(std::size_t limit, std::size_t connections) noexcept
    : limit_(limit),
      guaranteed_(guaranteed_of(limit, 2 * connections)),
      pool_(limit - guaranteed_ * 2 * connections) {}

void MemoryBudget::change(std::size_t from, std::size_t to) noexcept {
  in_use_ += to - from;
  pool_used_ += of_pool(to) - of_pool(from);
  peak_ = std::max(peak_, in_use_);
}

std::size_t MemoryAccount::promisable(std::size_t promised) const noexcept {
  const std::size_t threshold = budget_.threshold();
  const std::size_t taken = held_ + promised;
  return threshold > taken ? threshold - taken : 0;
}

std::size_t MemoryAccount::acceptable() const noexcept {
  const std::size_t own = budget_.guaranteed() > held_ ? budget_.guaranteed() - held_ : 0;
  return own + budget_.pool_free();
}

}  // namespace l4n::stack
