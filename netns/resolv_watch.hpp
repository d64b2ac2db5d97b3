// Follows a resolv.conf through every way in which it is changed in practice.
//
// The file is looked up component by component as the kernel does it, and each directory on the way is
// watched *before* the name in it is looked up: a rename, a retargeted link (of the file or of a directory),
// a deletion, a creation of what was missing all show as an event on a name that the walk went through.
// The file itself is watched for writes. Whatever happens, the answer is the same: wait a moment for the
// change to be complete, walk again, read again, and tell the callback if the meaning changed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "netns/resolv_conf.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/sys/fd.hpp"

namespace l4n::netns {

class ResolvWatch final : private sys::EventHandler, private sys::TimerHandler {
 public:
  using Callback = std::function<void(const ResolvConf&)>;

  // How changes are noticed. `inotify` falls back to `polling` (each second) where it cannot be had.
  enum class Method { inotify, polling };

  // `path` must be absolute. `loop` must outlive the watch.
  ResolvWatch(sys::EventLoop& loop, std::string path, Callback changed);
  ResolvWatch(const ResolvWatch&) = delete;
  ResolvWatch& operator=(const ResolvWatch&) = delete;
  ~ResolvWatch();

  // Reads the file and starts to follow it; current() is valid from here on; the callback tells later
  // changes only.
  void start(Method method = Method::inotify);

  // What was read last. Empty when the file is missing; a file that became unreadable or malformed beyond
  // use (not regular, too long) leaves the earlier content in force.
  [[nodiscard]] const ResolvConf& current() const noexcept { return current_; }

 private:
  void on_event(std::uint32_t events) noexcept override;
  void on_timer() noexcept override;

  [[nodiscard]] bool reload();
  void arm_watches();
  void walk();
  void watch_name(const std::string& directory, const std::string& name);
  int add_watch(const std::string& path, std::uint32_t events);
  [[nodiscard]] bool is_relevant(int wd, std::uint32_t mask, const char* name) const;
  void settle();

  sys::EventLoop& loop_;
  std::string path_;
  Callback changed_;
  ResolvConf current_;
  sys::Fd inotify_;
  sys::Timer timer_;                            // the end of the debounce, or the next poll
  bool settling_ = false;                       // an event was seen and timer_ is its debounce
  bool complete_ = false;                       // every step of the walk is watched
  std::map<int, std::set<std::string>> names_;  // watch descriptor -> names in it that matter; none: a file
};

}  // namespace l4n::netns
