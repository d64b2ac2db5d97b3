#include "netns/sys/fd.hpp"

#include <unistd.h>

namespace l4n::sys {

void Fd::reset(int fd) noexcept {
  if (fd_ >= 0) {
    ::close(fd_);
  }
  fd_ = fd;
}

}  // namespace l4n::sys
