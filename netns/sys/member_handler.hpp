// Handlers that call a member function: for an object that watches several descriptors or waits for several
// timers, and wants a member of its own for each.
#pragma once

#include <cstdint>

#include "netns/sys/event_loop.hpp"
#include "netns/sys/timers.hpp"

namespace l4n::sys {

// Both are members of their owner, which therefore outlives them.

template <class Owner>
class MemberEvent final : public EventHandler {
 public:
  MemberEvent(Owner& owner, void (Owner::*action)()) noexcept : owner_(owner), action_(action) {}
  void on_event(std::uint32_t /*events*/) noexcept override { (owner_.*action_)(); }

 private:
  Owner& owner_;
  void (Owner::*action_)();
};

template <class Owner>
class MemberTimer final : public TimerHandler {
 public:
  MemberTimer(Owner& owner, void (Owner::*action)()) noexcept : owner_(owner), action_(action) {}
  void on_timer() noexcept override { (owner_.*action_)(); }

 private:
  Owner& owner_;
  void (Owner::*action_)();
};

}  // namespace l4n::sys
