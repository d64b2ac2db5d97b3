// ICMP errors on their way to the guest: what the host's kernel tells about a datagram of ours that did not
// arrive (errno, or an entry of a socket's error queue, ip(7) IP_RECVERR, ipv6(7) IPV6_RECVERR), and how the
// guest gets to hear it as if it had sent that datagram itself. For ping and UDP alike.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "netns/sys/bytes.hpp"
#include "netns/sys/ip_address.hpp"
#include "stack/guest_link.hpp"
#include "stack/ingress.hpp"
#include "stack/packet.hpp"

namespace l4n::nat {

struct IcmpReason {
  std::uint8_t type = 0;
  std::uint8_t code = 0;

  friend bool operator==(const IcmpReason&, const IcmpReason&) = default;
};

// The ICMP message that stands for an errno value of a send or connect; nothing for those that say nothing
// about the way (no memory, no descriptors). Of the destination's family: ICMP (RFC 792, 1812 5.2.7.1) or
// ICMPv6 (RFC 4443 3).
[[nodiscard]] std::optional<IcmpReason> icmp_reason(int error, bool is_v4) noexcept;

struct HostError {
  int error = 0;                     // errno value
  std::optional<IcmpReason> reason;  // what to tell the guest, if anything
  std::uint16_t mtu = 0;  // next-hop MTU, with "fragmentation needed" and "packet too big"; 0: not known
  // Who said so; nothing when it was the host itself.
  std::optional<sys::IpAddress> offender;
  std::uint32_t pointer = 0;  // the octet in error, with "parameter problem"
};

// A send that failed at once. `mtu`: of the way, where EMSGSIZE came with one.
[[nodiscard]] HostError local_error(int error, bool is_v4, std::uint16_t mtu = 0) noexcept;

// Room for the control messages of one entry of an error queue.
inline constexpr std::size_t kErrorControlSize = 512;

// One entry, as recvmsg(2) with MSG_ERRQUEUE left it. With IP_PKTINFO (IPV6_RECVPKTINFO) set on the socket an
// error that the host has sent to itself (no ARP answer, a closed port of its own) is recognised as such.
// Nothing when the entry is about something else (time stamps, zero copy).
[[nodiscard]] std::optional<HostError> parse_host_error(const msghdr& message) noexcept;

// The packet that the guest has sent, put together again from what is remembered of it. `header` is its IP
// header with its total length (options and extension headers are forgotten); `transport` are the bytes
// behind, as many as are known (8 at least, RFC 792).
[[nodiscard]] std::vector<std::byte> guest_packet(const stack::IpHeader& header, sys::Bytes transport);
// The same for a UDP datagram of which `payload` is known. `header` needs addresses, ttl and tos.
[[nodiscard]] std::vector<std::byte> guest_udp_packet(stack::IpHeader header, std::uint16_t source_port,
                                                      std::uint16_t destination_port, sys::Bytes payload);

// Relays an error about `packet` (the guest's own, whole or as from guest_packet()). It comes from the
// offender, or from `gateway` when that is the host. True when there was something to tell.
bool send_host_error(stack::GuestLink& link, const stack::MacAddress& to, const sys::IpAddress& gateway,
                     const HostError& error, sys::Bytes packet) noexcept;

// The gateway is a router: a packet with this TTL ends here (RFC 1812 5.3.1).
[[nodiscard]] constexpr bool ttl_expires(const stack::IpHeader& header) noexcept { return header.ttl <= 1; }
// The same where the packet may be for the gateway itself: TTL ends what is forwarded, not what has arrived.
[[nodiscard]] constexpr bool ttl_expires_here(const stack::IpHeader& header,
                                              const sys::IpAddress& gateway) noexcept {
  return ttl_expires(header) && header.destination != gateway;
}
void send_time_exceeded(stack::GuestLink& link, const sys::IpAddress& gateway,
                        const stack::IpPacket& packet) noexcept;
// The same about a packet's bytes, with one of stack::IcmpTimeExceeded.
void send_time_exceeded(stack::GuestLink& link, const stack::MacAddress& to, const sys::IpAddress& gateway,
                        std::uint8_t code, sys::Bytes packet) noexcept;

}  // namespace l4n::nat
