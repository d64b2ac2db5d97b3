// The seam to the host's ping, and the kernel's sockets behind it.
//
// Two kinds of sockets can carry an echo request. A ping socket (SOCK_DGRAM, IPPROTO_ICMP or IPPROTO_ICMPV6)
// needs no privilege but the group's place in net.ipv4.ping_group_range, which is for both families; each has
// an identifier of its own, which the kernel writes into what is sent. Where these are refused, one raw
// socket for each family, which only root can open, is shared: there we choose the identifiers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "nat/icmp_error.hpp"
#include "nat/outbound.hpp"
#include "netns/sys/bytes.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/sys/ip_address.hpp"
#include "netns/sys/result.hpp"

namespace l4n::nat {

// ICMP messages are given from the ICMP header on. Their types are those of the family: 8 and 0, or in ICMPv6
// 128 and 129.

struct EchoRequest {
  sys::IpAddress destination;
  std::uint8_t ttl = 64;
  std::uint8_t tos = 0;
  bool dont_fragment = false;
  // With a correct checksum. Goes out with another identifier and the checksum that belongs to it (of ICMPv6
  // the kernel makes it).
  sys::Bytes message;
};

struct EchoReply {
  sys::IpAddress source;
  std::uint8_t ttl = 64;  // as it arrived
  std::uint8_t tos = 0;
  // With the identifier of the host's side; the receiver may change it. The checksum is correct, but ICMPv6's
  // covers the addresses too (RFC 4443 2.3) and the address of the host's side is not told: who hands the
  // message on has to compute it anew.
  sys::MutableBytes message;
};

struct EchoFailure {
  HostError error;
  sys::IpAddress destination;  // of the request that failed
  // That request with the identifier of the host's side, as far as the error quotes it: 8 bytes at least.
  sys::Bytes request;
};

class HostPingObserver {
 public:
  virtual void on_echo_reply(const EchoReply& reply) noexcept = 0;
  // An ICMP error has arrived. May be called from within HostPing::send(), about an earlier request.
  virtual void on_echo_failure(const EchoFailure& failure) noexcept = 0;

 protected:
  ~HostPingObserver() = default;
};

// One identifier of echo requests.
class HostPing {
 public:
  HostPing() = default;
  HostPing(const HostPing&) = delete;
  HostPing& operator=(const HostPing&) = delete;
  virtual ~HostPing() = default;

  // Nothing when it was sent (or lost for want of room, as on any network); the error otherwise.
  [[nodiscard]] virtual std::optional<HostError> send(const EchoRequest& request) noexcept = 0;
};

class PingHost {
 public:
  PingHost() = default;
  PingHost(const PingHost&) = delete;
  PingHost& operator=(const PingHost&) = delete;
  virtual ~PingHost() = default;

  // The observer outlives the HostPing, and this host all of them.
  virtual sys::Result<std::unique_ptr<HostPing>> open_ping(bool is_v4, HostPingObserver& observer) = 0;
};

class HostPingSockets final : public PingHost {
 public:
  // Each request leaves as `outbound` says at that moment. Both outlive this.
  HostPingSockets(sys::EventLoop& loop, const Outbound& outbound);
  ~HostPingSockets() override;

  // Finds out whether ping sockets of a family may be used and opens its raw socket if not. Before privileges
  // are given up. An error means that there will be no ping (unless the group range is opened later).
  sys::Result<void> prepare(bool is_v4);

  // A ping socket if possible, else a share of the raw one.
  sys::Result<std::unique_ptr<HostPing>> open_ping(bool is_v4, HostPingObserver& observer) override;

 private:
  class RawSocket;

  [[nodiscard]] std::unique_ptr<RawSocket>& raw_of(bool is_v4) noexcept;

  sys::EventLoop& loop_;
  const Outbound& outbound_;
  std::unique_ptr<RawSocket> raw_v4_;
  std::unique_ptr<RawSocket> raw_v6_;
};

}  // namespace l4n::nat
