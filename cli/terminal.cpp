#include "cli/terminal.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace l4n::cli {
namespace {

// Of any other terminal than the controlling one tcgetpgrp() says nothing.
bool shows_our_group(int fd) noexcept { return ::tcgetpgrp(fd) == ::getpgrp(); }

bool is_gone(pid_t group) noexcept { return group > 0 && ::kill(-group, 0) != 0 && errno == ESRCH; }

}  // namespace

Terminal::Terminal()
    : fd_(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)),
      was_foreground_(fd_.valid() && shows_our_group(fd_.get())),
      alone_(was_foreground_ && shows_our_group(STDIN_FILENO) && shows_our_group(STDOUT_FILENO)) {}

bool Terminal::in_foreground() const noexcept { return fd_.valid() && shows_our_group(fd_.get()); }

void Terminal::take_back() const noexcept {
  if (was_foreground_ && is_gone(::tcgetpgrp(fd_.get()))) {
    static_cast<void>(::tcsetpgrp(fd_.get(), ::getpgrp()));
  }
}

}  // namespace l4n::cli
