// Step by step, in the child: stay untouchable for the guest, join, open the device, set it up, send it.
//
// The device node is opened inside: the kernel binds the descriptor to the network namespace in which
// /dev/net/tun was opened, not to the one in which TUNSETIFF is called. The mount namespace is never joined,
// so it is the caller's node in any case.
#include "netns/attach.hpp"

#include <fmt/format.h>
#include <net/if.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace l4n::netns {
namespace {

using sys::Error;
using sys::Fd;
using sys::Result;

// What goes beside the descriptor. Both ends are the same program, so its memory is its format.
struct TapMessage {
  NetnsIdentity netns;
  std::array<char, IFNAMSIZ> name{};
  unsigned offloads = 0;
  bool vnet_hdr = false;
  bool created = false;
};

union DescriptorBuffer {
  cmsghdr align;
  char bytes[CMSG_SPACE(sizeof(int))];  // NOLINT(modernize-avoid-c-arrays): the macros want memory
};

void report(int fd, const std::string& text) {
  const std::string line = text + '\n';
  [[maybe_unused]] const ssize_t written = ::write(fd, line.data(), line.size());
}

void announce(const AttachRequest& request, const std::string& text) {
  if (request.announce) {
    report(request.report_fd, text);
  }
}

Result<void> send_tap(int socket, const Tap& tap, const NetnsIdentity& netns) {
  TapMessage message;
  message.netns = netns;
  tap.name.copy(message.name.data(), message.name.size() - 1);
  message.offloads = tap.offloads;
  message.vnet_hdr = tap.vnet_hdr;
  message.created = tap.created;

  iovec io{&message, sizeof message};
  DescriptorBuffer control{};
  msghdr header{};
  header.msg_iov = &io;
  header.msg_iovlen = 1;
  header.msg_control = &control;
  header.msg_controllen = sizeof control.bytes;
  cmsghdr* descriptor = CMSG_FIRSTHDR(&header);
  descriptor->cmsg_level = SOL_SOCKET;
  descriptor->cmsg_type = SCM_RIGHTS;
  descriptor->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = tap.fd.get();
  std::memcpy(CMSG_DATA(descriptor), &fd, sizeof fd);
  if (::sendmsg(socket, &header, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof message)) {
    return sys::errno_error("cannot send the TAP's descriptor");
  }
  return {};
}

struct ReceivedTap {
  Tap tap;
  NetnsIdentity netns;
};

// Nothing when the child ended without sending.
std::optional<ReceivedTap> receive_tap(int socket) {
  TapMessage message;
  iovec io{&message, sizeof message};
  DescriptorBuffer control{};
  msghdr header{};
  header.msg_iov = &io;
  header.msg_iovlen = 1;
  header.msg_control = &control;
  header.msg_controllen = sizeof control.bytes;
  ssize_t size = 0;
  do {
    size = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  const cmsghdr* descriptor = size == static_cast<ssize_t>(sizeof message) ? CMSG_FIRSTHDR(&header) : nullptr;
  if (descriptor == nullptr || descriptor->cmsg_type != SCM_RIGHTS) {
    return std::nullopt;
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(descriptor), sizeof fd);
  ReceivedTap received;
  received.tap.fd = Fd(fd);
  received.tap.name = message.name.data();
  received.tap.vnet_hdr = message.vnet_hdr;
  received.tap.offloads = message.offloads;
  received.tap.created = message.created;
  received.netns = message.netns;
  return received;
}

// Full capabilities come with joining a user namespace, but files are also judged by their owner.
void become_userns_root() {
  // Where 0 is not mapped we stay who we are.
  static_cast<void>(::setresgid(0, 0, 0));
  static_cast<void>(::setresuid(0, 0, 0));
}

// Runs `open` as who we are, and once more as the user namespace's root if it was a matter of permission.
template <class T, class Open>
Result<T> open_as_either(bool in_userns, const Open& open) {
  Result<T> result = open();
  if (!result && result.error().code == EACCES && in_userns) {
    become_userns_root();
    result = open();
  }
  return result;
}

Result<void> join_netns(OpenedTarget& target, bool in_userns) {
  if (!target.netns.valid()) {
    auto opened = open_as_either<Fd>(in_userns, [&] { return open_netns(target.watched); });
    if (!opened) {
      return opened.error();
    }
    target.netns = std::move(*opened);
    auto identity = identify_netns(target.netns.get());
    if (!identity) {
      return identity.error();
    }
    target.watched.netns = *identity;
  }
  if (::setns(target.netns.get(), CLONE_NEWNET) != 0) {
    return sys::errno_error("setns(CLONE_NEWNET)");
  }
  return {};
}

Result<void> join_and_send(const AttachRequest& request, OpenedTarget& target, int socket) {
  // Once inside, the guest's root has every right over us; what it cannot do is trace the undumpable.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return sys::errno_error("prctl(PR_SET_DUMPABLE)");
  }
  // Refused where the caller is already inside: the next step tells whether that was so.
  const bool in_userns = target.userns.valid() && ::setns(target.userns.get(), CLONE_NEWUSER) == 0;
  if (auto joined = join_netns(target, in_userns); !joined) {
    return joined;
  }
  auto tap = open_as_either<Tap>(in_userns, [&] { return open_tap(request.tap_name); });
  if (!tap) {
    return tap.error();
  }
  if (request.configure) {
    if (auto configured = configure_interface(tap->name, *request.configure); !configured) {
      return configured;
    }
  }
  if (auto sent = send_tap(socket, *tap, target.watched.netns); !sent) {
    return sent;
  }
  announce(request, fmt::format("sent tapfd={} for {}", tap->fd.get(), tap->name));
  return {};
}

[[noreturn]] void run_child(const AttachRequest& request, OpenedTarget& target, int socket) {
  const auto done = join_and_send(request, target, socket);
  if (!done) {
    report(request.report_fd, done.error().message());
  }
  ::_exit(done ? 0 : 1);  // not exit(): what is buffered belongs to the parent
}

// The child's exit status as a shell has it. Where SIGCHLD is ignored nobody can tell any more.
int reap(pid_t pid, int if_unknown) {
  int status = 0;
  pid_t reaped = 0;
  do {
    reaped = ::waitpid(pid, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  if (reaped != pid) {
    return if_unknown;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Error child_failed(int status) { return sys::plain_error(fmt::format("child failed({})", status)); }

// A failing step before the fork is told as if the child had failed, which is the form that callers know.
Error fail(const AttachRequest& request, const Error& error) {
  report(request.report_fd, error.message());
  return child_failed(1);
}

}  // namespace

Result<Attached> attach(const AttachRequest& request) {
  auto target = open_target(request.target);
  if (!target) {
    return fail(request, target.error());
  }
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return fail(request, sys::errno_error("cannot make a socket pair"));
  }
  Fd ours(pair[0]);
  Fd childs(pair[1]);
  const pid_t pid = ::fork();
  if (pid < 0) {
    return fail(request, sys::errno_error("cannot fork"));
  }
  if (pid == 0) {
    ours.reset();
    run_child(request, *target, childs.get());
  }
  childs.reset();
  auto received = receive_tap(ours.get());
  const int status = reap(pid, received ? 0 : 1);
  if (status != 0 || !received) {
    return child_failed(status != 0 ? status : 1);
  }
  announce(request, fmt::format("received tapfd={}", received->tap.fd.get()));
  target->watched.netns = received->netns;
  return Attached{std::move(received->tap), std::move(target->watched)};
}

}  // namespace l4n::netns
