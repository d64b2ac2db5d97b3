// WorkLimit: one kind of work, which may take at most a part of the time, and so much at once. What is left
// unused does not add up further.
#pragma once

#include <algorithm>

#include "netns/sys/clock.hpp"

namespace l4n::sys {

class WorkLimit {
 public:
  // `burst`: how long the work may take at once. `part`: 5 for a fifth of the time.
  constexpr WorkLimit(Duration burst, int part) noexcept : burst_(burst), part_(part), left_(burst) {}

  // Whether some of the work may be begun at `now`, which does not run backwards.
  [[nodiscard]] bool admit(Time now) noexcept {
    left_ = std::min(burst_, left_ + (now - last_) / part_);
    last_ = now;
    return left_ > Duration::zero();
  }
  // It has taken so long. That may be more than was left, and has to be made up for; but a process that was
  // stopped in the middle of it does not pay for all of that.
  void spend(Duration time) noexcept { left_ = std::max(left_ - time, -burst_); }
  // It is not to be counted after all.
  void give_back(Duration time) noexcept { left_ = std::min(left_ + time, burst_); }

 private:
  Duration burst_;
  int part_;
  Duration left_;
  Time last_{};
};

}  // namespace l4n::sys
