// OpeningLimit: how much of the time goes into opening flows of one kind for the guest.
//
// A frame that opens a flow costs ten times as much as one of a flow that is open: a socket is made,
// connected and, in a flood, closed again soon. While that goes on nobody reads the guest's interface, and
// the frames of everybody else are lost there. So openings of which nothing comes have a fifth of the time,
// and what is beyond that is dropped before it has cost anything: SYNs, datagrams, pings and questions are
// repeated by those who mean them. What is answered is held against nobody, but when it took very long, as it
// does when the host has hardly any port left for a destination: that has half of the time.
#pragma once

#include <algorithm>

#include "netns/sys/timers.hpp"
#include "netns/sys/work_limit.hpp"

namespace l4n::nat {

class OpeningLimit {
 public:
  // At once, of either: more than a thousand flows as a rule.
  static constexpr sys::Duration kBurst = std::chrono::milliseconds(50);
  // An opening that took longer was slow: several times what it usually takes.
  static constexpr sys::Duration kUsual = std::chrono::microseconds(100);

  explicit OpeningLimit(const sys::TimerQueue& timers) noexcept : timers_(timers) {}

  // Whether one more flow may be opened now.
  [[nodiscard]] bool admit() noexcept { return slow_.admit(timers_.now()) && wasted_.admit(timers_.now()); }

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

 private:
  static constexpr int kWeight = 16;

  const sys::TimerQueue& timers_;
  sys::WorkLimit slow_{kBurst, 2};
  sys::WorkLimit wasted_{kBurst, 5};
  sys::Duration average_{};  // of an opening that was not slow
};

}  // namespace l4n::nat
