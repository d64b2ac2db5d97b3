// What we join and later watch: the network namespace of a process, or one that a path names.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "netns/sys/fd.hpp"
#include "netns/sys/result.hpp"

namespace l4n::netns {

// As the command line names it.
struct Target {
  enum class Kind { pid, path };

  Kind kind = Kind::pid;
  pid_t pid = 0;           // Kind::pid
  std::string netns_path;  // Kind::path
  // Without it the user namespace is that of the process (Kind::pid) or the caller's own (Kind::path).
  std::optional<std::string> userns_path;

  // The path as error messages show it: "/proc/42/ns/net".
  [[nodiscard]] std::string netns_file() const;
};

// Tells one network namespace from all others for as long as something keeps it alive; an open TAP does.
struct NetnsIdentity {
  dev_t dev = 0;
  ino_t ino = 0;

  friend bool operator==(const NetnsIdentity&, const NetnsIdentity&) = default;
};

[[nodiscard]] sys::Result<NetnsIdentity> identify_netns(int fd);

// The target once it was joined: what the monitor needs in order to notice its end.
struct WatchedTarget {
  Target target;  // with an absolute path
  NetnsIdentity netns;
  sys::Fd pidfd;                 // invalid in path mode and where the kernel has no pidfd_open(2)
  std::uint64_t start_time = 0;  // Kind::pid: from /proc/PID/stat, tells a reused PID
  // False where another process cannot use the path (/proc/self/fd/N, no permission outside of the user
  // namespace): a path that cannot be looked up then says nothing about the target's end.
  bool path_is_public = true;
};

// A pidfd (Linux 5.3); invalid, with errno, where there is none.
[[nodiscard]] sys::Fd open_pidfd(pid_t pid) noexcept;

// What we use of /proc/PID/stat; nothing when there is no such process.
struct ProcessStat {
  char state = '?';
  std::uint64_t start_time = 0;  // clock ticks since boot
  int exit_status = 0;           // as wait(2) has it, of a process that ends; 0 where we may not know it

  [[nodiscard]] bool ended() const noexcept { return state == 'Z' || state == 'X'; }
};
[[nodiscard]] std::optional<ProcessStat> read_process_stat(pid_t pid);
// The pure part: the text of /proc/PID/stat.
[[nodiscard]] std::optional<ProcessStat> parse_process_stat(std::string_view text);

// The target's namespaces, opened before anything is joined, so that a PID that is reused meanwhile cannot
// lead elsewhere.
struct OpenedTarget {
  WatchedTarget watched;  // `netns` is set once `netns` below is valid
  sys::Fd netns;   // invalid when only the inside of the user namespace may open it: open_netns() there
  sys::Fd userns;  // invalid when there is none to join
};
// Errors: the namespace file and its errno ("/proc/42/ns/net", ENOENT).
[[nodiscard]] sys::Result<OpenedTarget> open_target(const Target& target);
// Opens the network namespace's file and checks that a target given by PID is still that process.
[[nodiscard]] sys::Result<sys::Fd> open_netns(const WatchedTarget& watched);

}  // namespace l4n::netns
