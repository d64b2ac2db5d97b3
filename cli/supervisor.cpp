#include "cli/supervisor.hpp"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace l4n::cli {
namespace {

using sys::Result;

// Everything that can be meant for the command. Not: what says that we did something wrong ourselves, and
// what nobody can hold back.
constexpr auto kForwarded =
    std::to_array<int>({SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGCONT, SIGTSTP,
                        SIGTTIN, SIGTTOU, SIGURG, SIGVTALRM, SIGPROF, SIGWINCH, SIGIO, SIGPWR});

sigset_t held_signals() noexcept {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kForwarded) {
    sigaddset(&set, signal);
  }
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; ++signal) {
    sigaddset(&set, signal);
  }
  sigaddset(&set, SIGCHLD);
  return set;
}

sigset_t only(int signal) noexcept {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  return set;
}

// Stops us, or our whole process group, as the terminal's stop character does, until somebody continues us.
// False where there is nobody who could (an orphaned process group): the kernel then refuses.
bool stop_ourselves(int signal, bool whole_group) noexcept {
  const sigset_t set = only(signal);
  const sigset_t cont = only(SIGCONT);
  ::kill(whole_group ? 0 : ::getpid(), signal);
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);  // here we stop
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  const timespec now{};
  return ::sigtimedwait(&cont, nullptr, &now) == SIGCONT;
}

// The kernel sent it, which for these signals means the terminal. To the whole foreground group, with one
// exception: the hang-up goes to the session's leader alone.
bool came_to_whole_group(const signalfd_siginfo& info) noexcept {
  const bool leader_only = info.ssi_signo == SIGHUP && ::getsid(0) == ::getpid();
  return info.ssi_code == SI_KERNEL && !leader_only;
}

}  // namespace

Result<CommandSignals> CommandSignals::hold() {
  CommandSignals held;
  const sigset_t set = held_signals();
  if (::sigprocmask(SIG_BLOCK, &set, &held.original_.mask) != 0) {
    return sys::errno_error("cannot block signals");
  }
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &by_default, &held.original_.child);
  held.fd_.reset(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!held.fd_.valid()) {
    return sys::errno_error("cannot create the signal descriptor");
  }
  return held;
}

int CommandSignals::asked_to_end() noexcept {
  sigset_t pending;
  sigpending(&pending);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    struct sigaction action {};
    const bool ignored = ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
    if (sigismember(&pending, signal) == 1 && !ignored) {
      return signal;
    }
  }
  return 0;
}

Supervisor::Supervisor(sys::EventLoop& loop, netns::Init& init, const Terminal& terminal,
                       const CommandSignals& signals, std::function<void(int)> on_end)
    : loop_(loop), init_(init), terminal_(terminal), signals_(signals), on_end_(std::move(on_end)) {}

Supervisor::~Supervisor() {
  loop_.remove(signals_.fd());
  loop_.remove(init_.fd());
}

Result<void> Supervisor::start() {
  if (auto added = loop_.add(signals_.fd(), EPOLLIN, signal_watch_); !added) {
    return added;
  }
  if (auto added = loop_.add(init_.fd(), EPOLLIN, init_watch_); !added) {
    return added;
  }
  init_.start();
  return {};
}

void Supervisor::on_signals() {
  signalfd_siginfo info{};
  while (::read(signals_.fd(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo != SIGCHLD) {
      init_.forward(static_cast<int>(info.ssi_signo), came_to_whole_group(info));
    }
  }
  reap();
}

void Supervisor::on_init() {
  read_news();
  reap();
}

void Supervisor::read_news() {
  using Kind = netns::Init::News::Kind;
  for (;;) {
    const netns::Init::News news = init_.read();
    switch (news.kind) {
      case Kind::none:
        return;
      case Kind::ended:
        loop_.remove(init_.fd());
        return;
      case Kind::killed:
        killed_by_ = news.signal;
        break;
      case Kind::stopped:
        stop_with_command(news.signal);
        break;
    }
  }
}

void Supervisor::stop_with_command(int signal) {
  const bool from_terminal = signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
  const bool stopped = stop_ourselves(from_terminal ? signal : SIGTSTP, terminal_.is_ours_alone());
  // Where we could not be stopped the stop character has no meaning, as in any session without a shell.
  if (stopped || signal == SIGTSTP) {
    init_.resume(terminal_.in_foreground());
  }
}

void Supervisor::reap() {
  const auto status = init_.reap();
  if (!status) {
    return;
  }
  read_news();  // what it said last
  terminal_.take_back();
  // A script that runs us must see the user's interrupt as it would if the command were its child.
  if (terminal_.is_ours_alone() && (killed_by_ == SIGINT || killed_by_ == SIGQUIT)) {
    ::kill(0, killed_by_);
  }
  has_ended_ = true;
  on_end_(*status);
}

}  // namespace l4n::cli
