// seal(): the step of the start-up after which the worker opens nothing but sockets.
//
// Everything that needs the file system, netlink or privileges has been opened before it, and what has to be
// done in the file system later is the monitor's business.
#pragma once

#include <sys/types.h>

#include <optional>

#include "netns/sys/result.hpp"

namespace l4n::netns {

struct SealRequest {
  bool sandbox = false;  // enter_sandbox()
  bool seccomp = false;  // install_seccomp()
  // For seccomp: the children that the process may still kill.
  pid_t monitor = -1;
  std::optional<pid_t> init{};  // of `run`: the process then looks after a command as well
};

// In this order: no_new_privs; the sandbox; every capability dropped but CAP_NET_BIND_SERVICE, where that one
// is held and means something; the resource limits; the system call filter. What is asked for and fails is an
// error that names the step; the process should end then.
[[nodiscard]] sys::Result<void> seal(const SealRequest& request);

}  // namespace l4n::netns
