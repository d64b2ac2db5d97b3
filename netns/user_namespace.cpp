#include "netns/user_namespace.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <optional>
#include <string_view>

#include "netns/sys/fd.hpp"

namespace l4n::netns {
namespace {

using sys::Fd;
using sys::Result;

constexpr unsigned long kNamespaces = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET;

// clone(2) used as fork(): no new stack, nothing shared. Only clone can put the child itself, and not just
// its children, into a PID namespace. The C library does not learn of it, which a process with one thread can
// live with.
pid_t fork_with(unsigned long flags) {
  const unsigned long all = flags | SIGCHLD;
#if defined(__s390__) || defined(__CRIS__)
  return static_cast<pid_t>(::syscall(SYS_clone, nullptr, all, nullptr, nullptr, nullptr));
#else
  return static_cast<pid_t>(::syscall(SYS_clone, all, nullptr, nullptr, nullptr, nullptr));
#endif
}

Result<void> write_setting(const char* path, std::string_view text) {
  const Fd fd(::open(path, O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) {
    return sys::errno_error(fmt::format("cannot open {}", path));
  }
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return sys::errno_error(fmt::format("cannot write {}", path));
  }
  return {};
}

// A kernel setting that forbids namespaces when it has the value `forbids`.
struct Setting {
  std::string_view name;
  long long forbids;
  std::string_view remedy;
  int code;  // the errno value that it causes
};

// The limits count what exists, so any positive value will do that is large enough.
constexpr auto kSettings = std::to_array<Setting>({
    {"user.max_user_namespaces", 0, "15000", ENOSPC},
    {"user.max_net_namespaces", 0, "15000", ENOSPC},
    {"user.max_mnt_namespaces", 0, "15000", ENOSPC},
    {"user.max_pid_namespaces", 0, "15000", ENOSPC},
    {"kernel.unprivileged_userns_clone", 0, "1", EPERM},              // Debian's kernels until 2021, Arch
    {"kernel.apparmor_restrict_unprivileged_userns", 1, "0", EPERM},  // Ubuntu's since 23.10
});

std::optional<long long> read_setting(const std::string& proc_sys, std::string_view name) {
  std::string path = proc_sys + '/';
  for (const char c : name) {
    path += c == '.' ? '/' : c;
  }
  std::ifstream file(path);
  long long value = 0;
  return file >> value ? std::optional(value) : std::nullopt;
}

std::string_view general_advice(int code) {
  switch (code) {
    case EPERM:
      return "no setting known to us forbids it: a chroot, a container's seccomp filter or a security module "
             "may";
    case ENOSPC:
      return "as many namespaces exist as user.max_user_namespaces, max_net_namespaces, max_mnt_namespaces "
             "and "
             "max_pid_namespaces allow";
    case EUSERS:
      return "user namespaces are nested too deeply";
    default:
      return {};
  }
}

}  // namespace

Identity Identity::current() noexcept { return {::geteuid(), ::getegid()}; }

Result<NewNamespaces> fork_into_namespaces() {
  NewNamespaces made;
  if (::geteuid() == 0) {
    made.pid = fork_with(kNamespaces);
    if (made.pid >= 0) {
      return made;
    }
    if (errno != EPERM) {
      return sys::errno_error("cannot make namespaces");
    }
  }
  made.user_namespace = true;
  made.pid = fork_with(kNamespaces | CLONE_NEWUSER);
  if (made.pid < 0) {
    return sys::errno_error(errno == EINVAL ? "cannot make a user namespace (the kernel may lack them)"
                                            : "cannot make a user namespace");
  }
  return made;
}

namespace {

Result<void> map_ids(const Identity& inside, const Identity& outside) {
  // Without a right over groups outside, a group map may be set only where setgroups(2) is given up.
  if (auto denied = write_setting("/proc/self/setgroups", "deny"); !denied) {
    return denied;
  }
  if (auto mapped = write_setting("/proc/self/uid_map", fmt::format("{} {} 1", inside.uid, outside.uid));
      !mapped) {
    return mapped;
  }
  return write_setting("/proc/self/gid_map", fmt::format("{} {} 1", inside.gid, outside.gid));
}

}  // namespace

Result<void> map_to_root(const Identity& outside) { return map_ids({0, 0}, outside); }

Result<void> map_to_themselves(const Identity& outside) { return map_ids(outside, outside); }

std::string namespace_advice(int code, const std::string& proc_sys) {
  const int cause = code == EACCES ? EPERM : code;
  for (const Setting& setting : kSettings) {
    const auto value = read_setting(proc_sys, setting.name);
    if (setting.code == cause && value && *value == setting.forbids) {
      return fmt::format("the setting {0} = {1} forbids it; `sysctl -w {0}={2}` as root allows it",
                         setting.name, setting.forbids, setting.remedy);
    }
  }
  return std::string(general_advice(cause));
}

}  // namespace l4n::netns
