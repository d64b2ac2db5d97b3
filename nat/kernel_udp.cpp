#include "nat/kernel_udp.hpp"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "nat/socket_io.hpp"
#include "netns/sys/fd.hpp"

// Debian 12's <netinet/udp.h> has them; older systems do not.
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace l4n::nat {
namespace {

class KernelUdp final : public HostUdp, private sys::EventHandler {
 public:
  KernelUdp(sys::EventLoop& loop, HostUdpObserver& observer, sys::Fd fd) noexcept
      : loop_(loop), observer_(observer), fd_(std::move(fd)) {}
  ~KernelUdp() override { loop_.forget(fd_.get()); }

  sys::Result<void> start() {
    set_socket_option(fd_.get(), IPPROTO_IP, IP_RECVERR, 1);
    set_socket_option(fd_.get(), IPPROTO_IP, IP_PKTINFO, 1);  // tells errors that the host sent to itself
    set_socket_option(fd_.get(), IPPROTO_UDP, UDP_GRO, 1);  // Linux 5.0; without it datagrams come one by one
    set_socket_option(fd_.get(), IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    return loop_.add(fd_.get(), EPOLLIN, *this);
  }

  sys::IoResult send(const sys::Endpoint& to, const UdpHeaderFields& fields, std::span<iovec> parts,
                     std::uint16_t segment_size) noexcept override {
    apply(fields);
    sys::SocketAddress address = sys::to_socket_address(to);
    msghdr message{};
    message.msg_name = &address.storage;
    message.msg_namelen = address.length;
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof segment_size)> control{};
    if (segment_size > 0) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = IPPROTO_UDP;
      header->cmsg_type = UDP_SEGMENT;
      header->cmsg_len = CMSG_LEN(sizeof segment_size);
      std::memcpy(CMSG_DATA(header), &segment_size, sizeof segment_size);
    }
    return sys::write_result(::sendmsg(fd_.get(), &message, MSG_NOSIGNAL));
  }

  Received receive(sys::MutableBytes into) noexcept override {
    IncomingMessage message(into);
    Received received;
    if (!message.receive(fd_.get(), 0)) {
      received.status =
          errno == EAGAIN || errno == EINTR ? sys::IoStatus::would_block : sys::IoStatus::failed;
      return received;
    }
    const auto source = message.peer();
    if (!source) {
      received.status = sys::IoStatus::failed;
      return received;
    }
    received.status = sys::IoStatus::done;
    received.bytes = message.bytes().size();
    received.source = *source;
    received.segment_size = segment_size_of(message.header());
    return received;
  }

  std::optional<Failure> next_failure() noexcept override {
    constexpr std::size_t kQuoted = 576;
    std::array<std::byte, kQuoted> quoted{};
    for (;;) {
      IncomingMessage message(quoted);
      if (!message.receive(fd_.get(), MSG_ERRQUEUE)) {
        return std::nullopt;
      }
      const auto error = parse_host_error(message.header());
      const auto destination = message.peer();
      if (error && destination) {
        return Failure{*error, *destination, {message.bytes().begin(), message.bytes().end()}};
      }
    }
  }

 private:
  void on_event(std::uint32_t events) noexcept override { observer_.on_udp_event((events & EPOLLERR) != 0); }

  void apply(const UdpHeaderFields& fields) noexcept {
    if (fields.ttl != fields_.ttl) {
      set_socket_option(fd_.get(), IPPROTO_IP, IP_TTL, fields.ttl);
    }
    if (fields.tos != fields_.tos) {
      set_socket_option(fd_.get(), IPPROTO_IP, IP_TOS, fields.tos);
    }
    if (fields.dont_fragment != fields_.dont_fragment) {
      set_socket_option(fd_.get(), IPPROTO_IP, IP_MTU_DISCOVER,
                        fields.dont_fragment ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT);
    }
    fields_ = fields;
  }

  static std::uint16_t segment_size_of(msghdr& message) noexcept {
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_GRO) {
        int size = 0;
        std::memcpy(&size, CMSG_DATA(header), sizeof size);
        return static_cast<std::uint16_t>(size);
      }
    }
    return 0;
  }

  sys::EventLoop& loop_;
  HostUdpObserver& observer_;
  sys::Fd fd_;
  UdpHeaderFields fields_;  // as the socket has them
};

}  // namespace

sys::Result<std::unique_ptr<HostUdp>> open_kernel_udp(sys::EventLoop& loop, bool is_v4,
                                                      HostUdpObserver& observer) {
  sys::Fd fd(::socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return sys::errno_error("cannot create a UDP socket");
  }
  auto udp = std::make_unique<KernelUdp>(loop, observer, std::move(fd));
  if (auto started = udp->start(); !started) {
    return started.error();
  }
  return std::unique_ptr<HostUdp>(std::move(udp));
}

}  // namespace l4n::nat
