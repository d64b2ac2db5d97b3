// Children for tests that need a namespace, another user, or a process to look at. All need root.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <string>

#include "netns/sys/fd.hpp"

namespace l4n::netns::testing {

struct Pipe {
  sys::Fd read_end;
  sys::Fd write_end;

  Pipe() {
    std::array<int, 2> fds{-1, -1};
    if (::pipe2(fds.data(), O_CLOEXEC) == 0) {
      read_end.reset(fds[0]);
      write_end.reset(fds[1]);
    }
  }
};

inline std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return text;
    }
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

inline void write_all(int fd, const std::string& text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const ssize_t n = ::write(fd, text.data() + at, text.size() - at);
    if (n <= 0) {
      return;
    }
    at += static_cast<std::size_t>(n);
  }
}

inline std::string failure(const char* step) { return std::string(step) + ": " + std::strerror(errno); }

// Runs `body` in a child and returns what it returned: "" for success by convention of the tests.
inline std::string run_in_child(const std::function<std::string()>& body) {
  Pipe pipe;
  const pid_t pid = ::fork();
  if (pid == 0) {
    pipe.read_end.reset();
    write_all(pipe.write_end.get(), body());
    ::_exit(0);
  }
  pipe.write_end.reset();
  std::string text = read_all(pipe.read_end.get());
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (!WIFEXITED(status)) {
    text += " (child killed by signal " + std::to_string(WTERMSIG(status)) + ")";
  }
  return text;
}

inline std::string run_in_new_netns(const std::function<std::string()>& body) {
  return run_in_child(
      [&] { return ::unshare(CLONE_NEWNET) != 0 ? failure("unshare(CLONE_NEWNET)") : body(); });
}

// Makes a system call fail in the calling process and its children, as on a kernel that lacks it.
inline std::string inject_failure(int system_call, int code) {
  scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_ALLOW);
  const bool loaded =
      filter != nullptr &&
      ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(static_cast<unsigned>(code)), system_call, 0) == 0 &&
      ::seccomp_load(filter) == 0;
  ::seccomp_release(filter);
  return loaded ? "" : "cannot load the filter";
}

// A process that does nothing from when `prepare` has succeeded in it until it is told to end.
class IdleProcess {
 public:
  explicit IdleProcess(const std::function<bool()>& prepare) : pid_(::fork()) {
    if (pid_ == 0) {
      const bool prepared = prepare();
      write_all(ready_pipe_.write_end.get(), prepared ? "y" : "n");
      ready_pipe_.write_end.reset();
      for (;;) {
        ::pause();
      }
    }
    ready_pipe_.write_end.reset();
    ready_ = read_all(ready_pipe_.read_end.get()) == "y";
  }
  IdleProcess(const IdleProcess&) = delete;
  IdleProcess& operator=(const IdleProcess&) = delete;
  ~IdleProcess() { end(); }

  void end() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
      pid_ = -1;
    }
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool ready() const { return ready_; }
  [[nodiscard]] std::string netns_file() const { return "/proc/" + std::to_string(pid_) + "/ns/net"; }

 private:
  Pipe ready_pipe_;
  pid_t pid_;
  bool ready_ = false;
};

inline bool write_file(const char* path, const std::string& text) {
  const sys::Fd fd(::open(path, O_WRONLY | O_CLOEXEC));
  return fd.valid() && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// Becomes a user for good. The change of ids makes a process undumpable, and its /proc files root's.
inline bool become_user(uid_t uid) {
  return ::setresgid(uid, uid, uid) == 0 && ::setresuid(uid, uid, uid) == 0 &&
         ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0;
}

// As `unshare -Urn` run by `uid`.
inline bool enter_user_and_network_namespace(uid_t uid) {
  const std::string map = "0 " + std::to_string(uid) + " 1";
  return become_user(uid) && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 &&
         write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/uid_map", map) &&
         write_file("/proc/self/gid_map", map);
}

// A process that lives in a network namespace of its own.
class TargetProcess : public IdleProcess {
 public:
  TargetProcess() : IdleProcess([] { return ::unshare(CLONE_NEWNET) == 0; }) {}
  // An unprivileged user's, who is root of a user namespace in it.
  explicit TargetProcess(uid_t uid) : IdleProcess([uid] { return enter_user_and_network_namespace(uid); }) {}
};

// In a mount namespace of the calling process's own: /dev/net/tun with `mode`, whatever the machine has.
inline std::string replace_tun_device(mode_t mode) {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return failure("unshare(CLONE_NEWNS)");
  }
  std::string directory = "/tmp/l4n-tun-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr ||
      ::mount("tmpfs", directory.c_str(), "tmpfs", 0, nullptr) != 0) {
    return failure("mount(tmpfs)");
  }
  const std::string node = directory + "/tun";
  if (::mknod(node.c_str(), S_IFCHR, ::makedev(10, 200)) != 0 || ::chmod(node.c_str(), mode) != 0) {
    return failure("mknod");
  }
  if (::mount(node.c_str(), "/dev/net/tun", nullptr, MS_BIND, nullptr) != 0) {
    return failure("mount(/dev/net/tun)");
  }
  // The directory is of use only for as long as the mount was being made.
  if (::umount2(directory.c_str(), MNT_DETACH) == 0) {
    ::rmdir(directory.c_str());
  }
  return "";
}

}  // namespace l4n::netns::testing
