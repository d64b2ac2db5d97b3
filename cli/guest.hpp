// What carries the guest's frames, opened as the command line says: a TAP in a namespace, one that was handed
// to us, or a socket.
#pragma once

#include <memory>
#include <optional>

#include "cli/options.hpp"
#include "netns/sys/result.hpp"
#include "netns/tap.hpp"
#include "netns/target.hpp"
#include "netns/unix_listener.hpp"
#include "stack/frame_port.hpp"

namespace l4n::cli {

struct GuestPort {
  std::unique_ptr<stack::DescriptorPort> frames;
  bool outlives_us = false;  // a device that goes on without us: it gets its offloads switched off at the end
};
[[nodiscard]] GuestPort guest_port(netns::Tap tap);

struct Guest {
  GuestPort port;                              // without frames: we were told to end before there was a peer
  std::optional<netns::WatchedTarget> target;  // nothing to watch but the port itself otherwise
  std::optional<netns::UnixListener> socket;   // whose file is to be removed at the end
};

// Waits for the peer where there is to be one. Speaks on stderr, as callers know it. The error is what is
// left to be said.
[[nodiscard]] sys::Result<Guest> open_guest(const Options& options);

}  // namespace l4n::cli
