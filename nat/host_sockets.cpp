#include "nat/host_sockets.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <numeric>

#include "nat/socket_io.hpp"
#include "netns/sys/fd.hpp"

// Linux 6.3; C libraries learned of it later.
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

namespace l4n::nat {
namespace {

using sys::Result;

int family_of(const HostTarget& target) noexcept {
  return target.endpoint.address.is_v4() ? AF_INET : AF_INET6;
}

// Options that make a socket better; a kernel that lacks one still works. A listener hands them down.
void set_stream_options(int fd) noexcept {
  // What the guest sends is one segment each already: do not wait to merge them (RFC 9293 3.7.4).
  set_socket_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  // The urgent byte is part of the stream (RFC 6093); otherwise it would vanish.
  set_socket_option(fd, SOL_SOCKET, SO_OOBINLINE, 1);
  set_socket_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

// Left to itself, connect() prefers even ports, and once these are all in use for a destination it looks at
// each of them before it takes an odd one: 2 ms instead of 20 us (as of Linux 6.18). It treats all alike for
// a socket with a range of its own (Linux 6.8), even with one that is wider than the system's, which holds.
void treat_ports_alike(int fd) noexcept {
  constexpr std::uint32_t kAnyPort = 0xffff0001;  // the last one and the first
  set_socket_option(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, static_cast<int>(kAnyPort));
}

std::size_t total_size(std::span<const iovec> parts) noexcept {
  return std::accumulate(parts.begin(), parts.end(), std::size_t{0},
                         [](std::size_t sum, const iovec& part) { return sum + part.iov_len; });
}

int pending_error(int fd) noexcept {
  int error = 0;
  socklen_t length = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

// A link-local IPv6 address without an interface is one that no route leads to.
int connect_error_of(const sys::SocketAddress& address, int error) noexcept {
  const auto to = sys::from_socket_address(address.storage, address.length);
  const bool link_local = to && !to->address.is_v4() && sys::is_link_local(to->address.v6());
  return link_local && error == EINVAL ? ENETUNREACH : error;
}

class KernelStream final : public HostStream, private sys::EventHandler {
 public:
  // `observer`: null until observe().
  KernelStream(sys::EventLoop& loop, HostObserver* observer, sys::Fd fd) noexcept
      : loop_(loop), observer_(observer), fd_(std::move(fd)) {}
  ~KernelStream() override { loop_.forget(fd_.get()); }

  // Null error: under way or connected.
  Result<void> start(const sys::SocketAddress& address, std::uint8_t ttl) {
    if (ttl != 0) {
      limited_ttl_ = &ip_options(address.storage.ss_family == AF_INET);
      set_socket_option(fd_.get(), limited_ttl_->level, limited_ttl_->ttl, ttl);
      set_socket_option(fd_.get(), limited_ttl_->level, limited_ttl_->receive_errors, 1);
    }
    set_stream_options(fd_.get());
    treat_ports_alike(fd_.get());
    if (::connect(fd_.get(), address.get(), address.length) == 0) {
      phase_ = Phase::connected;
      writable_ = true;
    } else if (errno != EINPROGRESS) {
      return sys::errno_error(connect_error_of(address, errno), "cannot connect");
    }
    return watch();
  }

  // The same for a socket that was accepted.
  Result<void> start_accepted() {
    phase_ = Phase::connected;
    writable_ = true;
    return watch();
  }

  void observe(HostObserver& observer) noexcept override { observer_ = &observer; }

  sys::IoResult send(std::span<iovec> parts) noexcept override {
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const std::size_t offered = total_size(parts);
    const sys::IoResult result = sys::write_result(::sendmsg(fd_.get(), &message, MSG_NOSIGNAL));
    if (result.status != sys::IoStatus::done || result.bytes < offered) {
      writable_ = false;
    }
    if (result.status == sys::IoStatus::failed) {
      readable_ = true;  // the event that tells so may still be on its way, and data before it
    }
    return result;
  }

  using HostStream::receive;
  sys::IoResult receive(std::span<iovec> parts) noexcept override {
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const sys::IoResult result = sys::read_result(::recvmsg(fd_.get(), &message, 0));
    // A short read has emptied the socket, unless the end of file is behind it or it stopped at the urgent
    // mark.
    const bool short_is_empty = !hang_up_ && !urgent_;
    if (result.status != sys::IoStatus::done || (result.bytes < total_size(parts) && short_is_empty)) {
      readable_ = false;
    }
    return result;
  }

  void finish() noexcept override { ::shutdown(fd_.get(), SHUT_WR); }

  void reset() noexcept override {
    const linger now{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }

 private:
  Result<void> watch() {
    return loop_.add(fd_.get(), EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET, *this);
  }

  void on_event(std::uint32_t events) noexcept override {
    if (phase_ == Phase::connecting) {
      finish_connect(events);
    }
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
      hang_up_ = true;
    }
    urgent_ = urgent_ || (events & EPOLLPRI) != 0;
    readable_ = readable_ || urgent_ || hang_up_ || (events & EPOLLIN) != 0;
    writable_ = writable_ || (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
    if (observer_ != nullptr) {
      observer_->on_host_event();
    }
  }

  void finish_connect(std::uint32_t events) noexcept {
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
      const int error = pending_error(fd_.get());
      connect_error_ = error == 0 ? ECONNABORTED : error;
      phase_ = Phase::failed;
      if (limited_ttl_ != nullptr) {
        connect_failure_ = read_failure();
      }
    } else if ((events & EPOLLOUT) != 0) {
      phase_ = Phase::connected;
      if (limited_ttl_ != nullptr) {  // it has arrived: the rest goes like any other connection
        set_socket_option(fd_.get(), limited_ttl_->level, limited_ttl_->ttl, -1);
        set_socket_option(fd_.get(), limited_ttl_->level, limited_ttl_->receive_errors, 0);
      }
    }
  }

  [[nodiscard]] std::optional<HostError> read_failure() const noexcept {
    std::array<std::byte, 64> quoted{};
    IncomingMessage message(quoted);
    if (!message.receive(fd_.get(), MSG_ERRQUEUE)) {
      return std::nullopt;
    }
    return parse_host_error(message.header());
  }

  sys::EventLoop& loop_;
  HostObserver* observer_;
  sys::Fd fd_;
  bool hang_up_ = false;
  bool urgent_ = false;                     // the peer has sent urgent data at least once
  const IpOptions* limited_ttl_ = nullptr;  // of its family, when the TTL while connecting was given
};

class KernelListener final : public HostListener, private sys::EventHandler {
 public:
  KernelListener(sys::EventLoop& loop, HostListenerObserver& observer, sys::Fd fd) noexcept
      : loop_(loop), observer_(observer), fd_(std::move(fd)) {}
  ~KernelListener() override { loop_.forget(fd_.get()); }

  Result<void> start(const sys::Endpoint& at) {
    set_socket_option(fd_.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (!at.address.is_v4()) {
      set_socket_option(fd_.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
    }
    set_stream_options(fd_.get());
    const sys::SocketAddress address = sys::to_socket_address(at);
    if (::bind(fd_.get(), address.get(), address.length) != 0) {
      return sys::errno_error("cannot bind to " + sys::to_string(at));
    }
    if (::listen(fd_.get(), kBacklog) != 0) {
      return sys::errno_error("cannot listen on " + sys::to_string(at));
    }
    const auto bound = local_endpoint(fd_.get());
    if (!bound) {
      return sys::errno_error("cannot read the address of a listener");
    }
    address_ = *bound;
    return loop_.add(fd_.get(), EPOLLIN, *this);
  }

  Result<Client> accept() noexcept override {
    sockaddr_storage peer{};
    socklen_t length = sizeof peer;
    sys::Fd fd(
        ::accept4(fd_.get(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.valid()) {
      return sys::errno_error("cannot accept");
    }
    const auto address = sys::from_socket_address(peer, length);
    if (!address) {
      return sys::errno_error(EAFNOSUPPORT, "cannot accept");
    }
    auto stream = std::make_unique<KernelStream>(loop_, nullptr, std::move(fd));
    if (auto started = stream->start_accepted(); !started) {
      return started.error();
    }
    return Client{std::move(stream), *address};
  }

  void set_listening(bool listening) noexcept override {
    static_cast<void>(loop_.modify(fd_.get(), listening ? std::uint32_t{EPOLLIN} : 0U));
  }

  [[nodiscard]] sys::Endpoint address() const noexcept override { return address_; }

 private:
  // The system cuts it to net.core.somaxconn.
  static constexpr int kBacklog = 65535;

  void on_event(std::uint32_t /*events*/) noexcept override { observer_.on_clients(); }

  sys::EventLoop& loop_;
  HostListenerObserver& observer_;
  sys::Fd fd_;
  sys::Endpoint address_;
};

class KernelDatagram final : public HostDatagram, private sys::EventHandler {
 public:
  KernelDatagram(sys::EventLoop& loop, HostObserver& observer, sys::Fd fd) noexcept
      : loop_(loop), observer_(&observer), fd_(std::move(fd)) {}
  ~KernelDatagram() override { loop_.forget(fd_.get()); }

  Result<void> start(const sys::SocketAddress& address) {
    if (::connect(fd_.get(), address.get(), address.length) != 0) {
      return sys::errno_error("cannot connect");
    }
    return loop_.add(fd_.get(), EPOLLIN, *this);
  }

  void observe(HostObserver& observer) noexcept override { observer_ = &observer; }

  sys::IoResult send(sys::Bytes datagram) noexcept override {
    return sys::write_result(::send(fd_.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL));
  }

  sys::IoResult receive(sys::MutableBytes into) noexcept override {
    return sys::read_result(::recv(fd_.get(), into.data(), into.size(), 0));
  }

 private:
  void on_event(std::uint32_t /*events*/) noexcept override { observer_->on_host_event(); }

  sys::EventLoop& loop_;
  HostObserver* observer_;
  sys::Fd fd_;
};

}  // namespace

Result<std::unique_ptr<HostStream>> HostSockets::connect(const HostTarget& target, HostObserver& observer) {
  sys::Fd fd(::socket(family_of(target), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return sys::errno_error("cannot create a TCP socket");
  }
  const OutboundChoice leave =
      target.own ? OutboundChoice{} : choose_outbound(outbound_, target.endpoint.address);
  if (auto bound = bind_outbound(fd.get(), leave); !bound) {
    return bound.error();
  }
  auto stream = std::make_unique<KernelStream>(loop_, &observer, std::move(fd));
  if (auto started = stream->start(sys::to_socket_address(target.endpoint, target.scope_id), target.ttl);
      !started) {
    return sys::errno_error(outbound_error(leave, started.error().code), started.error().what);
  }
  return std::unique_ptr<HostStream>(std::move(stream));
}

Result<std::unique_ptr<HostListener>> HostSockets::listen(const sys::Endpoint& address,
                                                          HostListenerObserver& observer) {
  sys::Fd fd(
      ::socket(address.address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return sys::errno_error("cannot create a TCP socket");
  }
  auto listener = std::make_unique<KernelListener>(loop_, observer, std::move(fd));
  if (auto started = listener->start(address); !started) {
    return started.error();
  }
  return std::unique_ptr<HostListener>(std::move(listener));
}

Result<std::unique_ptr<HostDatagram>> HostSockets::open_datagram(const HostTarget& target,
                                                                 HostObserver& observer) {
  sys::Fd fd(::socket(family_of(target), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return sys::errno_error("cannot create a UDP socket");
  }
  auto datagram = std::make_unique<KernelDatagram>(loop_, observer, std::move(fd));
  if (auto started = datagram->start(sys::to_socket_address(target.endpoint, target.scope_id)); !started) {
    return started.error();
  }
  return std::unique_ptr<HostDatagram>(std::move(datagram));
}

}  // namespace l4n::nat
