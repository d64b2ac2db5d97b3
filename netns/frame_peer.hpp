// The one peer of a Unix socket that carries Ethernet frames (--target-type=bess).
#pragma once

#include <optional>

#include "netns/sys/fd.hpp"
#include "netns/sys/result.hpp"

namespace l4n::netns {

struct FramePeer {
  enum class Outcome {
    connected,  // `socket` is the peer: non-blocking, close-on-exec
    signal,     // SIGTERM or SIGINT, which is left pending
    hang_up,    // of the exit descriptor
  };

  Outcome outcome = Outcome::connected;
  sys::Fd socket;
};

// Blocks SIGTERM and SIGINT for good, and waits without a limit. `listener` is non-blocking.
[[nodiscard]] sys::Result<FramePeer> wait_for_peer(int listener, std::optional<int> exit_fd);

}  // namespace l4n::netns
