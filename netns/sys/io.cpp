#include "netns/sys/io.hpp"

#include <cerrno>

namespace l4n::sys {

IoResult read_result(long returned) noexcept {
  if (returned > 0) {
    return IoResult::moved(static_cast<std::size_t>(returned));
  }
  if (returned == 0) {
    return IoResult::finished();
  }
  if (errno == EAGAIN || errno == EINTR) {
    return IoResult::blocked();
  }
  return IoResult::error_of(errno);
}

IoResult write_result(long returned) noexcept {
  if (returned >= 0) {
    return IoResult::moved(static_cast<std::size_t>(returned));
  }
  if (errno == EAGAIN || errno == EINTR) {
    return IoResult::blocked();
  }
  return IoResult::error_of(errno);
}

}  // namespace l4n::sys
