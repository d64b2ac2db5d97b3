#include "netns/sandbox.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <string>

#include "netns/user_namespace.hpp"

namespace l4n::netns {
namespace {

using sys::Result;

constexpr unsigned long kHarmless = MS_NOSUID | MS_NODEV | MS_NOEXEC;
constexpr mode_t kForAll = 0755;
// Any directory will do to build the new root on. This one is there wherever we run, for we need it before.
constexpr const char* kBuildingSite = "/proc";

struct Step {
  const char* what;
  bool (*done)();
};

// The new root takes the old one's place with both in the same directory, and the old one, which then lies on
// top, is taken off: pivot_root(2) has this way without a directory for the old root.
constexpr auto kSteps = std::to_array<Step>({
    {"make new mount, IPC and UTS namespaces",
     [] { return ::unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) == 0; }},
    {"separate the mounts from the host's",
     [] { return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0; }},
    {"mount an empty file system",
     [] {
       return ::mount("tmpfs", kBuildingSite, "tmpfs", kHarmless, "size=4k,nr_inodes=16,mode=755") == 0;
     }},
    {"enter the empty file system", [] { return ::chdir(kBuildingSite) == 0; }},
    {"make the directory etc", [] { return ::mkdir("etc", kForAll) == 0; }},
    {"make the directory run", [] { return ::mkdir("run", kForAll) == 0; }},
    {"change the root directory", [] { return ::syscall(SYS_pivot_root, ".", ".") == 0; }},
    {"detach the old root directory", [] { return ::umount2(".", MNT_DETACH) == 0; }},
    {"enter the new root directory", [] { return ::chdir("/") == 0; }},
    {"make the root directory read-only",
     [] { return ::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_RDONLY | kHarmless, nullptr) == 0; }},
});

sys::Error failed(const char* what) { return sys::errno_error(fmt::format("sandbox: cannot {}", what)); }

Result<void> make_user_namespace() {
  const Identity outside = Identity::current();
  if (::unshare(CLONE_NEWUSER) != 0) {
    sys::Error error = failed("make a user namespace");
    const std::string advice = namespace_advice(error.code);
    return advice.empty() ? error : sys::errno_error(error.code, error.what + " (" + advice + ")");
  }
  if (auto mapped = map_to_themselves(outside); !mapped) {
    return sys::errno_error(mapped.error().code, "sandbox: " + mapped.error().what);
  }
  return {};
}

}  // namespace

Result<void> enter_sandbox(UserNamespace user_namespace) {
  if (user_namespace == UserNamespace::make) {
    if (auto made = make_user_namespace(); !made) {
      return made;
    }
  }
  const mode_t before = ::umask(0);
  Result<void> result;
  for (const Step& step : kSteps) {
    if (!step.done()) {
      result = failed(step.what);
      break;
    }
  }
  ::umask(before);
  return result;
}

}  // namespace l4n::netns
