#include "nat/host_ping.hpp"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <linux/icmp.h>  // after <netinet/in.h>, which it would take half of the declarations from

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <unordered_map>

#include "nat/socket_io.hpp"
#include "netns/sys/fd.hpp"
#include "stack/packet.hpp"

namespace l4n::nat {
namespace {

using sys::Result;

// What one event reads before the other descriptors get their turn.
constexpr int kMessagesPerEvent = 32;
constexpr std::size_t kLargestPacket = 65535;
// An ICMP error quotes no more (RFC 1812 4.3.2.3, RFC 4443 2.4 c), and no more of it reaches the guest.
constexpr std::size_t kLargestQuote = 1280;

enum class Kind { ping, raw };

// What differs between the families, besides the names of options.
struct Family {
  int domain;
  int protocol;
  std::uint8_t request;  // ICMP types
  std::uint8_t reply;
  bool raw_has_ip_header;  // what arrives at a raw socket begins there (raw(7)); in IPv6 never (RFC 3542 3)
};
constexpr Family kIpv4{AF_INET, IPPROTO_ICMP, stack::IcmpType::kEchoRequest, stack::IcmpType::kEchoReply,
                       true};
constexpr Family kIpv6{AF_INET6, IPPROTO_ICMPV6, stack::Icmp6Type::kEchoRequest, stack::Icmp6Type::kEchoReply,
                       false};
constexpr const Family& family_of(bool is_v4) noexcept { return is_v4 ? kIpv4 : kIpv6; }

Result<sys::Fd> open_socket(bool is_v4, Kind kind) {
  const Family& family = family_of(is_v4);
  const int type = kind == Kind::raw ? SOCK_RAW : SOCK_DGRAM;
  sys::Fd fd(::socket(family.domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, family.protocol));
  if (!fd.valid()) {
    return sys::errno_error(kind == Kind::raw ? "cannot create a raw ICMP socket"
                                              : "cannot create a ping socket");
  }
  return fd;
}

// Errors come by the error queue; of what arrives at a raw socket otherwise only the answers are of use.
bool filter_raw_socket(int fd, bool is_v4) noexcept {
  if (is_v4) {
    icmp_filter filter{};
    filter.data = ~(1U << ICMP_ECHOREPLY);
    return ::setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof filter) == 0;
  }
  icmp6_filter filter{};
  ICMP6_FILTER_SETBLOCKALL(&filter);
  ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
  return ::setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) == 0;
}

// A number that the kernel gives as an int or, of IPv4's TOS, as one byte.
std::optional<std::uint8_t> small_number(const cmsghdr& control) noexcept {
  if (control.cmsg_len >= CMSG_LEN(sizeof(int))) {
    int value = 0;
    std::memcpy(&value, CMSG_DATA(&control), sizeof value);
    return static_cast<std::uint8_t>(value);
  }
  return control.cmsg_len >= CMSG_LEN(1) ? std::optional<std::uint8_t>(*CMSG_DATA(&control)) : std::nullopt;
}

void read_ttl_and_tos(msghdr& message, const IpOptions& options, EchoReply& reply) noexcept {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
       control = CMSG_NXTHDR(&message, control)) {
    const auto value = small_number(*control);
    if (control->cmsg_level != options.level || !value) {
      continue;
    }
    if (control->cmsg_type == options.arrived_ttl) {
      reply.ttl = *value;
    } else if (control->cmsg_type == options.arrived_tos) {
      reply.tos = *value;
    }
  }
}

sys::IpAddress peer_of(const IncomingMessage& message) noexcept {
  const auto endpoint = message.peer();
  return endpoint ? endpoint->address : sys::IpAddress{};
}

bool is_echo(sys::Bytes message, std::uint8_t type) noexcept {
  return message.size() >= stack::kIcmpHeaderSize && sys::load_u8(&message[0]) == type;
}

// A socket of either kind. What arrives goes to the sink.
class EchoSocket final : private sys::EventHandler {
 public:
  EchoSocket(sys::EventLoop& loop, const Outbound& outbound, sys::Fd fd, bool is_v4, Kind kind,
             HostPingObserver& sink) noexcept
      : loop_(loop),
        outbound_(outbound),
        fd_(std::move(fd)),
        is_v4_(is_v4),
        kind_(kind),
        sink_(sink),
        fields_(is_v4) {}
  EchoSocket(const EchoSocket&) = delete;
  EchoSocket& operator=(const EchoSocket&) = delete;
  ~EchoSocket() { loop_.forget(fd_.get()); }

  Result<void> start() {
    const int fd = fd_.get();
    const IpOptions& options = ip_options(is_v4_);
    set_socket_option(fd, options.level, options.receive_ttl, 1);
    set_socket_option(fd, options.level, options.receive_tos, 1);
    set_socket_option(fd, options.level, options.receive_packet_info, 1);  // parse_host_error() wants it
    if (!is_v4_ && outbound_.v6.interface_index != 0) {
      prefer_public_source(fd);
    }
    if (!set_socket_option(fd, options.level, options.receive_errors, 1)) {
      return sys::errno_error("cannot ask for the errors of a ping socket");
    }
    return loop_.add(fd, EPOLLIN, *this);
  }

  // `id`: the identifier to send with, where the kernel does not choose it.
  std::optional<HostError> send(const EchoRequest& request, std::optional<std::uint16_t> id) noexcept {
    int error = transmit(request, id);
    if (error == 0) {
      return std::nullopt;
    }
    // An ICMP error about an earlier request makes the next call fail, whatever its destination: fetch the
    // errors, and the second failure is this request's own.
    read_errors();
    error = transmit(request, id);
    if (error == 0) {
      return std::nullopt;
    }
    local_mtu_ = 0;
    read_errors();
    return local_error(error, is_v4_, local_mtu_);
  }

 private:
  void on_event(std::uint32_t events) noexcept override {
    if ((events & EPOLLERR) != 0) {
      read_errors();
    }
    if ((events & EPOLLIN) != 0) {
      for (int i = 0; i < kMessagesPerEvent && read_reply(); ++i) {
      }
    }
  }

  // An errno value; 0 also when the packet found no room, for a network loses packets.
  int transmit(const EchoRequest& request, std::optional<std::uint16_t> id) noexcept {
    const OutboundChoice leave = choose_outbound(outbound_, request.destination);
    if (!leave.possible) {
      return ENETUNREACH;
    }
    fields_.apply(fd_.get(), request.ttl, request.tos, request.dont_fragment);
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): written below
    std::array<std::byte, stack::kIcmpHeaderSize> header;
    std::copy_n(request.message.begin(), header.size(), header.begin());
    if (id) {
      stack::set_echo_id(header, *id);
    }
    const sys::Bytes data = request.message.subspan(header.size());
    std::array<iovec, 2> parts{iovec{header.data(), header.size()},
                               // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): sendmsg only reads
                               iovec{const_cast<std::byte*>(data.data()), data.size()}};
    sys::SocketAddress address = sys::to_socket_address({request.destination, 0});
    msghdr message{};
    message.msg_name = &address.storage;
    message.msg_namelen = address.length;
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    SendControl control(message);
    if (!sys::is_unspecified(leave.source)) {
      control.add_source(leave.source, leave.interface_index);
    }
    if (::sendmsg(fd_.get(), &message, MSG_NOSIGNAL) >= 0) {
      return 0;
    }
    const bool lost = errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM;
    return lost ? 0 : outbound_error(leave, errno);
  }

  bool read_reply() noexcept {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): filled by receive()
    std::array<std::byte, kLargestPacket> buffer;
    IncomingMessage incoming(buffer);
    if (!incoming.receive(fd_.get(), 0)) {
      return false;
    }
    EchoReply reply;
    reply.source = peer_of(incoming);
    reply.message = icmp_message(incoming.bytes());
    read_ttl_and_tos(incoming.header(), ip_options(is_v4_), reply);
    if (is_echo(reply.message, family_of(is_v4_).reply)) {
      sink_.on_echo_reply(reply);
    }
    return true;
  }

  [[nodiscard]] sys::MutableBytes icmp_message(sys::MutableBytes received) const noexcept {
    if (kind_ == Kind::ping || !family_of(is_v4_).raw_has_ip_header || received.empty()) {
      return received;
    }
    const std::size_t header = (sys::load_u8(&received[0]) & 0x0fU) * std::size_t{4};
    return received.subspan(std::min(header, received.size()));
  }

  void read_errors() noexcept {
    for (int i = 0; i < kMessagesPerEvent && read_error(); ++i) {
    }
    // An error without an entry (the queue was full) would be reported for ever.
    int ignored = 0;
    socklen_t length = sizeof ignored;
    ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &ignored, &length);
  }

  bool read_error() noexcept {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): filled by receive()
    std::array<std::byte, kLargestQuote> quote;
    IncomingMessage incoming(quote);
    if (!incoming.receive(fd_.get(), MSG_ERRQUEUE)) {
      return false;
    }
    const auto error = parse_host_error(incoming.header());
    if (error && is_echo(incoming.bytes(), family_of(is_v4_).request)) {
      sink_.on_echo_failure({*error, peer_of(incoming), incoming.bytes()});
    } else if (error) {
      local_mtu_ = error->mtu;  // a send's own failure, which quotes nothing
    }
    return true;
  }

  sys::EventLoop& loop_;
  const Outbound& outbound_;
  sys::Fd fd_;
  const bool is_v4_;
  const Kind kind_;
  HostPingObserver& sink_;
  SentFields fields_;
  std::uint16_t local_mtu_ = 0;  // of the last send that was too long
};

// A ping socket: the kernel hands it the answers to its own identifier only.
//
// Of IPv6 the kernel ignores a source that is given with the message (as of Linux 6.18), and binds a socket
// only once: when the outbound choice changes, a new socket takes the place of the old one.
class PingSocket final : public HostPing {
 public:
  PingSocket(sys::EventLoop& loop, const Outbound& outbound, bool is_v4, HostPingObserver& observer) noexcept
      : loop_(loop), outbound_(outbound), is_v4_(is_v4), observer_(observer) {}

  // `fd`: a new ping socket.
  Result<void> start(sys::Fd fd) {
    socket_.emplace(loop_, outbound_, std::move(fd), is_v4_, Kind::ping, observer_);
    return socket_->start();
  }

  std::optional<HostError> send(const EchoRequest& request) noexcept override {
    if (!is_v4_) {
      const OutboundChoice leave = choose_outbound(outbound_, request.destination);
      if (leave != bound_) {
        if (const auto bound = bind(leave); !bound) {
          return local_error(bound.error().code, is_v4_);
        }
      }
    }
    return socket_->send(request, std::nullopt);
  }

 private:
  Result<void> bind(const OutboundChoice& leave) {
    auto fd = open_socket(is_v4_, Kind::ping);
    if (!fd) {
      return fd.error();
    }
    if (auto bound = bind_outbound((*fd).get(), leave); !bound) {
      return bound;
    }
    bound_ = leave;
    return start(*std::move(fd));
  }

  sys::EventLoop& loop_;
  const Outbound& outbound_;
  const bool is_v4_;
  HostPingObserver& observer_;
  OutboundChoice bound_;  // only of IPv6
  std::optional<EchoSocket> socket_;
};

}  // namespace

// A raw socket hears every echo reply and error of the host in its family; those with an identifier that is
// not in use here belong to somebody else.
class HostPingSockets::RawSocket final : private HostPingObserver {
 public:
  RawSocket(sys::EventLoop& loop, const Outbound& outbound, sys::Fd fd, bool is_v4) noexcept
      : socket_(loop, outbound, std::move(fd), is_v4, Kind::raw, *this) {}

  Result<void> start() { return socket_.start(); }

  std::unique_ptr<HostPing> open(HostPingObserver& observer) {
    return std::make_unique<Share>(*this, observer);
  }

 private:
  class Share final : public HostPing {
   public:
    Share(RawSocket& raw, HostPingObserver& observer) : raw_(raw), id_(raw.unused_id()) {
      raw_.observers_.emplace(id_, &observer);
    }
    ~Share() override { raw_.observers_.erase(id_); }

    std::optional<HostError> send(const EchoRequest& request) noexcept override {
      return raw_.socket_.send(request, id_);
    }

   private:
    RawSocket& raw_;
    const std::uint16_t id_;
  };

  // At random, so that other programs of the host are unlikely to use the same, nor outsiders to guess it.
  // There are far fewer flows than identifiers.
  [[nodiscard]] std::uint16_t unused_id() const noexcept {
    std::uint16_t id = 0;
    static_cast<void>(::getrandom(&id, sizeof id, 0));
    while (observers_.count(id) != 0) {
      ++id;
    }
    return id;
  }

  [[nodiscard]] HostPingObserver* observer_of(sys::Bytes message) const noexcept {
    const auto found = observers_.find(stack::echo_id(message));
    return found == observers_.end() ? nullptr : found->second;
  }

  void on_echo_reply(const EchoReply& reply) noexcept override {
    if (HostPingObserver* observer = observer_of(reply.message)) {
      observer->on_echo_reply(reply);
    }
  }

  void on_echo_failure(const EchoFailure& failure) noexcept override {
    if (HostPingObserver* observer = observer_of(failure.request)) {
      observer->on_echo_failure(failure);
    }
  }

  std::unordered_map<std::uint16_t, HostPingObserver*> observers_;  // by identifier
  EchoSocket socket_;
};

HostPingSockets::HostPingSockets(sys::EventLoop& loop, const Outbound& outbound)
    : loop_(loop), outbound_(outbound) {}

HostPingSockets::~HostPingSockets() = default;

std::unique_ptr<HostPingSockets::RawSocket>& HostPingSockets::raw_of(bool is_v4) noexcept {
  return is_v4 ? raw_v4_ : raw_v6_;
}

Result<void> HostPingSockets::prepare(bool is_v4) {
  if (open_socket(is_v4, Kind::ping)) {
    return {};
  }
  auto fd = open_socket(is_v4, Kind::raw);
  if (!fd) {
    return fd.error();
  }
  if (!filter_raw_socket((*fd).get(), is_v4)) {
    return sys::errno_error("cannot filter a raw ICMP socket");
  }
  auto raw = std::make_unique<RawSocket>(loop_, outbound_, *std::move(fd), is_v4);
  if (auto started = raw->start(); !started) {
    return started;
  }
  raw_of(is_v4) = std::move(raw);
  return {};
}

Result<std::unique_ptr<HostPing>> HostPingSockets::open_ping(bool is_v4, HostPingObserver& observer) {
  auto fd = open_socket(is_v4, Kind::ping);
  if (!fd) {
    if (const auto& raw = raw_of(is_v4)) {
      return raw->open(observer);
    }
    return fd.error();
  }
  auto ping = std::make_unique<PingSocket>(loop_, outbound_, is_v4, observer);
  if (auto started = ping->start(*std::move(fd)); !started) {
    return started.error();
  }
  return std::unique_ptr<HostPing>(std::move(ping));
}

}  // namespace l4n::nat
