// The outcome of one read or write on the data path. Would-block and end-of-file are ordinary values here.
#pragma once

#include <cstddef>

namespace l4n::sys {

enum class IoStatus {
  done,         // `bytes` were moved (a read: at least one)
  would_block,  // EAGAIN: try again after the next readiness event
  end,          // end of file: the peer has finished sending
  failed,       // `error` is the errno value
};

struct IoResult {
  IoStatus status = IoStatus::failed;
  std::size_t bytes = 0;
  int error = 0;

  [[nodiscard]] static IoResult moved(std::size_t n) { return {IoStatus::done, n, 0}; }
  [[nodiscard]] static IoResult blocked() { return {IoStatus::would_block, 0, 0}; }
  [[nodiscard]] static IoResult finished() { return {IoStatus::end, 0, 0}; }
  [[nodiscard]] static IoResult error_of(int code) { return {IoStatus::failed, 0, code}; }
};

// From the return value of recv/send and errno: 0 is end of file for reads.
[[nodiscard]] IoResult read_result(long returned) noexcept;
[[nodiscard]] IoResult write_result(long returned) noexcept;

}  // namespace l4n::sys
