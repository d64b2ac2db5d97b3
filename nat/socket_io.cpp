#include "nat/socket_io.hpp"

#include <netinet/in.h>

// Linux 5.0; C libraries learned of it later.
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

namespace l4n::nat {

bool set_socket_option(int fd, int level, int name, int value) noexcept {
  return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
}

sys::Result<void> bind_outbound(int fd, const OutboundChoice& choice) {
  if (!choice.possible) {
    return sys::errno_error(ENETUNREACH, "the outbound interface has no address");
  }
  if (choice.interface_index != 0) {
    set_socket_option(fd, SOL_SOCKET, SO_BINDTOIFINDEX, static_cast<int>(choice.interface_index));
  }
  if (sys::is_unspecified(choice.source)) {
    return {};
  }
  set_socket_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  const sys::SocketAddress address = sys::to_socket_address({choice.source, 0});
  if (::bind(fd, address.get(), address.length) != 0) {
    return sys::errno_error(outbound_error(choice, errno), "cannot bind to the outbound address");
  }
  return {};
}

std::optional<sys::Endpoint> local_endpoint(int fd) noexcept {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) {
    return std::nullopt;
  }
  return sys::from_socket_address(storage, length);
}

// NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): control_ is filled by the kernel
IncomingMessage::IncomingMessage(sys::MutableBytes into) noexcept : part_{into.data(), into.size()} {
  message_.msg_name = &peer_;
  message_.msg_namelen = sizeof peer_;
  message_.msg_iov = &part_;
  message_.msg_iovlen = 1;
  message_.msg_control = control_.data();
  message_.msg_controllen = control_.size();
}

bool IncomingMessage::receive(int fd, int flags) noexcept {
  const ssize_t n = ::recvmsg(fd, &message_, flags);
  size_ = n < 0 ? 0 : static_cast<std::size_t>(n);
  return n >= 0;
}

std::optional<sys::Endpoint> IncomingMessage::peer() const noexcept {
  return sys::from_socket_address(peer_, message_.msg_namelen);
}

}  // namespace l4n::nat
