// seal(): the step of the start-up after which the worker opens nothing but sockets.
//
// Everything that needs the file system, netlink or privileges has been opened before it, and what has to be
// done in the file system later is the monitor's business.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "netns/sys/result.hpp"

namespace l4n::netns {

// How a layer is wanted which the system may refuse: a container, a security module, a setting, an old
// kernel.
enum class Want : std::uint8_t {
  no,  // tests look at the others alone
  if_possible,
  always,
};

struct SealRequest {
  Want sandbox = Want::if_possible;  // enter_sandbox(), and deny_files()
  Want seccomp = Want::if_possible;  // install_seccomp()
  // For seccomp: the children that the process may still kill.
  pid_t monitor = -1;
  std::optional<pid_t> init{};  // of `run`: the process then looks after a command as well
};

// Why layers are missing that were wanted if possible.
using MissingLayers = std::vector<sys::Error>;

// In this order: no_new_privs; the sandbox; Landlock, also where the sandbox is missing; every capability
// dropped but CAP_NET_BIND_SERVICE, where that one is held and means something; the resource limits; the
// system call filter. Whatever fails of what is wanted always is an error that names the step ("sandbox:
// cannot …"); the process should end then.
//
// A process that has CAP_NET_BIND_SERVICE but not CAP_SYS_ADMIN gets a sandbox only where it is wanted
// always: it would cost the privileged ports, which somebody has given it on purpose. Landlock costs nothing.
[[nodiscard]] sys::Result<MissingLayers> seal(const SealRequest& request);

}  // namespace l4n::netns
