#include "netns/init.hpp"

#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "netns/close_descriptors.hpp"
#include "netns/init_channel.hpp"
#include "netns/init_loop.hpp"
#include "netns/resolv_conf.hpp"
#include "netns/resolv_mount.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/user_namespace.hpp"

namespace l4n::netns {
namespace {

using init_channel::Message;
using init_channel::receive;
using init_channel::Received;
using init_channel::send;
using sys::Error;
using sys::Fd;
using sys::Result;

// Before the command.

// Mounts of ours must not show outside; what the host mounts later may show inside.
Result<void> detach_mounts() {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return sys::errno_error("cannot detach the mounts from the host's");
  }
  return {};
}

// The processes of the new PID namespace. Refused in a container that hides parts of its own /proc: the old
// one then stays, which knows our processes by other numbers.
void mount_proc() noexcept {
  static_cast<void>(::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr));
}

Result<std::optional<ResolvMount>> mount_resolv_conf(const InitRequest& request) {
  if (request.nameservers.empty()) {
    return std::optional<ResolvMount>();
  }
  const auto hosts = read_resolv_conf(request.resolv_conf_path);
  auto mount = ResolvMount::create(with_nameservers(hosts ? *hosts : std::string(), request.nameservers));
  if (!mount) {
    return mount.error();
  }
  if (auto placed = mount->put_in_place(); !placed) {
    return placed.error();
  }
  return std::optional(std::move(*mount));
}

Result<std::optional<ResolvMount>> prepare(const InitRequest& request,
                                           const std::optional<Identity>& outside) {
  if (outside) {
    if (auto mapped = map_to_root(*outside); !mapped) {
      return mapped.error();
    }
  }
  if (auto detached = detach_mounts(); !detached) {
    return detached.error();
  }
  mount_proc();
  return mount_resolv_conf(request);
}

[[noreturn]] void give_up(int channel, const Error& error) {
  Message message;
  message.kind = Message::Kind::failed;
  message.number = error.code;
  error.what.copy(message.text.data(), message.text.size() - 1);
  send(channel, message);
  ::_exit(kStartFailed);
}

// The command itself, still with all signals blocked: a background process that sets the foreground is then
// not stopped for it.
[[noreturn]] void become_command(const InitRequest& request, mode_t umask) {
  if (request.own_group) {
    static_cast<void>(::setpgid(0, 0));
    static_cast<void>(::tcsetpgrp(request.terminal, ::getpgrp()));
  }
  ::umask(umask);
  ::sigaction(SIGCHLD, &request.signals.child, nullptr);
  ::sigprocmask(SIG_SETMASK, &request.signals.mask, nullptr);
  execute(request.command);
}

// What the command inherits is its own business: we keep neither the ends of its pipes nor its files open.
void leave_descriptors(int channel, int terminal, const std::optional<ResolvMount>& mount) {
  std::vector<int> keep = {channel, terminal};
  if (mount) {
    for (const int fd : mount->descriptors()) {
      keep.push_back(fd);
    }
  }
  close_descriptors_except(keep);
  detach_stdio();
}

Result<void> look_after(const InitRequest& request, pid_t command, int channel,
                        std::optional<ResolvMount> mount) {
  leave_descriptors(channel, request.terminal, mount);
  const sys::SystemClock clock;
  auto loop = sys::EventLoop::create(clock);
  if (!loop) {
    return loop.error();
  }
  InitLoop init(**loop, channel, request.terminal, command, std::move(mount));
  if (auto started = init.start(); !started) {
    return started;
  }
  return (*loop)->run();
}

void block_all_signals() noexcept {
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
}

[[noreturn]] void run_init(const InitRequest& request, const std::optional<Identity>& outside, int channel) {
  ::prctl(PR_SET_NAME, "lwip4netns-init", 0, 0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  block_all_signals();
  const mode_t umask = ::umask(022);
  auto mount = prepare(request, outside);
  if (!mount) {
    give_up(channel, mount.error());
  }
  send(channel, Message::Kind::prepared);
  Message message;
  if (receive(channel, message, 0) != Received::message || message.kind != Message::Kind::start) {
    ::_exit(kStartFailed);
  }
  // The command is root here, and has every right over us but the one to trace the undumpable.
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const pid_t command = ::fork();
  if (command == 0) {
    become_command(request, umask);
  }
  if (command > 0) {
    static_cast<void>(look_after(request, command, channel, std::move(*mount)));
  }
  ::_exit(kStartFailed);
}

// Waits until init is prepared, or for the reason why not.
Result<void> wait_prepared(int channel) {
  Message message;
  if (receive(channel, message, 0) != Received::message) {
    return sys::plain_error("cannot prepare the namespaces: their first process has ended");
  }
  if (message.kind == Message::Kind::failed) {
    message.text.back() = '\0';
    return Error{message.number, message.text.data()};
  }
  return {};
}

}  // namespace

Init::Init(Init&& other) noexcept
    : channel_(std::move(other.channel_)), pid_(std::exchange(other.pid_, -1)) {}

Init::~Init() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

void Init::start() noexcept { send(channel_.get(), Message::Kind::start); }

void Init::forward(int signal, bool from_terminal) noexcept {
  send(channel_.get(), from_terminal ? Message::Kind::terminal_signal : Message::Kind::signal, signal);
}

void Init::resume(bool in_foreground) noexcept {
  send(channel_.get(), in_foreground ? Message::Kind::resume_in_foreground : Message::Kind::resume);
}

Init::News Init::read() noexcept {
  Message message;
  const Received received = receive(channel_.get(), message, MSG_DONTWAIT);
  if (received == Received::nothing) {
    return {};
  }
  if (received == Received::message && message.kind == Message::Kind::stopped) {
    return {News::Kind::stopped, message.number};
  }
  if (received == Received::message && message.kind == Message::Kind::killed) {
    return {News::Kind::killed, message.number};
  }
  return {News::Kind::ended, 0};
}

std::optional<int> Init::reap() noexcept {
  int status = 0;
  if (pid_ <= 0 || ::waitpid(pid_, &status, WNOHANG) != pid_) {
    return std::nullopt;
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Result<Init> start_init(const InitRequest& request) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return sys::errno_error("cannot make a socket pair");
  }
  Fd ours(pair[0]);
  Fd inits(pair[1]);
  const Identity outside = Identity::current();
  const auto made = fork_into_namespaces();
  if (!made) {
    return made.error();
  }
  if (made->pid == 0) {
    ours.reset();
    run_init(request, made->user_namespace ? std::optional(outside) : std::nullopt, inits.get());
  }
  inits.reset();
  Init init(std::move(ours), made->pid);
  if (auto prepared = wait_prepared(init.fd()); !prepared) {
    return prepared.error();
  }
  return init;
}

}  // namespace l4n::netns
