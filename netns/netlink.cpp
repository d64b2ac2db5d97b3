#include "netns/netlink.hpp"

#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>

namespace l4n::netns {

sys::Result<NetlinkSocket> open_netlink(unsigned groups) {
  NetlinkSocket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (socket == nullptr || mnl_socket_bind(socket.get(), groups, MNL_SOCKET_AUTOPID) != 0) {
    return sys::errno_error("cannot open a netlink socket");
  }
  return socket;
}

int ask_netlink(mnl_socket& socket, const nlmsghdr& request, mnl_cb_t callback, void* argument) {
  if (mnl_socket_sendto(&socket, &request, request.nlmsg_len) < 0) {
    return errno;
  }
  // A dump comes in messages of up to 32 KiB.
  alignas(nlmsghdr) std::array<char, 32768> answer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const unsigned port = mnl_socket_get_portid(&socket);
  for (;;) {
    const ssize_t size = mnl_socket_recvfrom(&socket, answer.data(), answer.size());
    if (size < 0 && errno == EINTR) {
      continue;
    }
    if (size < 0) {
      return errno;
    }
    const int more = mnl_cb_run(answer.data(), static_cast<std::size_t>(size), request.nlmsg_seq, port,
                                callback, argument);
    if (more < 0) {
      return errno;
    }
    if (more == MNL_CB_STOP) {
      return 0;
    }
  }
}

}  // namespace l4n::netns
