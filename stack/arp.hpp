// ARP (RFC 826): answers for the addresses we serve.
#pragma once

#include <optional>

#include "netns/sys/bytes.hpp"
#include "netns/sys/ip_address.hpp"
#include "stack/mac_address.hpp"

namespace l4n::stack {

inline constexpr std::size_t kArpPacketSize = 28;

struct ArpPacket {
  static constexpr std::uint16_t kRequest = 1;
  static constexpr std::uint16_t kReply = 2;

  std::uint16_t operation = kRequest;
  MacAddress sender_mac{};
  sys::Ipv4Address sender;
  MacAddress target_mac{};
  sys::Ipv4Address target;
};

// Ethernet and IPv4 only; trailing padding is allowed.
[[nodiscard]] std::optional<ArpPacket> decode_arp(sys::Bytes packet) noexcept;
// Writes kArpPacketSize bytes.
void encode_arp(sys::MutableBytes out, const ArpPacket& arp) noexcept;

// The reply to a request for an address for which `own` is true; nothing for all else. A probe (RFC 5227,
// sender 0.0.0.0) for our address is answered too: that is how the guest learns of the conflict.
[[nodiscard]] std::optional<ArpPacket> answer_arp(const ArpPacket& request, bool target_is_ours,
                                                  const MacAddress& our_mac) noexcept;

}  // namespace l4n::stack
