// `-c`: gives the guest's interface its addresses over rtnetlink, in the current network namespace.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "netns/sys/ip_address.hpp"
#include "netns/sys/result.hpp"

namespace l4n::netns {

struct InterfaceAddress {
  sys::IpAddress address;
  unsigned prefix = 24;
};

struct InterfaceConfig {
  std::optional<std::array<std::uint8_t, 6>> mac;
  unsigned mtu = 1500;
  std::vector<InterfaceAddress> addresses;  // IPv6 ones without duplicate address detection: usable at once
  std::vector<sys::IpAddress> gateways;     // a default route via each
};

// Brings up `lo` and `interface` and applies `config`. What is already as wanted is no error. With an IPv6
// address IPv6 is switched on for both, and addresses that the kernel makes are usable at once as well.
[[nodiscard]] sys::Result<void> configure_interface(const std::string& interface,
                                                    const InterfaceConfig& config);

}  // namespace l4n::netns
