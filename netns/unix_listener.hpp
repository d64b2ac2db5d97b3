// A listening Unix socket that has a name in the file system: made with care, removed with care.
//
// The name may lie in a directory that others can write to, and an earlier run may have left a socket there.
// Nothing is ever removed but a socket of our own user on which nobody listens.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "netns/sys/fd.hpp"
#include "netns/sys/result.hpp"

namespace l4n::netns {

// One socket in the file system, told from another one that may come to stand at the same path.
struct SocketFile {
  std::string path;  // absolute, and by no descriptor: another process may remove the file
  dev_t device = 0;
  ino_t inode = 0;
};

// Removes the file, unless something else has taken its place or a process listens on it. Safe to call twice.
void remove_socket_file(const SocketFile& file) noexcept;

class UnixListener {
 public:
  // Listens at `path` (shorter than 108 bytes) with mode 0600. `type` is SOCK_STREAM or SOCK_SEQPACKET.
  // A socket of ours that stands there and has no listener is replaced. Errors: anything else stands there
  // (a symbolic link too, wherever it leads), a listener, no such directory, no permission.
  // Changes the umask for a moment: for a process with one thread.
  static sys::Result<UnixListener> listen(const std::string& path, int type);
  UnixListener(UnixListener&& other) noexcept
      : fd_(std::move(other.fd_)),
        file_(std::exchange(other.file_, {})),
        removes_file_(other.removes_file_) {}
  UnixListener& operator=(UnixListener&& other) = delete;
  // Stops listening and removes the file, unless that was left to somebody else.
  ~UnixListener();

  // No more clients. The file stays until the end.
  void stop_listening() noexcept { fd_.reset(); }
  // The file is removed by somebody else from now on: by the monitor, once the process sees no file system.
  void leave_file() noexcept { removes_file_ = false; }

  // Non-blocking.
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const SocketFile& file() const noexcept { return file_; }

 private:
  UnixListener(sys::Fd fd, SocketFile file) : fd_(std::move(fd)), file_(std::move(file)) {}

  sys::Fd fd_;
  SocketFile file_;
  bool removes_file_ = true;
};

}  // namespace l4n::netns
