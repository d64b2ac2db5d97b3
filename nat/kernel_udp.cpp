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

// The control messages of one send.
class SendControl {
 public:
  explicit SendControl(msghdr& message) noexcept : message_(message) {}

  void add_segment_size(std::uint16_t size) noexcept { add(IPPROTO_UDP, UDP_SEGMENT, size); }
  void add_source(const sys::IpAddress& source, unsigned interface_index) noexcept {
    in_pktinfo info{};
    info.ipi_ifindex = static_cast<int>(interface_index);
    info.ipi_spec_dst.s_addr = htonl(source.v4().value);
    add(IPPROTO_IP, IP_PKTINFO, info);
  }

 private:
  template <class T>
  void add(int level, int type, const T& value) noexcept {
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof value)> one{};
    cmsghdr header{};
    header.cmsg_level = level;
    header.cmsg_type = type;
    header.cmsg_len = CMSG_LEN(sizeof value);
    std::memcpy(one.data(), &header, sizeof header);
    std::memcpy(&one[CMSG_LEN(0)], &value, sizeof value);
    std::memcpy(&space_[size_], one.data(), one.size());
    size_ += one.size();
    message_.msg_control = space_.data();
    message_.msg_controllen = size_;
  }

  msghdr& message_;
  alignas(cmsghdr)
      std::array<std::byte, CMSG_SPACE(sizeof(std::uint16_t)) + CMSG_SPACE(sizeof(in_pktinfo))> space_{};
  std::size_t size_ = 0;
};

class KernelUdp final : public HostUdp, private sys::EventHandler {
 public:
  // `outbound`: null for a socket that is bound to the address it sends from.
  KernelUdp(sys::EventLoop& loop, const Outbound* outbound, HostUdpObserver& observer, sys::Fd fd) noexcept
      : loop_(loop), outbound_(outbound), observer_(observer), fd_(std::move(fd)) {}
  ~KernelUdp() override { loop_.forget(fd_.get()); }

  sys::Result<void> start() {
    // A burst should survive until our next turn; the system cuts it to net.core.rmem_max.
    set_socket_option(fd_.get(), SOL_SOCKET, SO_RCVBUF, kReceiveBuffer);
    set_socket_option(fd_.get(), IPPROTO_IP, IP_RECVERR, 1);
    set_socket_option(fd_.get(), IPPROTO_IP, IP_PKTINFO, 1);  // tells errors that the host sent to itself
    set_socket_option(fd_.get(), IPPROTO_UDP, UDP_GRO, 1);  // Linux 5.0; without it datagrams come one by one
    set_socket_option(fd_.get(), IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    return loop_.add(fd_.get(), EPOLLIN, *this);
  }

  sys::IoResult send(const sys::Endpoint& to, const UdpHeaderFields& fields, std::span<iovec> parts,
                     std::uint16_t segment_size) noexcept override {
    const OutboundChoice leave = outbound_ != nullptr ? choose_outbound(*outbound_, to.address)
                                                      : OutboundChoice{.source = fields.source};
    if (!leave.possible) {
      return sys::IoResult::error_of(ENETUNREACH);
    }
    apply(fields);
    sys::SocketAddress address = sys::to_socket_address(to);
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
    read_control(message.header(), received);
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
  static constexpr int kReceiveBuffer = 1024 * 1024;

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
      }
    }
  }

  sys::EventLoop& loop_;
  const Outbound* outbound_;
  HostUdpObserver& observer_;
  sys::Fd fd_;
  UdpHeaderFields fields_;  // as the socket has them
};

}  // namespace

namespace {

sys::Fd udp_socket(bool is_v4) noexcept {
  return sys::Fd(::socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
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
  auto udp = std::make_unique<KernelUdp>(loop, nullptr, observer, std::move(fd));
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
  auto udp = std::make_unique<KernelUdp>(loop, &outbound, observer, std::move(fd));
  if (auto started = udp->start(); !started) {
    return started.error();
  }
  return std::unique_ptr<HostUdp>(std::move(udp));
}

}  // namespace l4n::nat
