// RateLimit: so many events in a period, and as many at once. What is left unused does not add up further.
#pragma once

#include <cstdint>

#include "netns/sys/clock.hpp"

namespace l4n::sys {

class RateLimit {
 public:
  // Periods begin with the first event after the last one has ended, so that two of them may meet: within any
  // period there are at most twice as many.
  constexpr RateLimit(std::uint32_t events, Duration period) noexcept : events_(events), period_(period) {}

  // Whether one more may happen at `now`, which does not run backwards. It is then counted.
  [[nodiscard]] bool admit(Time now) noexcept {
    if (now - begin_ >= period_) {
      begin_ = now;
      used_ = 0;
    }
    if (used_ == events_) {
      return false;
    }
    ++used_;
    return true;
  }

 private:
  std::uint32_t events_;
  std::uint32_t used_ = 0;
  Duration period_;
  Time begin_{};
};

}  // namespace l4n::sys
