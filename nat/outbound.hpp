// Where the host's sockets start that serve what the guest starts: --outbound-addr and --outbound-addr6.
//
// Not for the host's loopback, which no other address can reach, and not for the resolvers, which are asked
// in the host's own name.
#pragma once

#include <vector>

#include "netns/sys/ip_address.hpp"

namespace l4n::nat {

// For the destinations of one family; all addresses are of that family.
struct OutboundFamily {
  // Nothing was asked for: the system chooses.
  bool wanted = false;
  // The source; unspecified when the interface has none at present. Then nothing goes out: what was to leave
  // by a tunnel must not leave by another way while the tunnel is down.
  sys::IpAddress address{};
  // The interface to leave by, where the system allows the choice; 0: as the routes say.
  unsigned interface_index = 0;
  // All addresses of this host. They are reached inside it, by no interface. Only with an interface_index.
  std::vector<sys::IpAddress> own{};

  friend bool operator==(const OutboundFamily&, const OutboundFamily&) = default;
};

// Each family has its own option, which may name another interface.
struct Outbound {
  OutboundFamily v4{};
  OutboundFamily v6{};

  friend bool operator==(const Outbound&, const Outbound&) = default;
};

struct OutboundChoice {
  bool possible = true;
  sys::IpAddress source{};       // unspecified: the system's choice
  unsigned interface_index = 0;  // 0: the system's choice

  friend bool operator==(const OutboundChoice&, const OutboundChoice&) = default;
};

// How to leave for this destination. Pure.
[[nodiscard]] OutboundChoice choose_outbound(const Outbound& outbound,
                                             const sys::IpAddress& destination) noexcept;

// What an errno value of a connect or send means that left as `choice` says: an address or an interface that
// is gone is a network that cannot be reached. Any other value, 0 too, is returned as it is.
[[nodiscard]] int outbound_error(const OutboundChoice& choice, int error) noexcept;

}  // namespace l4n::nat
