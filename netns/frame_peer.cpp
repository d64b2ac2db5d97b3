#include "netns/frame_peer.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <csignal>

namespace l4n::netns {
namespace {

using sys::Fd;
using sys::Result;

// The system cuts it to net.core.wmem_max.
constexpr int kSendBuffer = 4 * 1024 * 1024;

Result<Fd> hold_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) {
    return sys::errno_error("cannot block signals");
  }
  Fd fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd.valid()) {
    return sys::errno_error("cannot create the signal descriptor");
  }
  return fd;
}

// Invalid when the peer has changed its mind.
Fd accept_peer(int listener) noexcept {
  Fd peer(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (peer.valid()) {
    ::setsockopt(peer.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  }
  return peer;
}

}  // namespace

Result<FramePeer> wait_for_peer(int listener, std::optional<int> exit_fd) {
  auto signals = hold_signals();
  if (!signals) {
    return signals.error();
  }
  // Of the exit descriptor only a hang-up counts, which poll() tells unasked; data does not.
  std::array<pollfd, 3> polled{pollfd{listener, POLLIN, 0}, pollfd{(*signals).get(), POLLIN, 0},
                               pollfd{exit_fd.value_or(-1), 0, 0}};
  for (;;) {
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) {
      return sys::errno_error("cannot wait for the peer");
    }
    if (polled[1].revents != 0) {
      return FramePeer{FramePeer::Outcome::signal, {}};
    }
    if (polled[2].revents != 0) {
      return FramePeer{FramePeer::Outcome::hang_up, {}};
    }
    if (Fd peer = accept_peer(listener); peer.valid()) {
      return FramePeer{FramePeer::Outcome::connected, std::move(peer)};
    }
    const bool again = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
    if (!again) {
      return sys::errno_error("cannot accept the peer");
    }
  }
}

}  // namespace l4n::netns
