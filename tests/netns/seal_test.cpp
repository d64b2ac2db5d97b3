// The sealed process, seen from within. Needs root.
#include "netns/seal.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "netns/landlock.hpp"
#include "netns/resource_limits.hpp"
#include "tests/netns/child_process.hpp"
#include "tests/netns/temporary_directory.hpp"

namespace l4n::netns {
namespace {

namespace fs = std::filesystem;

constexpr uid_t kNobody = 65534;
constexpr std::string_view kNoCapabilities = "=";

// Without a filter, so that a test can look round afterwards.
SealRequest sandbox_only(Want want = Want::always) { return {.sandbox = want, .seccomp = Want::no}; }
SealRequest rights_only() { return sandbox_only(Want::no); }

std::string capabilities() {
  cap_t held = ::cap_get_proc();
  char* text = ::cap_to_text(held, nullptr);
  std::string copy = text == nullptr ? "?" : text;
  ::cap_free(text);
  ::cap_free(held);
  return copy;
}

ino_t namespace_of(const char* kind) {
  struct stat s {};
  const std::string file = std::string("/proc/self/ns/") + kind;
  return ::stat(file.c_str(), &s) == 0 ? s.st_ino : 0;
}

std::string entries_of(const std::string& directory) {
  std::error_code error;
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  std::string text;
  for (const std::string& name : names) {
    text += name + " ";
  }
  return error ? error.message() : text;
}

std::string open_error(const char* path, int flags) {
  const sys::Fd fd(::open(path, flags | O_CLOEXEC, 0600));
  return fd.valid() ? "opened" : sys::errno_text(errno);
}

// What is wrong in the sandbox, or nothing.
std::string inspect_sandbox() {
  std::string wrong;
  const auto expect = [&wrong](const std::string& got, const std::string& wanted, const char* what) {
    if (got != wanted) {
      wrong += std::string(what) + " is '" + got + "' and not '" + wanted + "'; ";
    }
  };
  expect(entries_of("/"), "etc run ", "the root directory");
  expect(entries_of("/etc"), "", "/etc");
  expect(entries_of("/run"), "", "/run");
  expect(entries_of(".."), "etc run ", "the parent of the working directory");
  expect(open_error("/file", O_WRONLY | O_CREAT), "Read-only file system", "a new file");
  expect(open_error("/etc/file", O_WRONLY | O_CREAT), "Read-only file system", "a new file in /etc");
  expect(open_error("/proc/self/stat", O_RDONLY), "No such file or directory", "/proc");
  expect(open_error("/etc/passwd", O_RDONLY), "No such file or directory", "/etc/passwd");
  expect(fs::current_path().string(), "/", "the working directory");
  if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) {
    wrong += "no_new_privs is off; ";
  }
  return wrong;
}

constexpr int kLandlockCreateRuleset = 444;
constexpr int kLandlockRestrictSelf = 446;

// Seals the calling process and looks at it through an old descriptor of /proc, which stays. As with a kernel
// that lacks Landlock, for there would be nothing to look at otherwise.
std::string seal_and_inspect(const std::string& wanted_capabilities, bool new_user_namespace) {
  const ino_t user = namespace_of("user");
  const sys::Fd proc(::open("/proc/self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC));
  std::string wrong = testing::inject_failure(kLandlockCreateRuleset, ENOSYS);
  const auto sealed = seal(sandbox_only());
  if (!sealed) {
    return sealed.error().message();
  }
  wrong += inspect_sandbox();
  if (capabilities() != wanted_capabilities) {
    wrong += "capabilities " + capabilities();
  }
  struct stat s {};
  if (::fstatat(proc.get(), "user", &s, 0) != 0 || (s.st_ino != user) != new_user_namespace) {
    wrong += "the user namespace is not as expected";
  }
  return wrong;
}

TEST_CASE("root's sandbox, with the privileged ports") {
  CHECK(testing::run_in_child([] { return seal_and_inspect("cap_net_bind_service=ep", false); }) == "");
}

TEST_CASE("an unprivileged user's sandbox") {
  CHECK(testing::run_in_child([] {
          const uid_t before = kNobody;
          std::string wrong = testing::become_user(before) ? "" : "cannot become a user";
          wrong += seal_and_inspect(std::string(kNoCapabilities), true);
          return wrong + (::getuid() == before && ::getgid() == before ? "" : "the ids have changed");
        }) == "");
}

TEST_CASE("the sandbox of a process that is root of a user namespace, as podman has it") {
  CHECK(testing::run_in_child([] {
          const bool entered = testing::enter_user_and_network_namespace(kNobody);
          return (entered ? "" : testing::failure("unshare")) +
                 seal_and_inspect("cap_net_bind_service=ep", false);
        }) == "");
}

TEST_CASE("the host's mounts stay as they are") {
  const std::string before = entries_of("/");
  CHECK(testing::run_in_child([] { return seal(sandbox_only()) ? "" : "not sealed"; }) == "");
  CHECK(entries_of("/") == before);
  CHECK(::access("/proc/self/stat", R_OK) == 0);
}

TEST_CASE("without the sandbox only the rights go") {
  CHECK(testing::run_in_child([]() -> std::string {
          const auto sealed = seal(rights_only());
          if (!sealed || ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) {
            return "not sealed";
          }
          return capabilities() + " " + open_error("/proc/self/stat", O_RDONLY);
        }) == "cap_net_bind_service=ep opened");
}

// "core 0, …": the limits that are not soft and hard as they must be.
std::string wrong_limits(rlim_t descriptors) {
  struct Row {
    decltype(RLIMIT_CORE) resource;
    const char* name;
    rlim_t wanted;
  };
  const std::vector<Row> rows = {{RLIMIT_CORE, "core", 0},
                                 {RLIMIT_NPROC, "processes", 0},
                                 {RLIMIT_MEMLOCK, "locked memory", 0},
                                 {RLIMIT_NOFILE, "descriptors", descriptors}};
  std::string wrong;
  for (const Row& row : rows) {
    rlimit limit{};
    ::getrlimit(row.resource, &limit);
    if (limit.rlim_cur != row.wanted || limit.rlim_max != row.wanted) {
      wrong += std::string(row.name) + " " + std::to_string(limit.rlim_cur) + " of " +
               std::to_string(limit.rlim_max) + ", ";
    }
  }
  return wrong;
}

TEST_CASE("what the process may take is limited") {
  CHECK(testing::run_in_child([] {
          rlimit before{};
          ::getrlimit(RLIMIT_NOFILE, &before);
          return seal(rights_only()) ? wrong_limits(std::min<rlim_t>(before.rlim_cur, kMostDescriptors))
                                     : "not sealed";
        }) == "");
}

TEST_CASE("descriptors: as many as we need, but no more than the soft limit") {
  for (const unsigned most : {200U, 300U, 400U}) {
    CHECK(testing::run_in_child([&]() -> std::string {
            const rlimit before = {300, 500};
            const bool set = ::setrlimit(RLIMIT_NOFILE, &before) == 0;
            return set && limit_resources(most) ? wrong_limits(std::min(300U, most)) : "not limited";
          }) == "");
  }
}

TEST_CASE("descriptors: the soft limit is raised, as far as it makes sense, and never lowered") {
  struct Row {
    rlimit before;
    unsigned most;
    rlim_t soft;
    unsigned told;
  };
  const std::vector<Row> rows = {
      {{300, 500}, 400, 400, 400},
      {{300, 500}, 1000, 500, 500},
      {{300, 500}, 200, 300, 200},
      {{500, 500}, 1000, 500, 500},
  };
  for (const Row& row : rows) {
    CAPTURE(row.most);
    CHECK(testing::run_in_child([&]() -> std::string {
            ::setrlimit(RLIMIT_NOFILE, &row.before);
            const unsigned told = raise_descriptor_limit(row.most);
            rlimit after{};
            ::getrlimit(RLIMIT_NOFILE, &after);
            return told == row.told && after.rlim_cur == row.soft && after.rlim_max == row.before.rlim_max
                       ? ""
                       : "not as it should be";
          }) == "");
  }
}

TEST_CASE("a limit that cannot be set names itself") {
  CHECK(testing::run_in_child([]() -> std::string {
          const std::string injected = testing::inject_failure(SCMP_SYS(prlimit64), EPERM);
          const auto sealed = seal(rights_only());
          return injected + (sealed ? "sealed" : sealed.error().message());
        }) == "cannot limit core files: Operation not permitted");
}

TEST_CASE("the sealed process starts no other") {
  CHECK(testing::run_in_child([]() -> std::string {
          // Root is above the limit, and what it keeps of its rights is not what would put it there.
          if (!testing::become_user(kNobody) || !seal(rights_only())) {
            return "not sealed";
          }
          const pid_t pid = ::fork();
          if (pid == 0) {
            ::_exit(0);
          }
          return pid < 0 ? sys::errno_text(errno) : "forked";
        }) == "Resource temporarily unavailable");
}

TEST_CASE("a sandbox that cannot be made names the step") {
  struct Row {
    int system_call;
    std::string error;
  };
  const std::vector<Row> rows = {
      {SCMP_SYS(unshare), "sandbox: cannot make new mount, IPC and UTS namespaces: Operation not permitted"},
      {SCMP_SYS(mount), "sandbox: cannot separate the mounts from the host's: Operation not permitted"},
      {SCMP_SYS(pivot_root), "sandbox: cannot change the root directory: Operation not permitted"},
      {SCMP_SYS(umount2), "sandbox: cannot detach the old root directory: Operation not permitted"},
  };
  for (const Row& row : rows) {
    CHECK(testing::run_in_child([&] {
            const std::string injected = testing::inject_failure(row.system_call, EPERM);
            const auto sealed = seal(sandbox_only());
            return injected + (sealed ? "sealed" : sealed.error().message());
          }) == row.error);
  }
}

// The messages of what is missing, or of the error.
std::string told(const sys::Result<MissingLayers>& sealed) {
  if (!sealed) {
    return "error: " + sealed.error().message();
  }
  std::string text;
  for (const sys::Error& missing : *sealed) {
    text += "missing: " + missing.message() + "; ";
  }
  return text;
}

TEST_CASE("a sandbox that is wanted only if possible may be missing; the rights go all the same") {
  CHECK(testing::run_in_child([] {
          const std::string injected = testing::inject_failure(SCMP_SYS(unshare), EPERM);
          const std::string said = injected + told(seal(sandbox_only(Want::if_possible)));
          return said + capabilities();
        }) ==
        "missing: sandbox: cannot make new mount, IPC and UTS namespaces: Operation not permitted; "
        "cap_net_bind_service=ep");
}

TEST_CASE("a sandbox that fails halfway leaves a process that works") {
  CHECK(testing::run_in_child([] {
          const std::string injected = testing::inject_failure(SCMP_SYS(pivot_root), EINVAL);
          const std::string said = injected + told(seal(sandbox_only(Want::if_possible)));
          return said + capabilities() + " " + open_error("/etc/passwd", O_RDONLY);
        }) ==
        "missing: sandbox: cannot change the root directory: Invalid argument; "
        "cap_net_bind_service=ep Permission denied");
}

// What a process can do with files that has been sealed without namespaces, Landlock's failure injected into
// call `call` unless that is 0: the outcome of each try, after what seal() has said.
std::string file_access(Want want, int call = 0, int code = 0) {
  const testing::TemporaryDirectory directory;
  const std::string file = directory.file("file");
  const std::string other = directory.file("other");
  testing::write_text(file, "x");
  const std::vector<std::function<bool()>> tries = {
      [&] { return ::open(file.c_str(), O_RDONLY | O_CLOEXEC) >= 0; },
      [&] { return ::open(file.c_str(), O_WRONLY | O_CLOEXEC) >= 0; },
      [&] { return ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0; },
      [&] { return ::open(other.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0; },
      [&] { return ::mkdir((other + "2").c_str(), 0700) == 0; },
      [&] { return ::rename(file.c_str(), other.c_str()) == 0; },
      [&] { return ::unlink(other.c_str()) == 0 || ::unlink(file.c_str()) == 0; },
  };
  return testing::run_in_child([&] {
    const sys::Fd old(::open(file.c_str(), O_RDWR | O_CLOEXEC));
    std::string said = call == 0 ? "" : testing::inject_failure(call, code);
    said += testing::inject_failure(SCMP_SYS(unshare), EPERM);
    said += told(seal(sandbox_only(want)));
    for (const auto& attempt : tries) {
      said += attempt() ? "+" : (errno == EACCES ? "-" : "?");
    }
    return said + (::write(old.get(), "x", 1) == 1 ? " writes to an open file" : " cannot write");
  });
}

constexpr std::string_view kNoNamespaces =
    "missing: sandbox: cannot make new mount, IPC and UTS namespaces: Operation not permitted; ";

TEST_CASE("Landlock: no file can be touched, also without the sandbox; open ones stay") {
  CHECK(file_access(Want::if_possible) == std::string(kNoNamespaces) + "------- writes to an open file");
}

TEST_CASE("Landlock: a kernel without it is no reason for a warning") {
  for (const int code : {ENOSYS, EOPNOTSUPP}) {
    CHECK(file_access(Want::if_possible, kLandlockCreateRuleset, code) ==
          std::string(kNoNamespaces) + "+++++++ writes to an open file");
  }
  CHECK(testing::run_in_child([] {
          const std::string injected = testing::inject_failure(kLandlockCreateRuleset, ENOSYS);
          return injected + told(seal(sandbox_only(Want::always)));
        }) == "");
}

TEST_CASE("Landlock: a failure is told, and an error where the sandbox is wanted always") {
  const std::string told_so = "sandbox: cannot give up the file system: Argument list too long";
  CHECK(file_access(Want::if_possible, kLandlockRestrictSelf, E2BIG) ==
        std::string(kNoNamespaces) + "missing: " + told_so + "; +++++++ writes to an open file");
  CHECK(testing::run_in_child([] {
          const std::string injected = testing::inject_failure(kLandlockRestrictSelf, E2BIG);
          return injected + told(seal(sandbox_only(Want::always)));
        }) == "error: " + told_so);
}

TEST_CASE("Landlock: all rights that an older kernel knows are given up") {
  CHECK(file_rights(0) == 0);
  CHECK(file_rights(1) == 0x1fff);
  CHECK(file_rights(2) == 0x3fff);
  CHECK(file_rights(3) == 0x7fff);
  CHECK(file_rights(4) == 0x7fff);
  CHECK(file_rights(5) == 0xffff);
  CHECK(file_rights(100) == 0xffff);
}

TEST_CASE("a filter that cannot be had is missing, or an error where it is wanted always") {
  // Only a process with no_new_privs or CAP_SYS_ADMIN may load one.
  const auto seal_with = [](Want want) {
    return testing::run_in_child([want] {
      const bool became = testing::become_user(kNobody);
      const std::string injected = testing::inject_failure(SCMP_SYS(seccomp), EPERM);
      return injected + (became ? told(seal({.sandbox = Want::no, .seccomp = want})) : "?");
    });
  };
  CHECK(seal_with(Want::if_possible).starts_with("missing: seccomp: cannot load the filter: "));
  CHECK(seal_with(Want::always).starts_with("error: seccomp: cannot load the filter: "));
}

// Becomes a user who has CAP_NET_BIND_SERVICE, as by setcap(8).
bool become_user_with_privileged_ports() {
  const cap_value_t bind = CAP_NET_BIND_SERVICE;
  cap_t kept = ::cap_init();
  const bool done = ::cap_set_flag(kept, CAP_PERMITTED, 1, &bind, CAP_SET) == 0 &&
                    ::cap_set_flag(kept, CAP_EFFECTIVE, 1, &bind, CAP_SET) == 0 &&
                    ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && testing::become_user(kNobody) &&
                    ::cap_set_proc(kept) == 0;
  ::cap_free(kept);
  return done;
}

TEST_CASE("a user's privileged ports are worth more than a sandbox that is wanted only if possible") {
  const auto seal_with = [](Want want) {
    return testing::run_in_child([want] {
      const bool became = become_user_with_privileged_ports();
      const std::string said = (became ? "" : "? ") + told(seal(sandbox_only(want)));
      return said + capabilities();
    });
  };
  CHECK(seal_with(Want::if_possible) ==
        "missing: sandbox: it would take a user namespace, and with it the privileged ports; "
        "cap_net_bind_service=ep");
  CHECK(seal_with(Want::always) == kNoCapabilities);
}

TEST_CASE("a user namespace that cannot be made names the step") {
  const std::string outcome = testing::run_in_child([] {
    const bool became = testing::become_user(kNobody);
    const std::string injected = testing::inject_failure(SCMP_SYS(unshare), EPERM);
    const auto sealed = seal(sandbox_only());
    return injected + (became && sealed ? "sealed" : sealed.error().message());
  });
  CHECK(outcome.starts_with("sandbox: cannot make a user namespace"));
  CHECK(outcome.ends_with("Operation not permitted"));
}

}  // namespace
}  // namespace l4n::netns
