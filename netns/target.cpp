#include "netns/target.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <filesystem>
#include <system_error>

namespace l4n::netns {
namespace {

using sys::Fd;
using sys::Result;

bool has_ended(int pidfd) {
  pollfd p{pidfd, POLLIN, 0};
  return ::poll(&p, 1, 0) != 0;
}

// Whether the PID still means the process that it meant when `watched` was filled in.
bool is_same_process(const WatchedTarget& watched) {
  if (watched.pidfd.valid()) {
    return !has_ended(watched.pidfd.get());
  }
  const auto stat = read_process_stat(watched.target.pid);
  return stat && stat->start_time == watched.start_time && !stat->ended();
}

Result<Fd> open_namespace(const std::string& path) {
  // O_NONBLOCK: a path may name anything, and opening a FIFO must not hang.
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) {
    return sys::errno_error(path);
  }
  return fd;
}

// A descriptor of ours has no meaning as a path in another process, though it is the same namespace.
bool names_own_descriptor(const std::string& path) {
  return path.starts_with("/proc/self/") || path.starts_with("/proc/thread-self/") ||
         path.starts_with("/dev/fd/") || path.starts_with(fmt::format("/proc/{}/", ::getpid()));
}

std::string make_absolute(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.string();
}

Result<Fd> open_userns(const Target& target) {
  if (target.userns_path) {
    return open_namespace(*target.userns_path);
  }
  if (target.kind == Target::Kind::pid) {
    // Callers may already be inside, and may then not be permitted to open it: that is no error.
    if (auto opened = open_namespace(fmt::format("/proc/{}/ns/user", target.pid))) {
      return std::move(*opened);
    }
  }
  return Fd();
}

bool is_permission_error(int code) { return code == EACCES || code == EPERM; }

}  // namespace

// musl and older C libraries have no wrapper.
Fd open_pidfd(pid_t pid) noexcept {
#ifdef SYS_pidfd_open
  return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U)));
#else
  static_cast<void>(pid);
  errno = ENOSYS;
  return Fd();
#endif
}

std::string Target::netns_file() const {
  return kind == Kind::pid ? fmt::format("/proc/{}/ns/net", pid) : netns_path;
}

Result<NetnsIdentity> identify_netns(int fd) {
  struct stat s {};
  if (::fstat(fd, &s) != 0) {
    return sys::errno_error("cannot identify the network namespace");
  }
  return NetnsIdentity{s.st_dev, s.st_ino};
}

std::optional<ProcessStat> parse_process_stat(std::string_view text) {
  // The second field is the command's name in parentheses, which may itself contain any character.
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos || name_end + 2 >= text.size()) {
    return std::nullopt;
  }
  text.remove_prefix(name_end + 2);
  ProcessStat stat;
  stat.state = text.front();
  constexpr int kFieldsFromStateToStartTime = 22 - 3;
  for (int i = 0; i < kFieldsFromStateToStartTime; ++i) {
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos) {
      return std::nullopt;
    }
    text.remove_prefix(space + 1);
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), stat.start_time);
  if (error != std::errc()) {
    return std::nullopt;
  }
  // The exit status is the last field (Linux 3.5); what is no number leaves it at 0.
  text = text.substr(0, text.find('\n'));
  text.remove_prefix(text.rfind(' ') + 1);
  std::from_chars(text.data(), text.data() + text.size(), stat.exit_status);
  return stat;
}

std::optional<ProcessStat> read_process_stat(pid_t pid) {
  const Fd fd(::open(fmt::format("/proc/{}/stat", pid).c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 1024> text{};
  const ssize_t size = fd.valid() ? ::read(fd.get(), text.data(), text.size()) : -1;
  if (size <= 0) {
    return std::nullopt;
  }
  return parse_process_stat({text.data(), static_cast<std::size_t>(size)});
}

Result<Fd> open_netns(const WatchedTarget& watched) {
  const std::string file = watched.target.netns_file();
  auto fd = open_namespace(file);
  if (fd && watched.target.kind == Target::Kind::pid && !is_same_process(watched)) {
    return sys::errno_error(ENOENT, file);
  }
  return fd;
}

Result<OpenedTarget> open_target(const Target& target) {
  OpenedTarget opened;
  WatchedTarget& watched = opened.watched;
  watched.target = target;
  if (target.kind == Target::Kind::pid) {
    watched.pidfd = open_pidfd(target.pid);
    watched.start_time = read_process_stat(target.pid).value_or(ProcessStat{}).start_time;
  } else {
    watched.target.netns_path = make_absolute(target.netns_path);
    watched.path_is_public = !names_own_descriptor(watched.target.netns_path);
  }
  auto userns = open_userns(target);
  if (!userns) {
    return userns.error();
  }
  opened.userns = std::move(*userns);

  auto netns = open_netns(watched);
  if (netns) {
    opened.netns = std::move(*netns);
    auto identity = identify_netns(opened.netns.get());
    if (!identity) {
      return identity.error();
    }
    watched.netns = *identity;
    return opened;
  }
  // What only the owner of the user namespace may open is opened after joining it.
  if (!opened.userns.valid() || !is_permission_error(netns.error().code)) {
    return sys::errno_error(netns.error().code, target.netns_file());
  }
  watched.path_is_public = false;
  return opened;
}

}  // namespace l4n::netns
