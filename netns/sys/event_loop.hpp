// The one loop: epoll, timers, and the work that waits for the end of the turn.
//
// A turn is: wait, hand out the events, run the due timers, run the turn-end hooks (where flows are pumped
// once each, however many frames arrived for them), destroy what was buried during the turn. Nothing that
// an event may still name is destroyed before the end of its turn, so handlers need no care about order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "netns/sys/clock.hpp"
#include "netns/sys/fd.hpp"
#include "netns/sys/result.hpp"
#include "netns/sys/timers.hpp"

namespace l4n::sys {

class EventHandler {
 public:
  // `events` as in epoll_wait(2).
  virtual void on_event(std::uint32_t events) noexcept = 0;

 protected:
  ~EventHandler() = default;
};

class TurnHook {
 public:
  // Runs at the end of every turn. Returns true when it has work left: the next turn then does not sleep.
  virtual bool on_turn_end() noexcept = 0;

 protected:
  ~TurnHook() = default;
};

// Something whose destruction waits for the end of the turn.
class Buried {
 public:
  Buried() = default;
  Buried(const Buried&) = delete;
  Buried& operator=(const Buried&) = delete;
  virtual ~Buried() = default;
};

// Where objects go that must live until the end of the turn.
class Graveyard {
 public:
  void bury(std::unique_ptr<Buried> corpse) {
    corpses_.push_back(std::move(corpse));
    ++buried_;
  }
  void clear() noexcept;
  // How many there ever were.
  [[nodiscard]] std::uint64_t buried() const noexcept { return buried_; }

 private:
  std::vector<std::unique_ptr<Buried>> corpses_;
  std::uint64_t buried_ = 0;
};

class EventLoop {
 public:
  // `clock` must outlive the loop.
  static Result<std::unique_ptr<EventLoop>> create(const Clock& clock);
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop() = default;

  // Watches `fd` for `events` (EPOLLIN, EPOLLET, …). Events go to `handler` until remove(fd) or close(fd);
  // an event of the current turn that was queued for a removed descriptor is dropped.
  Result<void> add(int fd, std::uint32_t events, EventHandler& handler);
  Result<void> modify(int fd, std::uint32_t events);
  void remove(int fd) noexcept;
  // The same for a descriptor that is about to be closed, which makes the kernel forget it by itself.
  void forget(int fd) noexcept;

  [[nodiscard]] std::size_t watched() const noexcept { return watched_; }

  void add_turn_hook(TurnHook& hook) { hooks_.push_back(&hook); }

  [[nodiscard]] TimerQueue& timers() noexcept { return timers_; }
  [[nodiscard]] Graveyard& graveyard() noexcept { return graveyard_; }

  // One turn that sleeps at most `limit`. Errors only when epoll itself fails.
  Result<void> turn(Duration limit);
  // Turns until stop().
  Result<void> run();
  void stop() noexcept { stopped_ = true; }
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }

 private:
  // One slot per descriptor number, up to the largest that is watched. The generation, a new one with each
  // add(), tells events of an earlier owner of the same number.
  struct Slot {
    EventHandler* handler = nullptr;
    std::uint32_t generation = 0;
  };

  EventLoop(const Clock& clock, Fd epoll) noexcept
      : clock_(clock), timers_(clock), epoll_(std::move(epoll)) {}
  [[nodiscard]] int sleep_ms(Duration limit) const noexcept;
  void dispatch(std::uint64_t data, std::uint32_t events) noexcept;

  const Clock& clock_;
  TimerQueue timers_;
  Graveyard graveyard_;
  Fd epoll_;
  std::vector<Slot> slots_;
  std::uint32_t last_generation_ = 0;
  std::size_t watched_ = 0;
  std::vector<TurnHook*> hooks_;
  bool busy_ = false;  // a hook has work left
  bool stopped_ = false;
};

}  // namespace l4n::sys
