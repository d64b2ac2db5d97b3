// The monitor as a real child process. Needs root for the parts with a target.
#include "netns/monitor.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "netns/seccomp_policy.hpp"
#include "tests/netns/child_process.hpp"
#include "tests/netns/temporary_directory.hpp"

namespace l4n::netns {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::TargetProcess;
using testing::TemporaryDirectory;
using testing::write_text;

MonitorRequest request_for(const std::string& resolv_conf) {
  MonitorRequest request;
  request.resolv_conf_path = resolv_conf;
  return request;
}

std::string servers_in(const Monitor::ReadResult& result) {
  if (result.status != Monitor::ReadStatus::message ||
      !std::holds_alternative<Nameservers>(*result.message)) {
    return "no servers";
  }
  std::string text;
  for (const NameserverAddress& s : std::get<Nameservers>(*result.message).servers) {
    text += (text.empty() ? "" : " ") + to_string(s.address);
    text += s.scope_id == 0 ? "" : "%" + std::to_string(s.scope_id);
  }
  return text;
}

bool exists(pid_t pid) { return ::kill(pid, 0) == 0; }

// A zombie still exists; `pid` is not our child here.
bool ends_within(pid_t pid, milliseconds limit) {
  for (milliseconds waited(0); waited < limit; waited += milliseconds(10)) {
    if (!exists(pid) || read_process_stat(pid).value_or(ProcessStat{'Z', 0}).ended()) {
      return true;
    }
    ::usleep(10'000);
  }
  return false;
}

TEST_CASE("the name servers come first and follow the file") {
  const TemporaryDirectory directory;
  const std::string file = directory.file("resolv.conf");
  write_text(file, "nameserver 1.2.3.4\nnameserver fe80::1%lo\nnameserver fe80::2%no-such-if\n");
  auto monitor = start_monitor(request_for(file));
  REQUIRE(monitor);
  CHECK(servers_in(monitor->wait(seconds(2))) == "1.2.3.4 fe80::1%1");
  CHECK(monitor->read().status == Monitor::ReadStatus::empty);

  write_text(directory.file("new"), "nameserver 5.6.7.8\n");
  fs::rename(directory.file("new"), file);
  CHECK(servers_in(monitor->wait(seconds(1))) == "5.6.7.8");
  fs::remove(file);
  CHECK(servers_in(monitor->wait(seconds(1))).empty());
}

TEST_CASE("without a file the first message is an empty list") {
  auto monitor = start_monitor(request_for("/nonexistent/resolv.conf"));
  REQUIRE(monitor);
  const auto first = monitor->wait(seconds(2));
  CHECK(first.status == Monitor::ReadStatus::message);
  CHECK(servers_in(first).empty());
}

TEST_CASE("stop() ends and reaps it") {
  auto monitor = start_monitor(request_for("/etc/resolv.conf"));
  REQUIRE(monitor);
  const pid_t pid = monitor->pid();
  REQUIRE(exists(pid));
  monitor->stop();
  CHECK_FALSE(exists(pid));
  CHECK(monitor->pid() == -1);
}

TEST_CASE("its end is told to the worker") {
  auto monitor = start_monitor(request_for("/etc/resolv.conf"));
  REQUIRE(monitor);
  CHECK(monitor->wait(seconds(2)).status == Monitor::ReadStatus::message);
  ::kill(monitor->pid(), SIGKILL);
  CHECK(monitor->wait(seconds(2)).status == Monitor::ReadStatus::closed);
}

TEST_CASE("it ends with its worker, whatever ended that, and only then") {
  testing::Pipe pipe;
  const pid_t worker = ::fork();
  if (worker == 0) {
    auto monitor = start_monitor(request_for("/etc/resolv.conf"));
    testing::write_all(pipe.write_end.get(), monitor ? std::to_string(monitor->pid()) : "0");
    pipe.write_end.reset();
    for (;;) {
      ::pause();
    }
  }
  pipe.write_end.reset();
  const pid_t monitor = std::stoi(testing::read_all(pipe.read_end.get()));
  REQUIRE(monitor > 0);
  ::usleep(100'000);  // it may still have the worker's signal handlers
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    ::kill(monitor, signal);
  }
  CHECK_FALSE(ends_within(monitor, milliseconds(200)));
  ::kill(worker, SIGKILL);
  ::waitpid(worker, nullptr, 0);
  CHECK(ends_within(monitor, seconds(1)));
}

TEST_CASE("it holds nothing of what the worker inherited") {
  const testing::Pipe waited_for;
  auto monitor = start_monitor(request_for("/etc/resolv.conf"));
  REQUIRE(monitor);
  REQUIRE(monitor->wait(seconds(2)).status == Monitor::ReadStatus::message);
  const fs::path process = "/proc/" + std::to_string(monitor->pid());
  for (const auto& entry : fs::directory_iterator(process / "fd")) {
    const std::string target = fs::read_symlink(entry.path()).string();
    CAPTURE(target);
    const int fd = std::stoi(entry.path().filename().string());
    CHECK((fd > 2 || target == "/dev/null"));
    CHECK(target.find("pipe:") == std::string::npos);
  }
  CHECK(fs::read_symlink(process / "cwd") == "/");
  std::ifstream comm(process / "comm");
  std::string name;
  std::getline(comm, name);
  CHECK(name == "lwip4netns-mon");
}

TEST_CASE("a worker without stdio gets a working monitor") {
  const std::string outcome = testing::run_in_child([]() -> std::string {
    ::close(0);
    ::close(1);
    ::close(2);
    auto monitor = start_monitor(request_for("/etc/resolv.conf"));
    if (!monitor) {
      return monitor.error().message();
    }
    return monitor->wait(seconds(2)).status == Monitor::ReadStatus::message ? "" : "no message";
  });
  CHECK(outcome == "");
}

TEST_CASE("a kernel without inotify: the file is polled") {
  const TemporaryDirectory directory;
  const std::string file = directory.file("resolv.conf");
  write_text(file, "nameserver 1.0.0.1\n");
  const std::string outcome = testing::run_in_child([&]() -> std::string {
    std::string error = testing::inject_failure(SCMP_SYS(inotify_init1), ENOSYS);
    auto monitor = start_monitor(request_for(file));
    if (!monitor) {
      return error + monitor.error().message();
    }
    const std::string first = servers_in(monitor->wait(seconds(2)));
    write_text(file, "nameserver 1.0.0.2\n");
    return error + first + " " + servers_in(monitor->wait(milliseconds(1500)));
  });
  CHECK(outcome == "1.0.0.1 1.0.0.2");
}

TEST_CASE("a killed worker's socket is removed, another one in its place is not") {
  for (const bool replaced : {false, true}) {
    CAPTURE(replaced);
    const TemporaryDirectory directory;
    const std::string path = directory.file("socket");
    testing::Pipe pipe;
    const pid_t worker = ::fork();
    if (worker == 0) {
      auto listener = UnixListener::listen(path, SOCK_STREAM);
      MonitorRequest request = request_for("/etc/resolv.conf");
      request.socket_files = {listener->file()};
      auto monitor = start_monitor(std::move(request));
      testing::write_all(pipe.write_end.get(), monitor ? std::to_string(monitor->pid()) : "0");
      pipe.write_end.reset();
      for (;;) {
        ::pause();
      }
    }
    pipe.write_end.reset();
    const pid_t monitor = std::stoi(testing::read_all(pipe.read_end.get()));
    REQUIRE(monitor > 0);
    REQUIRE(fs::is_socket(path));
    if (replaced) {
      fs::remove(path);
      write_text(path, "precious");
    }
    ::kill(worker, SIGKILL);
    ::waitpid(worker, nullptr, 0);
    CHECK(ends_within(monitor, seconds(1)));
    CHECK(fs::exists(path) == replaced);
  }
}

// What a worker's monitor has said on the worker's stderr, a file, when the worker ended like this.
std::string said_at_end(const std::function<void()>& end) {
  const TemporaryDirectory directory;
  const std::string log = directory.file("log");
  testing::Pipe pipe;
  const pid_t worker = ::fork();
  if (worker == 0) {
    const int fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ::dup2(fd, STDERR_FILENO);
    MonitorRequest request = request_for("/etc/resolv.conf");
    auto monitor = start_monitor(std::move(request));
    static_cast<void>(monitor->wait(seconds(2)));
    testing::write_all(pipe.write_end.get(), monitor ? std::to_string(monitor->pid()) : "0");
    end();
    ::_exit(0);
  }
  pipe.write_end.reset();
  const pid_t monitor = std::stoi(testing::read_all(pipe.read_end.get()));
  CHECK(ends_within(monitor, seconds(5)));
  ::waitpid(worker, nullptr, 0);
  std::ifstream file(log);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t at = text.find(std::to_string(worker));
  return at == std::string::npos ? text : text.replace(at, std::to_string(worker).size(), "PID");
}

TEST_CASE("a worker that seccomp has killed is reported, another end is not") {
  CHECK(said_at_end([] {
          ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
          static_cast<void>(install_seccomp(SeccompRequest{}));
          ::sync();
        }) == "error: process PID was killed by seccomp: it made a system call that it never needs\n");
  CHECK(said_at_end([] { ::kill(::getpid(), SIGKILL); }) == "");
  CHECK(said_at_end([] {}) == "");
}

TEST_CASE("the target's end is told") {
  TargetProcess target;
  REQUIRE(target.ready());
  Target named;
  named.pid = target.pid();
  auto opened = open_target(named);
  REQUIRE(opened);
  MonitorRequest request = request_for("/etc/resolv.conf");
  request.target = std::move(opened->watched);
  auto monitor = start_monitor(std::move(request));
  REQUIRE(monitor);
  CHECK(monitor->wait(seconds(2)).status == Monitor::ReadStatus::message);
  CHECK(monitor->wait(milliseconds(500)).status == Monitor::ReadStatus::empty);
  target.end();
  const auto told = monitor->wait(seconds(5));
  REQUIRE(told.status == Monitor::ReadStatus::message);
  CHECK(std::holds_alternative<TargetGone>(*told.message));
}

TEST_CASE("the outbound interface's addresses are told after the name servers") {
  MonitorRequest request = request_for("/etc/resolv.conf");
  request.outbound_interface = "lo";
  auto monitor = start_monitor(std::move(request));
  REQUIRE(monitor);
  CHECK(servers_in(monitor->wait(seconds(2))) != "no servers");
  const auto told = monitor->wait(seconds(2));
  REQUIRE(told.status == Monitor::ReadStatus::message);
  REQUIRE(std::holds_alternative<InterfaceAddresses>(*told.message));
  CHECK(std::get<InterfaceAddresses>(*told.message).index == 1);
}

TEST_CASE("each family may have its own outbound interface") {
  MonitorRequest request = request_for("/etc/resolv.conf");
  request.outbound_interface = "lo";
  request.outbound_interface6 = "none-such";
  auto monitor = start_monitor(std::move(request));
  REQUIRE(monitor);
  static_cast<void>(monitor->wait(seconds(2)));
  for (const bool is_v4 : {true, false}) {
    const auto told = monitor->wait(seconds(2));
    REQUIRE(told.status == Monitor::ReadStatus::message);
    REQUIRE(std::holds_alternative<InterfaceAddresses>(*told.message));
    const auto& addresses = std::get<InterfaceAddresses>(*told.message);
    CHECK(addresses.is_v4 == is_v4);
    CHECK(addresses.index == (is_v4 ? 1 : 0));
  }
}

TEST_CASE("a worker that reads nothing gets the latest state, and the monitor does not spin") {
  const TemporaryDirectory directory;
  const std::string file = directory.file("resolv.conf");
  write_text(file, "nameserver 1.0.0.1\n");
  auto monitor = start_monitor(request_for(file));
  REQUIRE(monitor);
  for (int i = 2; i < 12; ++i) {
    write_text(file, "nameserver 1.0.0." + std::to_string(i) + "\n");
    ::usleep(80'000);
  }
  ::usleep(200'000);
  std::string last;
  for (auto r = monitor->read(); r.status == Monitor::ReadStatus::message; r = monitor->read()) {
    last = servers_in(r);
  }
  CHECK(last == "1.0.0.11");
}

}  // namespace
}  // namespace l4n::netns
