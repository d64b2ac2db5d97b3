// What the kernel's sockets of all protocols have in common here: options that may fail, and one message with
// its sender and control messages.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "nat/icmp_error.hpp"
#include "nat/outbound.hpp"
#include "netns/sys/bytes.hpp"
#include "netns/sys/ip_address.hpp"
#include "netns/sys/result.hpp"

namespace l4n::nat {

// False when the kernel refuses it. Many options only make a socket better: one without them still works.
bool set_socket_option(int fd, int level, int name, int value) noexcept;

// What the sockets of one family call the same things (ip(7), ipv6(7)).
struct IpOptions {
  int level;
  // Options.
  int ttl;  // or hop limit; the value -1 is the system's own
  int tos;  // or traffic class
  int mtu_discover;
  int receive_errors;
  int receive_packet_info;
  int receive_ttl;
  int receive_tos;
  // Control messages of what arrives.
  int arrived_ttl;
  int arrived_tos;
};
[[nodiscard]] const IpOptions& ip_options(bool is_v4) noexcept;

// Header fields of the datagrams that a socket sends. It keeps them from one to the next, so that only what
// changes costs a call.
class SentFields {
 public:
  explicit SentFields(bool is_v4) noexcept : options_(ip_options(is_v4)) {}

  // With DF a datagram that is too long for the interface fails; without, it leaves in fragments. A known
  // path MTU does not hold back one with DF: each probes the way anew.
  void apply(int fd, std::uint8_t ttl, std::uint8_t tos, bool dont_fragment) noexcept;

 private:
  const IpOptions& options_;
  std::optional<std::uint8_t> ttl_;
  std::uint8_t tos_ = 0;
  std::optional<bool> dont_fragment_;
};

// The control messages of one send.
class SendControl {
 public:
  // `message` outlives this.
  explicit SendControl(msghdr& message) noexcept : message_(message) {}
  SendControl(const SendControl&) = delete;
  SendControl& operator=(const SendControl&) = delete;

  // Several datagrams of this size in one (UDP_SEGMENT).
  void add_segment_size(std::uint16_t size) noexcept;
  // The source and, if not 0, the interface. Of IPv6 the interface alone: with a source besides, the kernel
  // takes another interface where the routes like it better (as of Linux 6.18). It then chooses an address of
  // the interface by itself; see prefer_public_source().
  void add_source(const sys::IpAddress& source, unsigned interface_index) noexcept;

 private:
  template <class T>
  void add(int level, int type, const T& value) noexcept;

  msghdr& message_;
  alignas(cmsghdr)
      std::array<std::byte, CMSG_SPACE(sizeof(std::uint16_t)) + CMSG_SPACE(sizeof(in6_pktinfo))> space_{};
  std::size_t size_ = 0;
};

// Where the kernel chooses an IPv6 source, it does not take a temporary address (RFC 5014), as little as we
// do.
void prefer_public_source(int fd) noexcept;

[[nodiscard]] sys::Ipv6Address from_in6(const in6_addr& address) noexcept;

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
  // Its interface, when it has a link-local IPv6 address; else 0.
  [[nodiscard]] std::uint32_t peer_scope_id() const noexcept;

 private:
  sockaddr_storage peer_{};
  alignas(cmsghdr) std::array<std::byte, kErrorControlSize> control_;
  iovec part_;
  msghdr message_{};
  std::size_t size_ = 0;
};

}  // namespace l4n::nat
