#include "nat/icmp_error.hpp"

#include <linux/errqueue.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace l4n::nat {
namespace {

using stack::IcmpType;
using stack::IcmpUnreachable;

constexpr IcmpReason kFragmentationNeeded{IcmpType::kUnreachable, IcmpUnreachable::kFragmentationNeeded};

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

// The offender's address stands behind the entry (SO_EE_OFFENDER).
std::optional<sys::Ipv4Address> offender_of(const cmsghdr& control) noexcept {
  const auto address = control_data<sockaddr_in>(control, sizeof(sock_extended_err));
  if (!address || address->sin_family != AF_INET) {
    return std::nullopt;
  }
  return sys::Ipv4Address{ntohl(address->sin_addr.s_addr)};
}

std::optional<HostError> error_of(const cmsghdr& control) noexcept {
  const auto entry = control_data<sock_extended_err>(control);
  if (!entry) {
    return std::nullopt;
  }
  const int code = static_cast<int>(entry->ee_errno);
  if (entry->ee_origin == SO_EE_ORIGIN_LOCAL) {
    return local_error(code, clamped_mtu(entry->ee_info));
  }
  if (entry->ee_origin != SO_EE_ORIGIN_ICMP) {
    return std::nullopt;
  }
  const IcmpReason reason{entry->ee_type, entry->ee_code};
  HostError error{code, reason, 0, offender_of(control)};
  if (reason == kFragmentationNeeded) {
    error.mtu = clamped_mtu(entry->ee_info);
  } else if (reason.type == IcmpType::kParameterProblem) {
    error.pointer = static_cast<std::uint8_t>(entry->ee_info);
  }
  return error;
}

// Source quench is deprecated (RFC 6633), and a redirect is about the host's own network.
bool is_relayed(std::uint8_t type) noexcept {
  return type == IcmpType::kUnreachable || type == IcmpType::kTimeExceeded ||
         type == IcmpType::kParameterProblem;
}

}  // namespace

std::optional<IcmpReason> icmp_reason(int error) noexcept {
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

HostError local_error(int error, std::uint16_t mtu) noexcept {
  return {error, icmp_reason(error), error == EMSGSIZE ? mtu : std::uint16_t{0}, std::nullopt};
}

std::optional<HostError> parse_host_error(const msghdr& message) noexcept {
  std::optional<HostError> error;
  std::optional<sys::Ipv4Address> told;  // the address to which the ICMP message came
  // CMSG_NXTHDR takes the header as writable, but only looks at it.
  auto* header = const_cast<msghdr*>(&message);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  for (cmsghdr* control = CMSG_FIRSTHDR(header); control != nullptr; control = CMSG_NXTHDR(header, control)) {
    if (control->cmsg_level != IPPROTO_IP) {
      continue;
    }
    if (control->cmsg_type == IP_RECVERR) {
      error = error_of(*control);
    } else if (control->cmsg_type == IP_PKTINFO) {
      if (const auto info = control_data<in_pktinfo>(*control)) {
        told = sys::Ipv4Address{ntohl(info->ipi_addr.s_addr)};
      }
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
  if (!error.reason || !is_relayed(error.reason->type)) {
    return false;
  }
  const std::uint32_t second_word =
      error.reason->type == IcmpType::kParameterProblem ? std::uint32_t{error.pointer} << 24U : error.mtu;
  link.send_icmp_error(to, error.offender ? sys::IpAddress(*error.offender) : gateway, error.reason->type,
                       error.reason->code, packet, second_word);
  return true;
}

void send_time_exceeded(stack::GuestLink& link, const sys::IpAddress& gateway,
                        const stack::IpPacket& packet) noexcept {
  const std::uint8_t type = gateway.is_v4() ? IcmpType::kTimeExceeded : stack::Icmp6Type::kTimeExceeded;
  link.send_icmp_error(packet.source_mac, gateway, type, stack::IcmpTimeExceeded::kTransit, packet.packet);
}

}  // namespace l4n::nat
