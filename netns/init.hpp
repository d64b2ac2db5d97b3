// The command of `run`, and the init process that looks after it in namespaces of their own.
//
// Init is the first process of a PID namespace: when it ends, the kernel kills whatever still lives there,
// daemons that have cut all ties included, whoever they have become. No search for descendants could promise
// that, least of all after the worker was killed. Init also keeps its rights over the command where the
// worker has given them up, so it is init that passes signals on.
//
// The worker's end is class Init. Both ends talk over a socketpair in messages of one fixed struct.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include "netns/execute.hpp"
#include "netns/sys/fd.hpp"
#include "netns/sys/ip_address.hpp"
#include "netns/sys/result.hpp"

namespace l4n::netns {

// What a command inherits that we have changed for ourselves.
struct CommandSignals {
  sigset_t mask{};
  struct sigaction child {};  // of SIGCHLD: where it is ignored we could not wait for anybody
};

struct InitRequest {
  std::vector<std::string> command;  // with its arguments; at least one word
  CommandSignals signals;
  // The command's resolvers; none: its resolv.conf is left alone.
  std::vector<sys::IpAddress> nameservers;
  std::string resolv_conf_path = "/etc/resolv.conf";  // the host's: where the rest of it comes from
  int terminal = -1;                                  // the controlling terminal, if any
  // The command becomes a process group, and the terminal's foreground; otherwise it stays in ours.
  bool own_group = false;
};

class Init {
 public:
  // What init has to tell while the command runs.
  struct News {
    enum class Kind {
      none,     // nothing now
      stopped,  // the command was stopped by `signal`: job control
      killed,   // the command was killed by `signal`; the end follows
      ended,    // init has ended, or is about to: reap() knows more when SIGCHLD comes
    };
    Kind kind = Kind::none;
    int signal = 0;
  };

  Init(sys::Fd channel, pid_t pid) noexcept : channel_(std::move(channel)), pid_(pid) {}
  Init(Init&& other) noexcept;
  Init& operator=(Init&&) = delete;
  // Ends whatever lives in the namespaces, and waits until it has ended.
  ~Init();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  // For EventLoop::add with EPOLLIN; non-blocking.
  [[nodiscard]] int fd() const noexcept { return channel_.get(); }

  // Lets the command begin.
  void start() noexcept;
  // Sends the command a signal. One that came from the terminal is not sent where the command is in our
  // process group, to the whole of which the terminal has sent it.
  void forward(int signal, bool from_terminal) noexcept;
  // We go on after a stop: so does the command, as the terminal's foreground if we are that.
  void resume(bool in_foreground) noexcept;

  // The next news, without waiting. Call until `none` or `ended`.
  [[nodiscard]] News read() noexcept;
  // The exit status (128+n for a signal) once init has ended, and with it all that lived there.
  [[nodiscard]] std::optional<int> reap() noexcept;

 private:
  sys::Fd channel_;
  pid_t pid_ = -1;
};

// Makes the namespaces, with init in them; returns when everything is in place there but the network and the
// command. SIGCHLD must be at its default. To be called while the process has one thread.
[[nodiscard]] sys::Result<Init> start_init(const InitRequest& request);

}  // namespace l4n::netns
