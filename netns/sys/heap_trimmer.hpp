// Gives freed memory back to the system once a burst is over.
//
// malloc itself returns only what lies at the end of its heap: one small object there keeps the megabytes of
// thousands of flows that are gone. Trimming looks at the whole heap, so it waits until a second has passed
// in which hardly anything was destroyed. One flow is worth it: it may have held megabytes in small pieces.
#pragma once

#include <cstdint>

#include "netns/sys/event_loop.hpp"
#include "netns/sys/timers.hpp"

namespace l4n::sys {

// malloc_trim(3) where the C library has it; musl's malloc has nothing to trim.
void trim_heap() noexcept;

class HeapTrimmer final : public TurnHook, private TimerHandler {
 public:
  static constexpr Duration kCalm = std::chrono::seconds(1);
  // As many destroyed objects in that time are none.
  static constexpr std::uint64_t kBurst = 64;

  using Trim = void (*)() noexcept;

  HeapTrimmer(TimerQueue& timers, const Graveyard& graveyard, Trim trim) noexcept
      : graveyard_(graveyard), trim_(trim), timer_(timers, *this) {}

  bool on_turn_end() noexcept override;

 private:
  void on_timer() noexcept override;

  const Graveyard& graveyard_;
  Trim trim_;
  Timer timer_;  // armed while a trim is due
  std::uint64_t seen_ = 0;
};

}  // namespace l4n::sys
