// Attaching to processes in namespaces that the tests make. Needs root.
#include "netns/attach.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>

#include "tests/netns/child_process.hpp"
#include "tests/netns/temporary_directory.hpp"

namespace l4n::netns {
namespace {

using testing::failure;
using testing::Pipe;
using testing::run_in_child;
using testing::TargetProcess;

constexpr uid_t kNobody = 65534;

struct Outcome {
  std::string report;
  std::string error;
  std::optional<Attached> attached;
};

Outcome attach_and_report(AttachRequest request) {
  Pipe pipe;
  request.report_fd = pipe.write_end.get();
  auto attached = attach(request);
  pipe.write_end.reset();
  Outcome outcome;
  outcome.report = testing::read_all(pipe.read_end.get());
  if (attached) {
    outcome.attached = std::move(*attached);
  } else {
    outcome.error = attached.error().message();
  }
  return outcome;
}

AttachRequest request_for(pid_t pid) {
  AttachRequest request;
  request.target.pid = pid;
  request.tap_name = "tap0";
  return request;
}

AttachRequest request_for_path(const std::string& netns, std::optional<std::string> userns = std::nullopt) {
  AttachRequest request;
  request.target.kind = Target::Kind::path;
  request.target.netns_path = netns;
  request.target.userns_path = std::move(userns);
  request.tap_name = "tap0";
  return request;
}

bool has_expected_report(const Outcome& outcome) {
  const std::size_t newline = outcome.report.find('\n');
  const std::string received =
      "received tapfd=" + std::to_string(outcome.attached ? outcome.attached->tap.fd.get() : -1) + "\n";
  return newline != std::string::npos && outcome.report.starts_with("sent tapfd=") &&
         outcome.report.substr(0, newline).ends_with(" for tap0") &&
         outcome.report.substr(newline + 1) == received;
}

TEST_CASE("root attaches to a process") {
  const TargetProcess target;
  REQUIRE(target.ready());
  AttachRequest request = request_for(target.pid());
  request.configure.emplace();
  request.configure->addresses = {{sys::make_ipv4(10, 0, 2, 100), 24}};
  request.configure->gateways = {sys::make_ipv4(10, 0, 2, 2)};
  const Outcome outcome = attach_and_report(std::move(request));
  CHECK(outcome.error == "");
  REQUIRE(outcome.attached);
  CHECK(has_expected_report(outcome));
  CHECK(outcome.attached->tap.vnet_hdr);
  CHECK(outcome.attached->tap.created);
  CHECK(outcome.attached->target.pidfd.valid());
  struct stat s {};
  REQUIRE(::stat(target.netns_file().c_str(), &s) == 0);
  CHECK(outcome.attached->target.netns == NetnsIdentity{s.st_dev, s.st_ino});
  CHECK(::waitpid(-1, nullptr, WNOHANG) == 0);  // no zombie: the target is the only child left
}

TEST_CASE("root attaches by path, through a descriptor too") {
  const TargetProcess target;
  REQUIRE(target.ready());
  CHECK(attach_and_report(request_for_path(target.netns_file())).error == "");
  const sys::Fd fd(::open(target.netns_file().c_str(), O_RDONLY | O_CLOEXEC));
  const Outcome outcome = attach_and_report(request_for_path("/proc/self/fd/" + std::to_string(fd.get())));
  CHECK(outcome.error == "");
  REQUIRE(outcome.attached);
  CHECK_FALSE(outcome.attached->target.path_is_public);
}

std::string become_nobody() { return testing::become_user(kNobody) ? "" : failure("become_user"); }

std::string become_nobody_with_tun_device(mode_t mode) {
  std::string error = testing::replace_tun_device(mode);
  return error.empty() ? become_nobody() : error;
}

std::string attach_as_nobody(const AttachRequest& request) {
  if (std::string error = become_nobody_with_tun_device(0666); !error.empty()) {
    return error;
  }
  const Outcome outcome = attach_and_report(request);
  return outcome.attached && has_expected_report(outcome) ? "" : outcome.report + outcome.error;
}

TEST_CASE("an unprivileged user attaches to a process of its own") {
  const TargetProcess target(kNobody);
  REQUIRE(target.ready());
  const std::string userns = "/proc/" + std::to_string(target.pid()) + "/ns/user";
  AttachRequest configured = request_for(target.pid());
  configured.configure.emplace();
  configured.configure->addresses = {{sys::make_ipv4(10, 0, 2, 100), 24}};
  configured.configure->gateways = {sys::make_ipv4(10, 0, 2, 2)};
  CHECK(run_in_child([&] { return attach_as_nobody(configured); }) == "");
  CHECK(run_in_child([&] { return attach_as_nobody(request_for_path(target.netns_file(), userns)); }) == "");

  // Root attaches to it as well, though root is nobody in there.
  CHECK(attach_and_report(request_for(target.pid())).error == "");
}

TEST_CASE("the user namespace may have been joined already") {
  const TargetProcess target(kNobody);
  REQUIRE(target.ready());
  const std::string outcome = run_in_child([&]() -> std::string {
    if (std::string error = testing::replace_tun_device(0666); !error.empty()) {
      return error;
    }
    const sys::Fd userns(
        ::open(("/proc/" + std::to_string(target.pid()) + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC));
    if (::setns(userns.get(), CLONE_NEWUSER) != 0) {
      return failure("setns");
    }
    const Outcome attached = attach_and_report(request_for(target.pid()));
    return attached.attached ? "" : attached.report + attached.error;
  });
  CHECK(outcome == "");
}

TEST_CASE("a namespace that only the inside of the user namespace may open is opened there") {
  const TargetProcess target(kNobody);
  REQUIRE(target.ready());
  const testing::TemporaryDirectory directory;
  // Under a directory that root of the user namespace passes by capability, and its owner outside does not.
  const std::string outcome = run_in_child([&]() -> std::string {
    if (std::string error = testing::replace_tun_device(0666); !error.empty()) {
      return error;
    }
    const std::string hidden = directory.file("hidden");
    const std::string file = hidden + "/netns";
    if (::chmod(directory.file("").c_str(), 0755) != 0 || ::mkdir(hidden.c_str(), 0700) != 0 ||
        ::close(::creat(file.c_str(), 0600)) != 0 ||
        ::mount(target.netns_file().c_str(), file.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
        ::chown(hidden.c_str(), kNobody, kNobody) != 0 || ::chmod(hidden.c_str(), 0) != 0) {
      return failure("mount(netns)");
    }
    std::string error = become_nobody();
    if (error.empty() && ::access(file.c_str(), F_OK) == 0) {
      error = "the directory hides nothing";
    }
    const Outcome attached =
        attach_and_report(request_for_path(file, "/proc/" + std::to_string(target.pid()) + "/ns/user"));
    if (!attached.attached) {
      return error + attached.report + attached.error;
    }
    struct stat s {};
    const bool same = ::stat(target.netns_file().c_str(), &s) == 0 &&
                      attached.attached->target.netns == NetnsIdentity{s.st_dev, s.st_ino};
    return error + (same && !attached.attached->target.path_is_public ? "" : "wrong identity");
  });
  CHECK(outcome == "");
}

TEST_CASE("failures are one line that names the step, then the child's end") {
  const TargetProcess target;
  REQUIRE(target.ready());
  const std::string file = target.netns_file();
  struct Case {
    std::string what;
    AttachRequest request;
    std::string report;
  };
  AttachRequest bad_config = request_for(target.pid());
  bad_config.configure.emplace();
  bad_config.configure->gateways = {sys::make_ipv4(10, 0, 2, 2)};
  const Case cases[] = {
      {"no process", request_for(0x3fffffff), "/proc/1073741823/ns/net: No such file or directory\n"},
      {"no path", request_for_path("/nonexistent"), "/nonexistent: No such file or directory\n"},
      {"no user namespace", request_for_path(file, "/nonexistent"),
       "/nonexistent: No such file or directory\n"},
      {"no namespace", request_for_path("/etc/passwd"), "setns(CLONE_NEWNET): Invalid argument\n"},
      {"configuration", bad_config,
       "cannot add the default route via 10.0.2.2 on tap0: Network is unreachable\n"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    const Outcome outcome = attach_and_report(c.request);
    CHECK_FALSE(outcome.attached);
    CHECK(outcome.report == c.report);
    CHECK(outcome.error == "child failed(1)");
  }
  // Nothing was left behind: the name is free again.
  CHECK(attach_and_report(request_for(target.pid())).attached->tap.created);
}

TEST_CASE("an unprivileged user is refused what is not its own") {
  const TargetProcess roots;
  const TargetProcess own(kNobody);
  REQUIRE(roots.ready());
  REQUIRE(own.ready());
  std::string refused = run_in_child([&]() -> std::string {
    std::string error = become_nobody();
    const Outcome outcome = attach_and_report(request_for(roots.pid()));
    return error + outcome.report + outcome.error;
  });
  CHECK(refused == roots.netns_file() + ": Permission denied\nchild failed(1)");

  refused = run_in_child([&]() -> std::string {
    const sys::Fd fd(::open(roots.netns_file().c_str(), O_RDONLY));
    std::string error = become_nobody();
    const Outcome outcome = attach_and_report(request_for_path("/proc/self/fd/" + std::to_string(fd.get())));
    return error + outcome.report + outcome.error;
  });
  CHECK(refused == "setns(CLONE_NEWNET): Operation not permitted\nchild failed(1)");

  refused = run_in_child([&]() -> std::string {
    std::string error = become_nobody_with_tun_device(0600);
    const Outcome outcome = attach_and_report(request_for(own.pid()));
    return error + outcome.report + outcome.error;
  });
  CHECK(refused == "cannot open /dev/net/tun: Permission denied\nchild failed(1)");
}

TEST_CASE("a kernel without pidfd_open") {
  const TargetProcess target;
  REQUIRE(target.ready());
  const std::string outcome = run_in_child([&]() -> std::string {
    const std::string error = testing::inject_failure(SCMP_SYS(pidfd_open), ENOSYS);
    const Outcome good = attach_and_report(request_for(target.pid()));
    const Outcome bad = attach_and_report(request_for(0x3fffffff));
    const bool without = good.attached && !good.attached->target.pidfd.valid();
    return error + good.error + (without ? "" : "not without pidfd ") + bad.report;
  });
  CHECK(outcome == "/proc/1073741823/ns/net: No such file or directory\n");
}

// Somebody in the target's user namespace, who has all rights there, wants to trace a process: his error.
std::string trace_from_inside(pid_t target, pid_t pid) {
  return run_in_child([&]() -> std::string {
    const std::string userns = "/proc/" + std::to_string(target) + "/ns/user";
    const sys::Fd fd(::open(userns.c_str(), O_RDONLY | O_CLOEXEC));
    if (std::string error = become_nobody(); !error.empty()) {
      return error;
    }
    if (::setns(fd.get(), CLONE_NEWUSER) != 0) {
      return failure("setns");
    }
    return ::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0 ? "" : sys::errno_text(errno);
  });
}

// Its only child, once that lives in the network namespace; 0 when it does not come.
pid_t child_in(pid_t parent, const std::string& netns_file) {
  const std::string children =
      "/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children";
  struct stat wanted {};
  ::stat(netns_file.c_str(), &wanted);
  for (int i = 0; i < 2000; ++i) {
    pid_t child = 0;
    struct stat s {};
    if (std::ifstream(children) >> child &&
        ::stat(("/proc/" + std::to_string(child) + "/ns/net").c_str(), &s) == 0 &&
        s.st_ino == wanted.st_ino) {
      return child;
    }
    ::usleep(10'000);
  }
  return 0;
}

TEST_CASE("the guest cannot trace the child that has joined it") {
  const TargetProcess target(kNobody);
  REQUIRE(target.ready());
  Pipe pipe;  // full, so that the child waits where it announces the TAP
  REQUIRE(::fcntl(pipe.write_end.get(), F_SETPIPE_SZ, 4096) == 4096);
  testing::write_all(pipe.write_end.get(), std::string(4096, 'x'));
  const pid_t caller = ::fork();
  if (caller == 0) {
    pipe.read_end.reset();
    AttachRequest request = request_for(target.pid());
    request.report_fd = pipe.write_end.get();
    const bool attached = become_nobody_with_tun_device(0666).empty() && attach(request);
    ::_exit(attached ? 0 : 1);
  }
  pipe.write_end.reset();
  const pid_t child = child_in(caller, target.netns_file());
  CHECK(child > 0);
  CHECK(trace_from_inside(target.pid(), target.pid()) == "");
  CHECK(trace_from_inside(target.pid(), child) == "Operation not permitted");
  CHECK(testing::read_all(pipe.read_end.get()).ends_with("\n"));
  int status = -1;
  ::waitpid(caller, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("a caller that ignores SIGCHLD is served") {
  const TargetProcess target;
  REQUIRE(target.ready());
  const std::string outcome = run_in_child([&]() -> std::string {
    ::signal(SIGCHLD, SIG_IGN);
    const Outcome good = attach_and_report(request_for(target.pid()));
    const Outcome bad = attach_and_report(request_for_path("/etc/passwd"));
    return good.error + bad.error;
  });
  CHECK(outcome == "child failed(1)");
}

}  // namespace
}  // namespace l4n::netns
