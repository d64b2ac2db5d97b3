// The destination policy: where a packet of the guest may go. One pure function decides for every protocol
// on the final socket address, so that there is one table to read and to test (tests/nat/policy_test.cpp).
#pragma once

#include <optional>

#include "netns/sys/ip_address.hpp"

namespace l4n::nat {

enum class Protocol { tcp, udp, echo };

// The router's link-local address, fe80::2: where default routes lead and router advertisements come from.
inline constexpr sys::Ipv6Address kRouterAddress{{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}};

struct PolicyConfig {
  sys::Ipv4Network network{sys::make_ipv4(10, 0, 2, 0), 24};
  std::optional<sys::Ipv6Network> network6;  // nothing: no IPv6
  bool host_loopback = true;                 // false: --disable-host-loopback
  bool dns = true;                           // false: --disable-dns
  bool link_local = false;                   // true: --allow-link-local

  [[nodiscard]] sys::Ipv4Address gateway() const noexcept { return network.host(2); }
  [[nodiscard]] sys::Ipv4Address dns_server() const noexcept { return network.host(3); }
  // In the family of `peer`. Without network6 there is no IPv6 peer.
  [[nodiscard]] sys::IpAddress gateway_for(const sys::IpAddress& peer) const noexcept {
    return peer.is_v4() || !network6 ? sys::IpAddress(gateway()) : sys::IpAddress(network6->host(2));
  }
};

enum class Verdict {
  allow,        // to `target` by a host socket
  dns,          // to the DNS service
  answer_echo,  // ping of an address of ours
  unreachable,  // ICMP 3/0, for IPv6 1/0 ("network unreachable")
  drop,         // silently
};

struct Decision {
  Verdict verdict = Verdict::drop;
  sys::Endpoint target;  // for allow: where the host socket goes
};

// `destination`: as on the wire. For echo the port is ignored.
[[nodiscard]] Decision decide(const PolicyConfig& config, Protocol protocol,
                              const sys::Endpoint& destination) noexcept;

// Whether a packet with this source address may come from the guest. Addresses outside the guest's network
// are fine: nested bridges and pods send from their own.
[[nodiscard]] bool source_allowed(const PolicyConfig& config, const sys::IpAddress& source) noexcept;

// The source that an endpoint of the guest sees for a client of a port forward: its own address, or the
// gateway's where that would mean something else inside (loopback, link-local, the guest's own network), is
// of the other family or is none that a packet may come from.
[[nodiscard]] sys::Endpoint forward_source(const PolicyConfig& config, const sys::Endpoint& client,
                                           const sys::IpAddress& guest) noexcept;

// Where two clients look alike to the guest, the later one is shown at the next of these: the same address,
// another port.
[[nodiscard]] sys::Endpoint next_source(sys::Endpoint source) noexcept;
// How many of them are worth trying.
inline constexpr int kMostSources = 64;

// A broadcast (limited, or of the guest's network), multicast or reserved address: not one host's.
[[nodiscard]] bool is_group_address(const PolicyConfig& config, const sys::IpAddress& address) noexcept;

// Whether ARP or neighbour discovery is answered for this address.
[[nodiscard]] bool is_served(const PolicyConfig& config, const sys::IpAddress& address) noexcept;

}  // namespace l4n::nat
