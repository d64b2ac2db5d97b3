// A routing netlink socket (rtnetlink(7)) over libmnl.
#pragma once

#include <libmnl/libmnl.h>

#include <memory>

#include "netns/sys/result.hpp"

namespace l4n::netns {

struct NetlinkCloser {
  void operator()(mnl_socket* s) const noexcept { mnl_socket_close(s); }
};
using NetlinkSocket = std::unique_ptr<mnl_socket, NetlinkCloser>;

// Blocking and close-on-exec. `groups`: a set of RTMGRP_… to hear.
[[nodiscard]] sys::Result<NetlinkSocket> open_netlink(unsigned groups = 0);

// Sends a request and reads its answer to the end, each message through `callback` (null: none). 0 or an
// errno value.
[[nodiscard]] int ask_netlink(mnl_socket& socket, const nlmsghdr& request, mnl_cb_t callback = nullptr,
                              void* argument = nullptr);

}  // namespace l4n::netns
