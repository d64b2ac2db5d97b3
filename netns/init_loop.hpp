// What init does while the command runs: reaps whatever ends, passes on what the worker asks for, keeps the
// command's resolv.conf in place. It ends when the command or the worker does, and everything with it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "netns/init_channel.hpp"
#include "netns/resolv_mount.hpp"
#include "netns/resolv_watch.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/sys/fd.hpp"
#include "netns/sys/member_handler.hpp"
#include "netns/sys/result.hpp"

namespace l4n::netns {

class InitLoop final {
 public:
  // `terminal`: -1 where there is none. All signals are blocked.
  InitLoop(sys::EventLoop& loop, int channel, int terminal, pid_t command, std::optional<ResolvMount> mount);

  [[nodiscard]] sys::Result<void> start();

 private:
  void on_children();
  void on_command(int status);
  void on_channel();
  void obey(const init_channel::Message& message) noexcept;
  [[nodiscard]] bool in_our_group() const noexcept;
  void resume(bool in_foreground) noexcept;
  void keep_resolv_conf() const;

  sys::EventLoop& loop_;
  int channel_;
  int terminal_;
  pid_t command_;
  std::optional<ResolvMount> mount_;
  std::optional<ResolvWatch> resolv_watch_;
  sys::Fd children_;
  sys::MemberEvent<InitLoop> child_watch_{*this, &InitLoop::on_children};
  sys::MemberEvent<InitLoop> channel_watch_{*this, &InitLoop::on_channel};
};

}  // namespace l4n::netns
