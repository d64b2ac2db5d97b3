#include "netns/worker_end.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <string>

#include "netns/target.hpp"

namespace l4n::netns {
namespace {

constexpr int kFirstAboveStdio = 3;

// <linux/pidfd.h> of Linux 6.15; the headers that we are built with are often older.
struct PidfdInfo {
  std::uint64_t mask;
  std::uint64_t cgroup;
  std::array<std::uint32_t, 11> ids;
  std::int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr std::uint64_t kPidfdInfoExit = 1U << 3U;
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);

sys::Fd copy_above_stdio(int fd) noexcept { return sys::Fd(::fcntl(fd, F_DUPFD_CLOEXEC, kFirstAboveStdio)); }

sys::Fd copy_of_stderr() noexcept {
  struct stat s {};
  if (::fstat(STDERR_FILENO, &s) != 0 || S_ISFIFO(s.st_mode)) {
    return {};
  }
  return copy_above_stdio(STDERR_FILENO);
}

}  // namespace

WorkerEnd::WorkerEnd(pid_t worker) noexcept
    : worker_(worker), pidfd_(copy_above_stdio(open_pidfd(worker).get())), report_(copy_of_stderr()) {}

int WorkerEnd::exit_status() const noexcept {
  const auto stat = read_process_stat(worker_);
  if (stat && stat->exit_status != 0) {
    return stat->exit_status;
  }
  PidfdInfo info{};
  info.mask = kPidfdInfoExit;
  const bool known =
      pidfd_.valid() && ::ioctl(pidfd_.get(), kPidfdGetInfo, &info) == 0 && (info.mask & kPidfdInfoExit) != 0;
  return known ? info.exit_code : 0;
}

void WorkerEnd::report_seccomp() const noexcept {
  const int status = exit_status();
  if (report_.valid() && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
    const std::string line = fmt::format(
        "error: process {} was killed by seccomp: it made a system call that it never needs\n", worker_);
    [[maybe_unused]] const ssize_t written = ::write(report_.get(), line.data(), line.size());
  }
}

}  // namespace l4n::netns
