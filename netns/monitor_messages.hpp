// The messages from the monitor to the worker, one per SOCK_SEQPACKET message.
//
//   byte 0   version
//   byte 1   type: 1 Nameservers, 2 TargetGone, 3 InterfaceAddresses
//   Nameservers: byte 2 = count, then per server: family (4 or 6), scope id (be32), address in 16 bytes
//   (an IPv4 address in the first four, the rest zero); then the number of search domains, and per domain its
//   length in one byte and its text
//   InterfaceAddresses: family (4 or 6), index (be32), address, then the number of the host's own addresses
//   in one byte, and each; an address has the 4 or 16 bytes of its family
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "netns/interface_addresses.hpp"
#include "netns/resolv_conf.hpp"
#include "netns/sys/bytes.hpp"
#include "netns/sys/ip_address.hpp"

namespace l4n::netns {

struct NameserverAddress {
  sys::IpAddress address;
  std::uint32_t scope_id = 0;  // 0: none. Only IPv6.

  friend bool operator==(const NameserverAddress&, const NameserverAddress&) = default;
};

// The host's name servers have changed, or are told for the first time. Empty: the host names none.
struct Nameservers {
  std::vector<NameserverAddress> servers;  // in order of preference, at most 3 per family
  std::vector<std::string> search{};       // at most kMaxSearchDomains of 1 to 255 bytes

  friend bool operator==(const Nameservers&, const Nameservers&) = default;
};

// The target has ended and nobody is left in its network namespace.
struct TargetGone {
  friend bool operator==(const TargetGone&, const TargetGone&) = default;
};

using MonitorMessage = std::variant<Nameservers, TargetGone, InterfaceAddresses>;

inline constexpr std::size_t kNameserverSize = 21;
inline constexpr std::size_t kMaxSearchDomains = 8;
inline constexpr std::size_t kMaxMonitorMessage = 2 + 1 + 4 + 16 + 1 + (kMaxOwnAddresses * 16);
static_assert(kMaxMonitorMessage >=
              4 + (2 * kMaxNameserversPerFamily * kNameserverSize) + (kMaxSearchDomains * 256));

// Bytes written to `out`; 0 when `out` is too small or the message exceeds its limits.
[[nodiscard]] std::size_t encode(const MonitorMessage& message, sys::MutableBytes out);
// Nothing when it is not exactly one well-formed message.
[[nodiscard]] std::optional<MonitorMessage> decode_monitor_message(sys::Bytes data);

}  // namespace l4n::netns
