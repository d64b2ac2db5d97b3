// The terminal that `run` was started on, and whose turn it is there.
#pragma once

#include "netns/sys/fd.hpp"

namespace l4n::cli {

class Terminal {
 public:
  // Opens the controlling terminal, if there is one.
  Terminal();

  // -1 where there is none.
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] bool exists() const noexcept { return fd_.valid(); }
  // Our process group is the foreground now.
  [[nodiscard]] bool in_foreground() const noexcept;
  // At the start it was, and both standard input and standard output were the terminal: nobody else of a
  // pipeline needs the terminal, so the command may have it for a process group of its own.
  [[nodiscard]] bool is_ours_alone() const noexcept { return alone_; }

  // Becomes the foreground again if we were it at the start and the group that has been it since is gone.
  // SIGTTOU must be blocked.
  void take_back() const noexcept;

 private:
  sys::Fd fd_;
  bool was_foreground_ = false;
  bool alone_ = false;
};

}  // namespace l4n::cli
