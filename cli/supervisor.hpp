// Supervisor: the part of the worker that looks after the command of `run`. It passes signals on, stops and
// continues with the command as a job of the user's shell, and learns how the command ended.
//
// The command and we are either one process group (in a pipeline, without a terminal, in the background), and
// what the terminal sends to the group has reached the command already; or the command is a group of its own
// that has the terminal, and we do what the terminal would have done to the whole job had it been one group.
#pragma once

#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>

#include "cli/terminal.hpp"
#include "netns/init.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/sys/fd.hpp"
#include "netns/sys/member_handler.hpp"
#include "netns/sys/result.hpp"

namespace l4n::cli {

// Keeps the signals that are meant for the command until somebody reads them, for the life of the process.
class CommandSignals {
 public:
  // Also sets SIGCHLD to its default.
  static sys::Result<CommandSignals> hold();

  [[nodiscard]] const netns::CommandSignals& original() const noexcept { return original_; }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  // A signal that has come and asks for our end, before there is a command to pass it to; 0: none.
  [[nodiscard]] static int asked_to_end() noexcept;

 private:
  CommandSignals() = default;

  netns::CommandSignals original_;
  sys::Fd fd_;
};

class Supervisor {
 public:
  // `on_end` gets the exit status. All references outlive the supervisor.
  Supervisor(sys::EventLoop& loop, netns::Init& init, const Terminal& terminal, const CommandSignals& signals,
             std::function<void(int)> on_end);
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  ~Supervisor();

  // Lets the command begin and watches it.
  sys::Result<void> start();
  // The command has ended, by itself or by a signal.
  [[nodiscard]] bool ended() const noexcept { return has_ended_; }

 private:
  void on_signals();
  void on_init();
  void read_news();
  void stop_with_command(int signal);
  void reap();

  sys::EventLoop& loop_;
  netns::Init& init_;
  const Terminal& terminal_;
  const CommandSignals& signals_;
  std::function<void(int)> on_end_;
  int killed_by_ = 0;  // the command's end, if it was a signal
  bool has_ended_ = false;
  sys::MemberEvent<Supervisor> signal_watch_{*this, &Supervisor::on_signals};
  sys::MemberEvent<Supervisor> init_watch_{*this, &Supervisor::on_init};
};

}  // namespace l4n::cli
