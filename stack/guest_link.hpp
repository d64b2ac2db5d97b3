// Egress: everything that goes to the guest passes here and gets its virtio and Ethernet header.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "netns/sys/bytes.hpp"
#include "netns/sys/clock.hpp"
#include "netns/sys/ip_address.hpp"
#include "netns/sys/rate_limit.hpp"
#include "stack/arp.hpp"
#include "stack/frame_port.hpp"
#include "stack/ip_header.hpp"
#include "stack/mac_address.hpp"
#include "stack/packet.hpp"

namespace l4n::stack {

class GuestLink {
 public:
  // The most pieces that send() takes beside its own header.
  static constexpr std::size_t kMaxParts = 62;

  struct Counters {
    std::uint64_t frames = 0;
    std::uint64_t bytes = 0;
    std::uint64_t lost = 0;         // the port did not take the frame, or the packet could not be made
    std::uint64_t fragmented = 0;   // packets that were sent in fragments
    std::uint64_t icmp_errors = 0;  // sent
    std::uint64_t icmp_errors_limited = 0;  // not sent because there were too many
  };
  // ICMP errors per second (RFC 1812 4.3.2.8, RFC 4443 2.4).
  static constexpr unsigned kIcmpErrors = 1000;

  // `mtu`: the largest IP packet toward the guest, in bytes; at least 68 (RFC 791 3.2), with IPv6
  // 1280 (RFC 8200 5). Without a clock there may be any number of ICMP errors.
  GuestLink(FramePort& port, unsigned mtu, const sys::Clock* clock = nullptr) noexcept
      : port_(port), mtu_(mtu), clock_(clock) {}
  GuestLink(const GuestLink&) = delete;
  GuestLink& operator=(const GuestLink&) = delete;

  [[nodiscard]] unsigned mtu() const noexcept { return mtu_; }
  // Whether super-segments and partial checksums may be sent.
  [[nodiscard]] bool offloads() const noexcept { return port_.has_vnet_header(); }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

  // One packet in pieces (at most kMaxParts). `vnet.checksum_start` and `header_length` count from the IP
  // header; the Ethernet header is added here.
  void send(const MacAddress& to, std::uint16_t ether_type, VnetHeader vnet,
            std::span<const iovec> packet) noexcept;

  void send_arp(const MacAddress& to, const ArpPacket& arp) noexcept;
  // An IP packet from us. `header` needs source, destination, protocol (and tos, ttl, dont_fragment); length
  // and id are set here. The payload (IPv4: at most 65,515 bytes, IPv6: 65,535) has its checksum already. A
  // packet larger than the MTU goes in fragments, or not at all when dont_fragment is set.
  void send_ip(const MacAddress& to, const IpHeader& header, sys::Bytes payload) noexcept;
  // An ICMP or ICMPv6 message, as the addresses say; protocol and checksum are set here.
  void send_icmp(const MacAddress& to, IpHeader header, sys::MutableBytes message) noexcept;
  // An ICMP error (RFC 792, RFC 4443) from `source` that quotes `original`, the guest's own packet from its
  // IP header on, as far as 576 bytes allow (RFC 1812 4.3.2.3), IPv6 1280; `original` may be cut short
  // already. Nothing is sent where may_send_ip_error() forbids it (`also_multicast` is for that), nor beyond
  // kIcmpErrors.
  // `second_word` of the ICMP header: with
  // "fragmentation needed" and "packet too big" the next-hop MTU, with "parameter problem" the pointer (of
  // ICMP in the first octet).
  void send_icmp_error(const MacAddress& to, const sys::IpAddress& source, std::uint8_t type,
                       std::uint8_t code, sys::Bytes original, std::uint32_t second_word = 0,
                       bool also_multicast = false) noexcept;
  // A UDP datagram with a full checksum (packet-socket readers in the guest do not understand partial ones);
  // at most 65,507 bytes of payload, in fragments where the MTU wants it.
  void send_udp(const MacAddress& to, const sys::Endpoint& source, const sys::Endpoint& destination,
                sys::Bytes payload) noexcept;
  // Several datagrams of `segment_size` bytes, the last may be shorter: one frame where the guest's kernel
  // cuts it, else one by one. Each part (less than kMaxParts) holds one or more of them, whole.
  void send_udp_batch(const MacAddress& to, const sys::Endpoint& source, const sys::Endpoint& destination,
                      std::span<const iovec> parts, std::size_t segment_size) noexcept;
  // The same with one part.
  void send_udp_batch(const MacAddress& to, const sys::Endpoint& source, const sys::Endpoint& destination,
                      sys::Bytes payload, std::size_t segment_size) noexcept;
  // The reset of RFC 9293 3.10.7.1 that answers a segment for which there is no connection.
  void send_tcp_reset(const MacAddress& to, const sys::Endpoint& source, const sys::Endpoint& destination,
                      const TcpHeader& offending, std::size_t offending_payload) noexcept;
  // A bare acknowledgment outside of any connection (TIME-WAIT).
  void send_tcp_ack(const MacAddress& to, const sys::Endpoint& source, const sys::Endpoint& destination,
                    std::uint32_t seq, std::uint32_t ack) noexcept;

 private:
  void send_udp_one_by_one(const MacAddress& to, const sys::Endpoint& source,
                           const sys::Endpoint& destination, sys::Bytes payload,
                           std::size_t segment_size) noexcept;
  // A packet whose payload comes in pieces.
  void send_packet(const MacAddress& to, IpHeader header, std::span<const iovec> payload) noexcept;
  void send_fragments(const MacAddress& to, IpHeader header, std::span<const iovec> payload,
                      std::size_t size) noexcept;
  void send_tcp(const MacAddress& to, const sys::Endpoint& source, const sys::Endpoint& destination,
                TcpHeader header) noexcept;

  FramePort& port_;
  unsigned mtu_;
  const sys::Clock* clock_;
  sys::RateLimit icmp_errors_{kIcmpErrors, std::chrono::seconds(1)};
  std::uint32_t next_id_ = 1;
  Counters counters_;
};

}  // namespace l4n::stack
