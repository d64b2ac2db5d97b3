// Messages of Neighbour Discovery for IPv6 (RFC 4861) with the DNS options of RFC 8106, as pure functions
// over bytes. A message begins at its ICMPv6 header; its checksum has been verified where it is read, and is
// left 0 where it is written. Numbers are host order.
//
// A message that breaks one of the standard's validity rules is no message: the readers answer with nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "netns/sys/bytes.hpp"
#include "netns/sys/ip_address.hpp"
#include "stack/ip_header.hpp"
#include "stack/mac_address.hpp"

namespace l4n::stack {

struct NdpType {
  static constexpr std::uint8_t kRouterSolicitation = 133;
  static constexpr std::uint8_t kRouterAdvertisement = 134;
  static constexpr std::uint8_t kNeighbourSolicitation = 135;
  static constexpr std::uint8_t kNeighbourAdvertisement = 136;
};

// Of all these messages: no router has forwarded them (RFC 4861 3.1).
inline constexpr std::uint8_t kNdpHopLimit = 255;

// The header of a message of ours; the protocol is GuestLink::send_icmp()'s to set.
[[nodiscard]] IpHeader ndp_header(const sys::Ipv6Address& source,
                                  const sys::Ipv6Address& destination) noexcept;

// What the validity rules need to know of the IPv6 header.
struct NdpEnvelope {
  sys::Ipv6Address source;
  sys::Ipv6Address destination;
  std::uint8_t hop_limit = kNdpHopLimit;
};

struct RouterSolicitation {
  std::optional<MacAddress> source_mac;  // source link-layer address
};

struct NeighbourSolicitation {
  sys::Ipv6Address target;
  // Source link-layer address. Never there when the source is unspecified, duplicate address detection.
  std::optional<MacAddress> source_mac;
};

struct NeighbourAdvertisement {
  sys::Ipv6Address target;
  bool router = false;
  bool solicited = false;
  bool override = false;
  std::optional<MacAddress> target_mac;  // target link-layer address
};

// RFC 4861 6.1.1, 7.1.1, 7.1.2. Options that are not asked for are passed over. A link-layer address must be
// that of one Ethernet station; of several, the first counts.
[[nodiscard]] std::optional<RouterSolicitation> decode_router_solicitation(
    sys::Bytes message, const NdpEnvelope& envelope) noexcept;
[[nodiscard]] std::optional<NeighbourSolicitation> decode_neighbour_solicitation(
    sys::Bytes message, const NdpEnvelope& envelope) noexcept;
[[nodiscard]] std::optional<NeighbourAdvertisement> decode_neighbour_advertisement(
    sys::Bytes message, const NdpEnvelope& envelope) noexcept;

// The largest neighbour message that is written: with a link-layer address.
inline constexpr std::size_t kNeighbourMessageSize = 32;

// These write at most kNeighbourMessageSize bytes and return how many.
std::size_t encode_neighbour_solicitation(sys::MutableBytes out,
                                          const NeighbourSolicitation& solicitation) noexcept;
std::size_t encode_neighbour_advertisement(sys::MutableBytes out,
                                           const NeighbourAdvertisement& advertisement) noexcept;

// RFC 4861 4.2, 4.6; RFC 8106 5. Lifetimes are seconds.
struct RouterAdvertisement {
  std::uint8_t hop_limit = 64;  // for the guest's packets
  bool managed = false;         // addresses by DHCPv6
  bool other = false;           // other configuration by DHCPv6
  std::uint16_t router_lifetime = 1800;
  MacAddress source_mac = kGatewayMac;
  std::uint32_t mtu = 1500;
  sys::Ipv6Network prefix;
  bool on_link = true;     // L
  bool autonomous = true;  // A: addresses by RFC 4862, which wants a prefix of 64 bits
  std::uint32_t valid_lifetime = 86400;
  std::uint32_t preferred_lifetime = 14400;
  std::vector<sys::Ipv6Address> dns_servers;
  std::vector<std::string> search_domains;  // "example.org"; a final dot is allowed
  std::uint32_t dns_lifetime = 1800;        // of both: three times the longest pause (RFC 8106 5.1)
};

// Fits into one packet of the minimum MTU (RFC 8200 5).
inline constexpr std::size_t kLargestRouterAdvertisement = 1240;
// Beyond these, DNS servers are left out.
inline constexpr std::size_t kMostAdvertisedDnsServers = 3;

// Writes at most kLargestRouterAdvertisement bytes, which `out` holds, and returns how many. The search
// domains are those of encode_search_list() (stack/domain_name.hpp) for the room there is.
std::size_t encode_router_advertisement(sys::MutableBytes out, const RouterAdvertisement& advertisement);

// ff02::1 (RFC 4291 2.7.1).
[[nodiscard]] sys::Ipv6Address all_nodes() noexcept;
// The group of ff02::1:ff00:0/104 that an address belongs to, and whether an address is one.
[[nodiscard]] sys::Ipv6Address solicited_node_multicast(const sys::Ipv6Address& address) noexcept;
[[nodiscard]] bool is_solicited_node_multicast(const sys::Ipv6Address& address) noexcept;
// 33:33:XX:XX:XX:XX of a multicast address (RFC 2464 7).
[[nodiscard]] MacAddress multicast_mac(const sys::Ipv6Address& group) noexcept;

}  // namespace l4n::stack
