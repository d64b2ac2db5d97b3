// WorkerEnd: how the monitor learns that seccomp has killed the worker, and where it says so.
//
// The monitor is the worker's child and cannot wait for it. It looks at /proc, where an ending process shows
// its status until it is reaped, and after that asks the pidfd (Linux 6.15). On older kernels a caller that
// reaps the worker at once may be faster than the monitor, and then nothing is said.
#pragma once

#include <sys/types.h>

#include "netns/sys/fd.hpp"

namespace l4n::netns {

class WorkerEnd {
 public:
  // Takes a copy of stderr for the report, unless that is a pipe: whoever reads it to the end waits for the
  // worker, and must not have to wait for us.
  explicit WorkerEnd(pid_t worker) noexcept;

  // Descriptors above 2, or -1, that a process keeps which closes the others.
  [[nodiscard]] int pidfd() const noexcept { return pidfd_.get(); }
  [[nodiscard]] int report_fd() const noexcept { return report_.get(); }

  // To be called once the worker's end of a channel is closed: one line if seccomp was the reason.
  void report_seccomp() const noexcept;

 private:
  [[nodiscard]] int exit_status() const noexcept;

  pid_t worker_;
  sys::Fd pidfd_;
  sys::Fd report_;
};

}  // namespace l4n::netns
