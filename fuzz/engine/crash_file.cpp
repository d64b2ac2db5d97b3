#include "fuzz/engine/crash_file.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <csignal>

namespace l4n::fuzz {
namespace {

sys::Bytes& current_input() noexcept {
  static sys::Bytes input;
  return input;
}

// Only what signal-safety(7) allows.
void on_crash(int signal) {
  const int fd = ::open("crash-input", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  const sys::Bytes input = current_input();
  static_cast<void>(::write(fd, input.data(), input.size()) == 0);
  static_cast<void>(::raise(signal));  // the handler is gone (SA_RESETHAND): this ends the process
}

}  // namespace

void keep_crash_input() noexcept {
  struct sigaction action {};
  action.sa_handler = on_crash;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    ::sigaction(signal, &action, nullptr);
  }
}

void set_current_input(sys::Bytes input) noexcept { current_input() = input; }

}  // namespace l4n::fuzz
