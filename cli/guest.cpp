#include "cli/guest.hpp"

#include <sys/socket.h>

#include <cstdio>
#include <utility>

#include "cli/attach_request.hpp"
#include "netns/attach.hpp"
#include "netns/frame_peer.hpp"
#include "stack/socket_frame_port.hpp"

namespace l4n::cli {
namespace {

using sys::Result;

Result<Guest> attach_to_namespace(const Options& options) {
  auto attached = netns::attach(attach_request(options));
  if (!attached) {
    return attached.error();
  }
  return Guest{guest_port(std::move(attached->tap)), std::move(attached->target), std::nullopt};
}

Result<Guest> adopt_descriptor(const Options& options) {
  auto tap = netns::adopt_tap(options.tapfd);
  if (!tap) {
    return tap.error();
  }
  return Guest{guest_port(*std::move(tap)), std::nullopt, std::nullopt};
}

Result<Guest> wait_on_socket(const Options& options) {
  auto listener = netns::UnixListener::listen(options.bess_socket, SOCK_SEQPACKET);
  if (!listener) {
    return listener.error();
  }
  std::fprintf(stderr, "Waiting for connection to %s\n", options.bess_socket.c_str());
  auto peer = netns::wait_for_peer(listener->fd(), options.exit_fd);
  if (!peer) {
    return peer.error();
  }
  listener->stop_listening();
  Guest guest;
  guest.socket.emplace(*std::move(listener));
  if (peer->outcome == netns::FramePeer::Outcome::connected) {
    guest.port.frames = std::make_unique<stack::SocketFramePort>(std::move(peer->socket));
  } else if (peer->outcome == netns::FramePeer::Outcome::hang_up) {
    std::fputs("exitfd event\n", stderr);
  }
  return guest;
}

}  // namespace

GuestPort guest_port(netns::Tap tap) {
  const bool cuts_udp = (tap.offloads & netns::offload_uso4) != 0;
  return {std::make_unique<stack::FdFramePort>(std::move(tap.fd), tap.vnet_hdr, cuts_udp), !tap.created};
}

Result<Guest> open_guest(const Options& options) {
  if (options.target_type == TargetType::bess) {
    return wait_on_socket(options);
  }
  return options.netns_type == NetnsType::tapfd ? adopt_descriptor(options) : attach_to_namespace(options);
}

}  // namespace l4n::cli
