// The injected clock: everything that waits takes its time from here, so tests and the fuzzer can turn it.
#pragma once

#include <chrono>

namespace l4n::sys {

using Duration = std::chrono::nanoseconds;
// Monotonic time since an arbitrary start.
using Time = std::chrono::time_point<std::chrono::steady_clock, Duration>;

class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;
  [[nodiscard]] virtual Time now() const noexcept = 0;
};

// CLOCK_MONOTONIC.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] Time now() const noexcept override { return std::chrono::steady_clock::now(); }
};

// Stands still until it is told to move.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] Time now() const noexcept override { return now_; }
  void advance(Duration by) noexcept { now_ += by; }

 private:
  Time now_{std::chrono::hours(1)};
};

}  // namespace l4n::sys
