#include "netns/init.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "netns/close_descriptors.hpp"
#include "netns/resolv_conf.hpp"
#include "netns/resolv_mount.hpp"
#include "netns/resolv_watch.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/user_namespace.hpp"

namespace l4n::netns {
namespace {

using sys::Error;
using sys::Fd;
using sys::Result;

// Both ends are the same program, so its memory is the format.
struct Message {
  enum class Kind : std::uint8_t {
    // from init
    prepared,
    failed,   // `number` is an errno value, `text` says what was tried
    stopped,  // `number` is a signal, here and in the next
    killed,
    // to init
    start,
    signal,           // to everyone's command
    terminal_signal,  // not to a command in our group
    resume,
    resume_in_foreground,
  };
  Kind kind = Kind::prepared;
  int number = 0;
  std::array<char, 256> text{};
};

void send(int channel, const Message& message) noexcept {
  // A channel that is full or closed has nobody at its other end who could care.
  static_cast<void>(::send(channel, &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT));
}

void send(int channel, Message::Kind kind, int number = 0) noexcept {
  Message message;
  message.kind = kind;
  message.number = number;
  send(channel, message);
}

enum class Received { message, nothing, closed };

Received receive(int channel, Message& message, int flags) noexcept {
  ssize_t size = 0;
  do {
    size = ::recv(channel, &message, sizeof message, flags);
  } while (size < 0 && errno == EINTR);
  if (size < 0 && errno == EAGAIN) {
    return Received::nothing;
  }
  return size == static_cast<ssize_t>(sizeof message) ? Received::message : Received::closed;
}

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
  if (!request.nameserver) {
    return std::optional<ResolvMount>();
  }
  const auto hosts = read_resolv_conf(request.resolv_conf_path);
  auto mount = ResolvMount::create(with_nameserver(hosts ? *hosts : std::string(), *request.nameserver));
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

// The command itself.

// All signals are still blocked: a background process that sets the foreground is not stopped for it.
void become_foreground(int terminal) noexcept {
  static_cast<void>(::setpgid(0, 0));
  static_cast<void>(::tcsetpgrp(terminal, ::getpgrp()));
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// As execvp() searches, which says EACCES also where it was only kept from looking into some directory.
bool exists_in_path(const std::string& name) {
  const char* const path = ::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/bin:/usr/bin";
  for (bool more = true; more;) {
    const std::size_t colon = rest.find(':');
    const std::string directory(rest.substr(0, colon));
    if (exists((directory.empty() ? "." : directory) + '/' + name)) {
      return true;
    }
    more = colon != std::string_view::npos;
    rest.remove_prefix(more ? colon + 1 : rest.size());
  }
  return false;
}

[[noreturn]] void cannot_run(const std::string& name, int code) {
  const bool is_path = name.find('/') != std::string::npos;
  const bool found = is_path ? exists(name) : !name.empty() && exists_in_path(name);
  std::string reason = sys::errno_text(code);
  if (!found && !is_path) {
    reason = "command not found";
  } else if (found && code == ENOENT) {
    reason = "its interpreter does not exist";
  }
  const std::string line = fmt::format("lwip4netns: cannot run {}: {}\n", name, reason);
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  ::_exit(found || (is_path && code == EACCES) ? kCannotExecute : kNotFound);
}

[[noreturn]] void execute(const InitRequest& request, mode_t umask) {
  std::vector<std::string> words = request.command;
  std::vector<char*> argv;
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  if (request.own_group) {
    become_foreground(request.terminal);
  }
  ::umask(umask);
  ::sigaction(SIGCHLD, &request.signals.child, nullptr);
  ::sigprocmask(SIG_SETMASK, &request.signals.mask, nullptr);
  ::execvp(argv.front(), argv.data());
  cannot_run(words.front(), errno);
}

// Beside the command.

class InitLoop final {
 public:
  InitLoop(sys::EventLoop& loop, int channel, int terminal, pid_t command, std::optional<ResolvMount> mount)
      : loop_(loop), channel_(channel), terminal_(terminal), command_(command), mount_(std::move(mount)) {}

  Result<void> start() {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    children_.reset(::signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!children_.valid()) {
      return sys::errno_error("cannot create the signal descriptor");
    }
    if (auto added = loop_.add(children_.get(), EPOLLIN, child_watch_); !added) {
      return added;
    }
    if (auto added = loop_.add(channel_, EPOLLIN, channel_watch_); !added) {
      return added;
    }
    if (mount_) {
      resolv_watch_.emplace(loop_, "/etc/resolv.conf", [this](const ResolvConf&) { keep_resolv_conf(); });
      resolv_watch_->start();
    }
    return {};
  }

 private:
  class Watch final : public sys::EventHandler {
   public:
    Watch(InitLoop& owner, void (InitLoop::*action)()) noexcept : owner_(owner), action_(action) {}
    void on_event(std::uint32_t /*events*/) noexcept override { (owner_.*action_)(); }

   private:
    InitLoop& owner_;
    void (InitLoop::*action_)();
  };

  // Orphans of the whole namespace end here as well.
  void on_children() {
    signalfd_siginfo unused{};
    while (::read(children_.get(), &unused, sizeof unused) > 0) {
    }
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0;) {
      if (pid == command_) {
        on_command(status);
      }
    }
  }

  void on_command(int status) {
    if (WIFEXITED(status)) {
      ::_exit(WEXITSTATUS(status));  // and with us everyone else
    }
    if (WIFSIGNALED(status)) {
      send(channel_, Message::Kind::killed, WTERMSIG(status));
      ::_exit(128 + WTERMSIG(status));
    }
    if (terminal_ >= 0) {
      send(channel_, Message::Kind::stopped, WSTOPSIG(status));
    }
  }

  void on_channel() {
    Message message;
    for (;;) {
      switch (receive(channel_, message, MSG_DONTWAIT)) {
        case Received::nothing:
          return;
        case Received::closed:
          ::_exit(kStartFailed);  // the worker has ended, and everything ends with it
        case Received::message:
          obey(message);
      }
    }
  }

  void obey(const Message& message) noexcept {
    switch (message.kind) {
      case Message::Kind::signal:
        ::kill(command_, message.number);
        return;
      case Message::Kind::terminal_signal:
        if (!in_our_group()) {
          ::kill(command_, message.number);
        }
        return;
      case Message::Kind::resume:
        resume(false);
        return;
      case Message::Kind::resume_in_foreground:
        resume(true);
        return;
      default:
        return;
    }
  }

  // A group whose leader is outside of the PID namespace has no number here: getpgid() says 0 for all those.
  // There is only one that the command can be in, ours.
  [[nodiscard]] bool in_our_group() const noexcept { return ::getpgid(command_) == ::getpgrp(); }

  // What the shell that continues a job does for the job's own process group.
  void resume(bool in_foreground) noexcept {
    const pid_t group = ::getpgid(command_);
    if (group <= 0 || in_our_group()) {
      return;
    }
    if (in_foreground) {
      static_cast<void>(::tcsetpgrp(terminal_, group));
    }
    ::kill(-group, SIGCONT);
  }

  void keep_resolv_conf() const {
    if (!mount_->in_place()) {
      static_cast<void>(mount_->put_in_place());
    }
  }

  sys::EventLoop& loop_;
  int channel_;
  int terminal_;
  pid_t command_;
  std::optional<ResolvMount> mount_;
  std::optional<ResolvWatch> resolv_watch_;
  Fd children_;
  Watch child_watch_{*this, &InitLoop::on_children};
  Watch channel_watch_{*this, &InitLoop::on_channel};
};

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
    execute(request, umask);
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
