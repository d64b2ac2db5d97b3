// seal(): the step of the start-up after which the worker opens nothing but sockets.
//
// Everything that needs the file system, netlink or privileges has been opened before it.
#pragma once

#include "netns/sys/result.hpp"

namespace l4n::netns {

// Sets no_new_privs and drops every capability but CAP_NET_BIND_SERVICE, where that one is held.
[[nodiscard]] sys::Result<void> seal();

}  // namespace l4n::netns
