// Timers on an injected clock: an indexed binary heap, so that arming and cancelling cost O(log n) and an
// idle process sleeps until the earliest deadline (or for ever).
//
// A Timer is a member of whatever waits; it cancels itself when destroyed and must not outlive its queue.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "netns/sys/clock.hpp"

namespace l4n::sys {

class TimerQueue;

class TimerHandler {
 public:
  // The timer has expired and is disarmed; it may be armed again or destroyed in here.
  virtual void on_timer() noexcept = 0;

 protected:
  ~TimerHandler() = default;
};

class Timer {
 public:
  Timer(TimerQueue& queue, TimerHandler& handler) noexcept : queue_(queue), handler_(handler) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { cancel(); }

  void arm(Duration after);  // from now; an armed timer is moved
  void cancel() noexcept;
  [[nodiscard]] bool armed() const noexcept { return index_ != kIdle; }

 private:
  friend class TimerQueue;
  static constexpr std::size_t kIdle = static_cast<std::size_t>(-1);

  TimerQueue& queue_;
  TimerHandler& handler_;
  Time deadline_{};
  std::size_t index_ = kIdle;  // position in the heap
};

class TimerQueue {
 public:
  explicit TimerQueue(const Clock& clock) noexcept : clock_(clock) {}
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  [[nodiscard]] Time now() const noexcept { return clock_.now(); }
  // The earliest deadline, or nothing when no timer is armed.
  [[nodiscard]] std::optional<Time> next_deadline() const noexcept;
  // Calls the handlers of all timers that are due at the time of the call. One that is armed again from
  // within waits for the next call, so a handler cannot keep this loop busy.
  void run_due() noexcept;
  [[nodiscard]] std::size_t armed_count() const noexcept { return heap_.size(); }

 private:
  friend class Timer;

  void insert(Timer& timer, Time deadline);
  void remove(Timer& timer) noexcept;
  void place(std::size_t index, Timer* timer) noexcept;
  void sift_up(std::size_t index) noexcept;
  void sift_down(std::size_t index) noexcept;

  const Clock& clock_;
  std::vector<Timer*> heap_;
};

}  // namespace l4n::sys
