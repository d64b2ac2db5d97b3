#include "nat/host_ping.hpp"

#include <linux/icmp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

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
// An ICMP error quotes no more (RFC 1812 4.3.2.3), and no more of it reaches the guest.
constexpr std::size_t kLargestQuote = 576;

Result<sys::Fd> open_socket(int type) {
  sys::Fd fd(::socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP));
  if (!fd.valid()) {
    return sys::errno_error(type == SOCK_RAW ? "cannot create a raw ICMP socket"
                                             : "cannot create a ping socket");
  }
  return fd;
}

// The control messages of a send: TTL, TOS and the way of this one packet (ip(7)).
class SendControl {
 public:
  SendControl(msghdr& message, std::uint8_t ttl, std::uint8_t tos, const OutboundChoice& leave) noexcept {
    message.msg_control = buffer_.data();
    message.msg_controllen = buffer_.size();
    cmsghdr* control = CMSG_FIRSTHDR(&message);
    fill(*control, IP_TTL, int{ttl});
    control = CMSG_NXTHDR(&message, control);
    fill(*control, IP_TOS, int{tos});
    in_pktinfo way{};  // all zero is the system's choice
    way.ipi_ifindex = static_cast<int>(leave.interface_index);
    way.ipi_spec_dst.s_addr = htonl(leave.source.v4().value);
    fill(*CMSG_NXTHDR(&message, control), IP_PKTINFO, way);
  }

 private:
  template <class T>
  static void fill(cmsghdr& control, int type, const T& value) noexcept {
    control.cmsg_level = IPPROTO_IP;
    control.cmsg_type = type;
    control.cmsg_len = CMSG_LEN(sizeof value);
    std::memcpy(CMSG_DATA(&control), &value, sizeof value);
  }

  alignas(cmsghdr)
      std::array<std::byte, (2 * CMSG_SPACE(sizeof(int))) + CMSG_SPACE(sizeof(in_pktinfo))> buffer_{};
};

void read_ttl_and_tos(msghdr& message, EchoReply& reply) noexcept {
  for (cmsghdr* control = CMSG_FIRSTHDR(&message); control != nullptr;
       control = CMSG_NXTHDR(&message, control)) {
    if (control->cmsg_level != IPPROTO_IP) {
      continue;
    }
    if (control->cmsg_type == IP_TTL && control->cmsg_len >= CMSG_LEN(sizeof(int))) {
      int ttl = 0;
      std::memcpy(&ttl, CMSG_DATA(control), sizeof ttl);
      reply.ttl = static_cast<std::uint8_t>(ttl);
    } else if (control->cmsg_type == IP_TOS && control->cmsg_len >= CMSG_LEN(1)) {
      reply.tos = *CMSG_DATA(control);
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
  enum class Kind { ping, raw };

  EchoSocket(sys::EventLoop& loop, const Outbound& outbound, sys::Fd fd, Kind kind,
             HostPingObserver& sink) noexcept
      : loop_(loop), outbound_(outbound), fd_(std::move(fd)), kind_(kind), sink_(sink) {}
  EchoSocket(const EchoSocket&) = delete;
  EchoSocket& operator=(const EchoSocket&) = delete;
  ~EchoSocket() { loop_.forget(fd_.get()); }

  Result<void> start() {
    const int fd = fd_.get();
    set_socket_option(fd, IPPROTO_IP, IP_RECVTTL, 1);
    set_socket_option(fd, IPPROTO_IP, IP_RECVTOS, 1);
    set_socket_option(fd, IPPROTO_IP, IP_PKTINFO, 1);  // parse_host_error() wants it
    if (!set_socket_option(fd, IPPROTO_IP, IP_RECVERR, 1)) {
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
    return local_error(error, request.destination.is_v4(), local_mtu_);
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
    set_dont_fragment(request.dont_fragment);
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
    const SendControl control(message, request.ttl, request.tos, leave);
    if (::sendmsg(fd_.get(), &message, MSG_NOSIGNAL) >= 0) {
      return 0;
    }
    const bool lost = errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM;
    return lost ? 0 : outbound_error(leave, errno);
  }

  void set_dont_fragment(bool on) noexcept {
    if (dont_fragment_ != on) {
      // With DF nothing but the interface's own MTU holds a packet back: each probes the way anew.
      set_socket_option(fd_.get(), IPPROTO_IP, IP_MTU_DISCOVER, on ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT);
      dont_fragment_ = on;
    }
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
    read_ttl_and_tos(incoming.header(), reply);
    if (is_echo(reply.message, stack::IcmpType::kEchoReply)) {
      sink_.on_echo_reply(reply);
    }
    return true;
  }

  // A raw socket's packets begin at the IP header (raw(7)).
  [[nodiscard]] sys::MutableBytes icmp_message(sys::MutableBytes received) const noexcept {
    if (kind_ == Kind::ping || received.empty()) {
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
    if (error && is_echo(incoming.bytes(), stack::IcmpType::kEchoRequest)) {
      sink_.on_echo_failure({*error, peer_of(incoming), incoming.bytes()});
    } else if (error) {
      local_mtu_ = error->mtu;  // a send's own failure, which quotes nothing
    }
    return true;
  }

  sys::EventLoop& loop_;
  const Outbound& outbound_;
  sys::Fd fd_;
  const Kind kind_;
  HostPingObserver& sink_;
  std::optional<bool> dont_fragment_;
  std::uint16_t local_mtu_ = 0;  // of the last send that was too long
};

// A ping socket: the kernel hands it the answers to its own identifier only.
class PingSocket final : public HostPing {
 public:
  PingSocket(sys::EventLoop& loop, const Outbound& outbound, sys::Fd fd, HostPingObserver& observer) noexcept
      : socket_(loop, outbound, std::move(fd), EchoSocket::Kind::ping, observer) {}

  Result<void> start() { return socket_.start(); }

  std::optional<HostError> send(const EchoRequest& request) noexcept override {
    return socket_.send(request, std::nullopt);
  }

 private:
  EchoSocket socket_;
};

}  // namespace

// The raw socket hears every echo reply and error of the host; those with an identifier that is not in use
// here belong to somebody else.
class HostPingSockets::RawSocket final : private HostPingObserver {
 public:
  RawSocket(sys::EventLoop& loop, const Outbound& outbound, sys::Fd fd) noexcept
      : socket_(loop, outbound, std::move(fd), EchoSocket::Kind::raw, *this) {}

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

Result<void> HostPingSockets::prepare() {
  if (open_socket(SOCK_DGRAM)) {
    return {};
  }
  auto fd = open_socket(SOCK_RAW);
  if (!fd) {
    return fd.error();
  }
  // Errors come by the error queue; of what arrives otherwise only the answers are of use.
  icmp_filter filter{};
  filter.data = ~(1U << ICMP_ECHOREPLY);
  if (::setsockopt((*fd).get(), SOL_RAW, ICMP_FILTER, &filter, sizeof filter) != 0) {
    return sys::errno_error("cannot filter a raw ICMP socket");
  }
  auto raw = std::make_unique<RawSocket>(loop_, outbound_, *std::move(fd));
  if (auto started = raw->start(); !started) {
    return started;
  }
  raw_ = std::move(raw);
  return {};
}

Result<std::unique_ptr<HostPing>> HostPingSockets::open_ping(bool is_v4, HostPingObserver& observer) {
  if (!is_v4) {
    return sys::errno_error(EAFNOSUPPORT, "cannot create a ping socket");
  }
  auto fd = open_socket(SOCK_DGRAM);
  if (!fd) {
    if (raw_) {
      return raw_->open(observer);
    }
    return fd.error();
  }
  auto ping = std::make_unique<PingSocket>(loop_, outbound_, *std::move(fd), observer);
  if (auto started = ping->start(); !started) {
    return started.error();
  }
  return std::unique_ptr<HostPing>(std::move(ping));
}

}  // namespace l4n::nat
