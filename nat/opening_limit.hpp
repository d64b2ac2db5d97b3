// OpeningLimit: how much of the time goes into opening flows of one kind for the guest.
//
// A frame that opens a flow costs ten times as much as one of a flow that is open: a socket is made,
// connected and, in a flood, closed again soon. While that goes on nobody reads the guest's interface, and
// the frames of everybody else are lost there. So openings of which nothing comes have a part of the time,
// and what is beyond that is dropped before it has cost anything: SYNs, datagrams, pings and questions are
// repeated by those who mean them. What is answered is held against nobody, but when it took very long, as it
// does when the host has hardly any port left for a destination: that has half of the time.
#pragma once

#include <algorithm>

#include "netns/sys/timers.hpp"
#include "netns/sys/work_limit.hpp"

namespace l4n::nat {

// Of the time, for openings of which nothing comes: 8 is an eighth. All of them together leave almost half of
// it.
struct WastedPart {
  static constexpr int kTcp = 8;
  static constexpr int kUdp = 8;
  static constexpr int kPing = 16;
  static constexpr int kDns = 4;  // everybody needs names
};

class OpeningLimit {
 public:
  // What slow openings, and those of which nothing comes, may take at once: 25 and more than 500 as a rule.
  static constexpr sys::Duration kSlowBurst = std::chrono::milliseconds(50);
  static constexpr sys::Duration kWastedBurst = std::chrono::milliseconds(20);
  // An opening that took longer was slow: several times what it usually takes.
  static constexpr sys::Duration kUsual = std::chrono::microseconds(100);

  OpeningLimit(const sys::TimerQueue& timers, int wasted_part) noexcept
      : timers_(timers), wasted_(kWastedBurst, wasted_part) {}

  // Whether one more flow may be opened now.
  [[nodiscard]] bool admit() noexcept {
    const sys::Time now = timers_.now();
    return slow_.admit(now) && wasted_.admit(now);
  }

  // Takes the time while `open` makes what a flow needs of the host; returns what that returns.
  template <class F>
  auto timed(F&& open) {
    const sys::Time begin = timers_.now();
    auto opened = open();
    const sys::Duration taken = timers_.now() - begin;
    const sys::Duration usual = std::min(taken, kUsual);
    slow_.spend(taken - usual);
    average_ += (usual - average_) / kWeight;
    return opened;
  }
  // Nothing came of an opening. It was closed again for that, which costs about as much.
  void wasted() noexcept { wasted_.spend(2 * average_); }
  // Something came, after all, of one that was counted as wasted.
  void answered() noexcept { wasted_.give_back(2 * average_); }

 private:
  static constexpr int kWeight = 16;

  const sys::TimerQueue& timers_;
  sys::WorkLimit slow_{kSlowBurst, 2};
  sys::WorkLimit wasted_;
  sys::Duration average_{};  // of an opening that was not slow
};

}  // namespace l4n::nat
