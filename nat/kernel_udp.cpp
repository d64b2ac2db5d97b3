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

// Debian 12's <netinet/udp.h> has it; older systems do not.
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

namespace l4n::nat {
namespace {

class KernelUdp final : public HostUdp, private sys::EventHandler {
 public:
  // `outbound`: null for a socket that is bound to the address it sends from.
  KernelUdp(sys::EventLoop& loop, bool is_v4, const Outbound* outbound, HostUdpObserver& observer,
            sys::Fd fd) noexcept
      : loop_(loop),
        options_(ip_options(is_v4)),
        outbound_(outbound),
        observer_(observer),
        fd_(std::move(fd)),
        fields_(is_v4) {}
  ~KernelUdp() override { loop_.forget(fd_.get()); }

  sys::Result<void> start() {
    // A burst should survive until our next turn; the system cuts it to net.core.rmem_max.
    set_socket_option(fd_.get(), SOL_SOCKET, SO_RCVBUF, kReceiveBuffer);
    set_socket_option(fd_.get(), options_.level, options_.receive_errors, 1);
    // Tells errors that the host sent to itself.
    set_socket_option(fd_.get(), options_.level, options_.receive_packet_info, 1);
    if (outbound_ != nullptr && options_.level == IPPROTO_IPV6 && outbound_->v6.interface_index != 0) {
      prefer_public_source(fd_.get());
    }
    set_socket_option(fd_.get(), IPPROTO_UDP, UDP_GRO, 1);  // Linux 5.0; without it datagrams come one by one
    return loop_.add(fd_.get(), EPOLLIN, *this);
  }

  sys::IoResult send(const sys::Endpoint& to, const UdpHeaderFields& fields, std::span<iovec> parts,
                     std::uint16_t segment_size) noexcept override {
    const OutboundChoice leave = outbound_ != nullptr ? choose_outbound(*outbound_, to.address)
                                                      : OutboundChoice{.source = fields.source};
    if (!leave.possible) {
      return sys::IoResult::error_of(ENETUNREACH);
    }
    fields_.apply(fd_.get(), fields.ttl, fields.tos, fields.dont_fragment);
    sys::SocketAddress address = sys::to_socket_address(to, fields.scope_id);
    msghdr message{};
    message.msg_name = &address.storage;
    message.msg_namelen = address.length;
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    SendControl control(message);
    if (segment_size > 0) {
      control.add_segment_size(segment_size);
    }
    if (!sys::is_unspecified(leave.source)) {
      control.add_source(leave.source, leave.interface_index);
    }
    sys::IoResult result = sys::write_result(::sendmsg(fd_.get(), &message, MSG_NOSIGNAL));
    result.error = outbound_error(leave, result.error);
    return result;
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
    received.scope_id = message.peer_scope_id();
    read_control(message.header(), received);
    return received;
  }

  std::optional<Failure> next_failure() noexcept override {
    constexpr std::size_t kQuoted = 1280;  // of IPv6, the minimum MTU (RFC 4443 2.4 c)
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
  static constexpr int kReceiveBuffer = 1024 * 1024;

  void on_event(std::uint32_t events) noexcept override { observer_.on_udp_event((events & EPOLLERR) != 0); }

  static void read_control(msghdr& message, Received& received) noexcept {
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level == IPPROTO_UDP && header->cmsg_type == UDP_GRO) {
        int size = 0;
        std::memcpy(&size, CMSG_DATA(header), sizeof size);
        received.segment_size = static_cast<std::uint16_t>(size);
      } else if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
        in_pktinfo info{};
        std::memcpy(&info, CMSG_DATA(header), sizeof info);
        // Where it arrived, and not its destination: a broadcast cannot be answered from.
        received.local = sys::IpAddress(sys::Ipv4Address{ntohl(info.ipi_spec_dst.s_addr)});
      } else if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
        in6_pktinfo info{};
        std::memcpy(&info, CMSG_DATA(header), sizeof info);
        const sys::Ipv6Address arrived = from_in6(info.ipi6_addr);
        if (!sys::is_multicast(arrived)) {  // nor can a group
          received.local = arrived;
        }
      }
    }
  }

  sys::EventLoop& loop_;
  const IpOptions& options_;
  const Outbound* outbound_;
  HostUdpObserver& observer_;
  sys::Fd fd_;
  SentFields fields_;
};

sys::Fd udp_socket(bool is_v4) noexcept {
  sys::Fd fd(::socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.valid() && !is_v4) {
    // What comes by IPv4 is not for it, and a forward may listen at the same port for both.
    set_socket_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  }
  return fd;
}

}  // namespace

sys::Result<Host::BoundUdp> bind_kernel_udp(sys::EventLoop& loop, const sys::Endpoint& address,
                                            HostUdpObserver& observer) {
  sys::Fd fd = udp_socket(address.address.is_v4());
  if (!fd.valid()) {
    return sys::errno_error("cannot create a UDP socket");
  }
  const sys::SocketAddress at = sys::to_socket_address(address);
  if (::bind(fd.get(), at.get(), at.length) != 0) {
    return sys::errno_error("cannot bind to " + sys::to_string(address));
  }
  const auto bound = local_endpoint(fd.get());
  if (!bound) {
    return sys::errno_error("cannot read the address of a UDP socket");
  }
  auto udp = std::make_unique<KernelUdp>(loop, address.address.is_v4(), nullptr, observer, std::move(fd));
  if (auto started = udp->start(); !started) {
    return started.error();
  }
  return Host::BoundUdp{std::move(udp), *bound};
}

sys::Result<std::unique_ptr<HostUdp>> open_kernel_udp(sys::EventLoop& loop, bool is_v4,
                                                      const Outbound& outbound, HostUdpObserver& observer) {
  sys::Fd fd = udp_socket(is_v4);
  if (!fd.valid()) {
    return sys::errno_error("cannot create a UDP socket");
  }
  auto udp = std::make_unique<KernelUdp>(loop, is_v4, &outbound, observer, std::move(fd));
  if (auto started = udp->start(); !started) {
    return started.error();
  }
  return std::unique_ptr<HostUdp>(std::move(udp));
}

}  // namespace l4n::nat
