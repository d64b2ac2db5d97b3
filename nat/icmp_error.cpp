#include "nat/icmp_error.hpp"

#include <linux/errqueue.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "nat/socket_io.hpp"

namespace l4n::nat {
namespace {

using stack::Icmp6Type;
using stack::Icmp6Unreachable;
using stack::IcmpType;
using stack::IcmpUnreachable;

constexpr IcmpReason kFragmentationNeeded{IcmpType::kUnreachable, IcmpUnreachable::kFragmentationNeeded};
constexpr IcmpReason kPacketTooBig{Icmp6Type::kPacketTooBig, 0};

template <class T>
std::optional<T> control_data(const cmsghdr& control, std::size_t at = 0) noexcept {
  const std::size_t size = control.cmsg_len - CMSG_LEN(0);
  if (control.cmsg_len < CMSG_LEN(0) || size < at + sizeof(T)) {
    return std::nullopt;
  }
  T value{};
  std::memcpy(&value, CMSG_DATA(&control) + at, sizeof value);
  return value;
}

std::uint16_t clamped_mtu(std::uint32_t mtu) noexcept {
  return static_cast<std::uint16_t>(std::min<std::uint32_t>(mtu, 0xffff));
}

// The offender's address stands behind the entry (SO_EE_OFFENDER); of no family when it is not known.
std::optional<sys::IpAddress> offender_of(const cmsghdr& control) noexcept {
  constexpr std::size_t kAt = sizeof(sock_extended_err);
  const std::size_t behind = control.cmsg_len - CMSG_LEN(kAt);
  const std::size_t size = std::min(behind, sizeof(sockaddr_storage));
  sockaddr_storage storage{};
  std::memcpy(&storage, CMSG_DATA(&control) + kAt, size);
  const auto endpoint = sys::from_socket_address(storage, static_cast<socklen_t>(size));
  return endpoint ? std::optional(endpoint->address) : std::nullopt;
}

// The ICMP or ICMPv6 message that an entry tells of.
HostError told_error(const sock_extended_err& entry, std::optional<sys::IpAddress> offender) noexcept {
  const bool is_v4 = entry.ee_origin == SO_EE_ORIGIN_ICMP;
  const IcmpReason reason{entry.ee_type, entry.ee_code};
  HostError error{static_cast<int>(entry.ee_errno), reason, 0, offender};
  if (reason == (is_v4 ? kFragmentationNeeded : kPacketTooBig)) {
    error.mtu = clamped_mtu(entry.ee_info);
  } else if (reason.type == (is_v4 ? IcmpType::kParameterProblem : Icmp6Type::kParameterProblem)) {
    error.pointer = entry.ee_info;
  }
  return error;
}

std::optional<HostError> error_of(const cmsghdr& control) noexcept {
  const auto entry = control_data<sock_extended_err>(control);
  if (!entry) {
    return std::nullopt;
  }
  switch (entry->ee_origin) {
    case SO_EE_ORIGIN_LOCAL:
      return local_error(static_cast<int>(entry->ee_errno), control.cmsg_level == IPPROTO_IP,
                         clamped_mtu(entry->ee_info));
    case SO_EE_ORIGIN_ICMP:
    case SO_EE_ORIGIN_ICMP6:
      return told_error(*entry, offender_of(control));
    default:
      return std::nullopt;
  }
}

bool is_control(const cmsghdr& control, int level, int type) noexcept {
  return control.cmsg_level == level && control.cmsg_type == type;
}

// The address of ours to which a message came, if this is what `control` tells.
std::optional<sys::IpAddress> told_address(const cmsghdr& control) noexcept {
  if (is_control(control, IPPROTO_IP, IP_PKTINFO)) {
    const auto info = control_data<in_pktinfo>(control);
    return info ? std::optional<sys::IpAddress>(sys::Ipv4Address{ntohl(info->ipi_addr.s_addr)})
                : std::nullopt;
  }
  if (is_control(control, IPPROTO_IPV6, IPV6_PKTINFO)) {
    const auto info = control_data<in6_pktinfo>(control);
    return info ? std::optional<sys::IpAddress>(from_in6(info->ipi6_addr)) : std::nullopt;
  }
  return std::nullopt;
}

// Source quench is deprecated (RFC 6633), and a redirect is about the host's own network.
bool is_relayed(std::uint8_t type, bool is_v4) noexcept {
  if (is_v4) {
    return type == IcmpType::kUnreachable || type == IcmpType::kTimeExceeded ||
           type == IcmpType::kParameterProblem;
  }
  return type >= Icmp6Type::kUnreachable && type <= Icmp6Type::kParameterProblem;
}

std::optional<IcmpReason> icmp4_reason(int error) noexcept {
  switch (error) {
    case ENETUNREACH:
    case ENETDOWN:
      return IcmpReason{IcmpType::kUnreachable, IcmpUnreachable::kNetwork};
    case EHOSTUNREACH:
    case EHOSTDOWN:
      return IcmpReason{IcmpType::kUnreachable, IcmpUnreachable::kHost};
    case ECONNREFUSED:
      return IcmpReason{IcmpType::kUnreachable, IcmpUnreachable::kPort};
    case EMSGSIZE:
      return kFragmentationNeeded;
    case EACCES:
    case EPERM:
      return IcmpReason{IcmpType::kUnreachable, IcmpUnreachable::kProhibited};
    default:
      return std::nullopt;
  }
}

std::optional<IcmpReason> icmp6_reason(int error) noexcept {
  switch (error) {
    case ENETUNREACH:
    case ENETDOWN:
      return IcmpReason{Icmp6Type::kUnreachable, Icmp6Unreachable::kNoRoute};
    case EHOSTUNREACH:
    case EHOSTDOWN:
      return IcmpReason{Icmp6Type::kUnreachable, Icmp6Unreachable::kAddress};
    case ECONNREFUSED:
      return IcmpReason{Icmp6Type::kUnreachable, Icmp6Unreachable::kPort};
    case EMSGSIZE:
      return kPacketTooBig;
    case EACCES:
    case EPERM:
      return IcmpReason{Icmp6Type::kUnreachable, Icmp6Unreachable::kProhibited};
    default:
      return std::nullopt;
  }
}

std::uint32_t second_word_v4(const HostError& error) noexcept {
  return error.reason->type == IcmpType::kParameterProblem ? error.pointer << 24U : error.mtu;
}

std::uint32_t second_word_v6(const HostError& error) noexcept {
  switch (error.reason->type) {
    case Icmp6Type::kPacketTooBig:
      return std::max<std::uint32_t>(error.mtu, stack::kIpv6MinimumMtu);
    case Icmp6Type::kParameterProblem:
      return error.pointer;
    default:
      return 0;
  }
}

}  // namespace

std::optional<IcmpReason> icmp_reason(int error, bool is_v4) noexcept {
  return is_v4 ? icmp4_reason(error) : icmp6_reason(error);
}

HostError local_error(int error, bool is_v4, std::uint16_t mtu) noexcept {
  return {error, icmp_reason(error, is_v4), error == EMSGSIZE ? mtu : std::uint16_t{0}, std::nullopt};
}

std::optional<HostError> parse_host_error(const msghdr& message) noexcept {
  std::optional<HostError> error;
  std::optional<sys::IpAddress> told;
  // CMSG_NXTHDR takes the header as writable, but only looks at it.
  auto* header = const_cast<msghdr*>(&message);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  for (cmsghdr* control = CMSG_FIRSTHDR(header); control != nullptr; control = CMSG_NXTHDR(header, control)) {
    if (is_control(*control, IPPROTO_IP, IP_RECVERR) || is_control(*control, IPPROTO_IPV6, IPV6_RECVERR)) {
      error = error_of(*control);
    } else if (const auto address = told_address(*control)) {
      told = address;
    }
  }
  if (error && error->offender && (sys::is_loopback(*error->offender) || error->offender == told)) {
    error->offender.reset();
  }
  return error;
}

std::vector<std::byte> guest_packet(const stack::IpHeader& header, sys::Bytes transport) {
  const std::size_t size = stack::ip_header_size(header.source);
  std::vector<std::byte> packet(size + transport.size());
  stack::encode_ip(packet, header, header.total_length - size);
  std::copy(transport.begin(), transport.end(), packet.begin() + static_cast<std::ptrdiff_t>(size));
  return packet;
}

std::vector<std::byte> guest_udp_packet(stack::IpHeader header, std::uint16_t source_port,
                                        std::uint16_t destination_port, sys::Bytes payload) {
  const std::size_t length = stack::kUdpHeaderSize + payload.size();
  std::vector<std::byte> datagram(length);
  sys::ByteWriter w(datagram);
  w.be16(source_port);
  w.be16(destination_port);
  w.be16(static_cast<std::uint16_t>(length));
  w.be16(0);  // the guest's checksum is not known, and nobody looks at it
  w.bytes(payload);
  header.protocol = stack::kProtocolUdp;
  header.total_length = static_cast<std::uint32_t>(stack::ip_header_size(header.source) + length);
  return guest_packet(header, datagram);
}

bool send_host_error(stack::GuestLink& link, const stack::MacAddress& to, const sys::IpAddress& gateway,
                     const HostError& error, sys::Bytes packet) noexcept {
  const bool is_v4 = gateway.is_v4();
  if (!error.reason || !is_relayed(error.reason->type, is_v4)) {
    return false;
  }
  const bool known = error.offender && error.offender->is_v4() == is_v4;
  link.send_icmp_error(to, known ? *error.offender : gateway, error.reason->type, error.reason->code, packet,
                       is_v4 ? second_word_v4(error) : second_word_v6(error));
  return true;
}

void send_time_exceeded(stack::GuestLink& link, const sys::IpAddress& gateway,
                        const stack::IpPacket& packet) noexcept {
  send_time_exceeded(link, packet.source_mac, gateway, stack::IcmpTimeExceeded::kTransit, packet.packet);
}

void send_time_exceeded(stack::GuestLink& link, const stack::MacAddress& to, const sys::IpAddress& gateway,
                        std::uint8_t code, sys::Bytes packet) noexcept {
  const std::uint8_t type = gateway.is_v4() ? IcmpType::kTimeExceeded : Icmp6Type::kTimeExceeded;
  link.send_icmp_error(to, gateway, type, code, packet);
}

}  // namespace l4n::nat
