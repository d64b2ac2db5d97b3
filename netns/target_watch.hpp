// Notices the target's end. An open TAP keeps its network namespace alive, so nothing ends by itself.
//
// Two stages: first the process (pidfd, or /proc/PID polled) or the path that named the namespace; once that
// is gone, the processes that may still live in the namespace, found by a look through /proc. Only when we
// see none of them the target is gone.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "netns/sys/event_loop.hpp"
#include "netns/target.hpp"

namespace l4n::netns {

class TargetWatch final : private sys::EventHandler, private sys::TimerHandler {
 public:
  // `gone` is called once. `loop` must outlive the watch.
  TargetWatch(sys::EventLoop& loop, WatchedTarget target, std::function<void()> gone);
  TargetWatch(const TargetWatch&) = delete;
  TargetWatch& operator=(const TargetWatch&) = delete;
  ~TargetWatch();

  void start();

 private:
  void on_event(std::uint32_t events) noexcept override;
  void on_timer() noexcept override;
  void check();
  [[nodiscard]] bool named_target_exists() const;

  sys::EventLoop& loop_;
  WatchedTarget target_;
  std::function<void()> gone_;
  sys::Timer timer_;
  bool named_ended_ = false;  // stage two
  bool seen_;                 // the namespace was in visible use: only then its absence means anything
  int empty_looks_ = 0;       // consecutive looks that found nobody
};

// Whether any process that we may look at lives in the namespace. The caller and its parent do not count.
[[nodiscard]] bool netns_has_processes(const NetnsIdentity& netns, const std::string& proc = "/proc");

}  // namespace l4n::netns
