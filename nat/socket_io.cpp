#include "nat/socket_io.hpp"

#include <netinet/in.h>
#include <netinet/udp.h>

#include <cerrno>
#include <cstring>

// Linux 5.0; C libraries learned of it later.
#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif
// Debian 12's <netinet/udp.h> has it; older systems do not.
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace l4n::nat {
namespace {

constexpr int kPreferPublicSource =
    2;  // IPV6_PREFER_SRC_PUBLIC of <linux/in6.h>, which knows no <netinet/in.h>

constexpr IpOptions kIpv4Options{
    .level = IPPROTO_IP,
    .ttl = IP_TTL,
    .tos = IP_TOS,
    .mtu_discover = IP_MTU_DISCOVER,
    .receive_errors = IP_RECVERR,
    .receive_packet_info = IP_PKTINFO,
    .receive_ttl = IP_RECVTTL,
    .receive_tos = IP_RECVTOS,
    .arrived_ttl = IP_TTL,
    .arrived_tos = IP_TOS,
};
constexpr IpOptions kIpv6Options{
    .level = IPPROTO_IPV6,
    .ttl = IPV6_UNICAST_HOPS,
    .tos = IPV6_TCLASS,
    .mtu_discover = IPV6_MTU_DISCOVER,
    .receive_errors = IPV6_RECVERR,
    .receive_packet_info = IPV6_RECVPKTINFO,
    .receive_ttl = IPV6_RECVHOPLIMIT,
    .receive_tos = IPV6_RECVTCLASS,
    .arrived_ttl = IPV6_HOPLIMIT,
    .arrived_tos = IPV6_TCLASS,
};
// SentFields gives both families the same values.
static_assert(int{IP_PMTUDISC_PROBE} == int{IPV6_PMTUDISC_PROBE});
static_assert(int{IP_PMTUDISC_DONT} == int{IPV6_PMTUDISC_DONT});

}  // namespace

const IpOptions& ip_options(bool is_v4) noexcept { return is_v4 ? kIpv4Options : kIpv6Options; }

void SentFields::apply(int fd, std::uint8_t ttl, std::uint8_t tos, bool dont_fragment) noexcept {
  if (ttl_ != ttl) {
    set_socket_option(fd, options_.level, options_.ttl, ttl);
    ttl_ = ttl;
  }
  if (tos_ != tos) {
    set_socket_option(fd, options_.level, options_.tos, tos);
    tos_ = tos;
  }
  if (dont_fragment_ != dont_fragment) {
    set_socket_option(fd, options_.level, options_.mtu_discover,
                      dont_fragment ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT);
    dont_fragment_ = dont_fragment;
  }
}

template <class T>
void SendControl::add(int level, int type, const T& value) noexcept {
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

void SendControl::add_segment_size(std::uint16_t size) noexcept { add(IPPROTO_UDP, UDP_SEGMENT, size); }

void SendControl::add_source(const sys::IpAddress& source, unsigned interface_index) noexcept {
  if (source.is_v4()) {
    in_pktinfo info{};
    info.ipi_ifindex = static_cast<int>(interface_index);
    info.ipi_spec_dst.s_addr = htonl(source.v4().value);
    add(IPPROTO_IP, IP_PKTINFO, info);
  } else {
    in6_pktinfo info{};
    info.ipi6_ifindex = interface_index;
    if (interface_index == 0) {
      std::memcpy(&info.ipi6_addr, source.v6().bytes.data(), source.v6().bytes.size());
    }
    add(IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
}

void prefer_public_source(int fd) noexcept {
  set_socket_option(fd, IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, kPreferPublicSource);
}

sys::Ipv6Address from_in6(const in6_addr& address) noexcept {
  sys::Ipv6Address out;
  std::memcpy(out.bytes.data(), &address, out.bytes.size());
  return out;
}

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

std::uint32_t IncomingMessage::peer_scope_id() const noexcept {
  if (peer_.ss_family != AF_INET6 || message_.msg_namelen < sizeof(sockaddr_in6)) {
    return 0;
  }
  sockaddr_in6 peer{};
  std::memcpy(&peer, &peer_, sizeof peer);
  return peer.sin6_scope_id;
}

}  // namespace l4n::nat
