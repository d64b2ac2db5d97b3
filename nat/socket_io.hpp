// What the kernel's sockets of all protocols have in common here: options that may fail, and one message with
// its sender and control messages.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <optional>

#include "nat/icmp_error.hpp"
#include "nat/outbound.hpp"
#include "netns/sys/bytes.hpp"
#include "netns/sys/ip_address.hpp"
#include "netns/sys/result.hpp"

namespace l4n::nat {

// False when the kernel refuses it. Many options only make a socket better: one without them still works.
bool set_socket_option(int fd, int level, int name, int value) noexcept;

// Binds a socket to a source address and an interface (0: none) for what the guest starts. The port is chosen
// with the destination, so that as many connections fit as without. Error: ENETUNREACH, the address is none
// of this host. An interface that may not be chosen (before Linux 5.7, without privileges) is left to the
// routes.
sys::Result<void> bind_outbound(int fd, const OutboundChoice& choice);

// The address that a socket is bound to.
[[nodiscard]] std::optional<sys::Endpoint> local_endpoint(int fd) noexcept;

// One message of a socket or of its error queue (MSG_ERRQUEUE).
class IncomingMessage {
 public:
  explicit IncomingMessage(sys::MutableBytes into) noexcept;
  IncomingMessage(const IncomingMessage&) = delete;
  IncomingMessage& operator=(const IncomingMessage&) = delete;

  // Once. False when there is none, with the reason in errno.
  bool receive(int fd, int flags) noexcept;

  [[nodiscard]] sys::MutableBytes bytes() const noexcept {
    return {static_cast<std::byte*>(part_.iov_base), size_};
  }
  [[nodiscard]] const msghdr& header() const noexcept { return message_; }
  [[nodiscard]] msghdr& header() noexcept { return message_; }
  // The sender, or with an error whom the failed message went to.
  [[nodiscard]] std::optional<sys::Endpoint> peer() const noexcept;

 private:
  sockaddr_storage peer_{};
  alignas(cmsghdr) std::array<std::byte, kErrorControlSize> control_;
  iovec part_;
  msghdr message_{};
  std::size_t size_ = 0;
};

}  // namespace l4n::nat
