#include "netns/init_loop.hpp"

#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "netns/execute.hpp"

namespace l4n::netns {

using init_channel::Message;
using init_channel::Received;
using sys::Result;

InitLoop::InitLoop(sys::EventLoop& loop, int channel, int terminal, pid_t command,
                   std::optional<ResolvMount> mount)
    : loop_(loop), channel_(channel), terminal_(terminal), command_(command), mount_(std::move(mount)) {}

Result<void> InitLoop::start() {
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

// Orphans of the whole namespace end here as well.
void InitLoop::on_children() {
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

void InitLoop::on_command(int status) {
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

void InitLoop::on_channel() {
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

void InitLoop::obey(const Message& message) noexcept {
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
bool InitLoop::in_our_group() const noexcept { return ::getpgid(command_) == ::getpgrp(); }

// What the shell that continues a job does for the job's own process group.
void InitLoop::resume(bool in_foreground) noexcept {
  const pid_t group = ::getpgid(command_);
  if (group <= 0 || in_our_group()) {
    return;
  }
  if (in_foreground) {
    static_cast<void>(::tcsetpgrp(terminal_, group));
  }
  ::kill(-group, SIGCONT);
}

void InitLoop::keep_resolv_conf() const {
  if (!mount_->in_place()) {
    static_cast<void>(mount_->put_in_place());
  }
}

}  // namespace l4n::netns
