// DHCPv4 messages on the wire (RFC 2131 2, RFC 2132): requests are read, replies are written. Pure
// functions over spans.
//
// Options are concatenated and split as RFC 3396 says, and found in the `file` and `sname` fields too when
// the sender put them there (option 52).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "netns/sys/bytes.hpp"
#include "netns/sys/ip_address.hpp"
#include "stack/mac_address.hpp"

namespace l4n::nat {

// RFC 2132 9.6.
enum class DhcpType : std::uint8_t {
  discover = 1,
  offer = 2,
  request = 3,
  decline = 4,
  ack = 5,
  nak = 6,
  release = 7,
  inform = 8,
};

// BOOTP clients may refuse anything shorter (RFC 1542 2.1).
inline constexpr std::size_t kSmallestDhcpReply = 300;
// The IP packet that every client takes, and the least that option 57 can say (RFC 2132 9.10).
inline constexpr std::size_t kSmallestDhcpPacketLimit = 576;

// A BOOTREQUEST with a message type, from an Ethernet client. Field names are those of RFC 2131 2.
struct DhcpRequest {
  DhcpType type = DhcpType::discover;
  std::uint32_t xid = 0;
  bool broadcast = false;  // the client cannot take unicast before it has an address
  sys::Ipv4Address ciaddr;
  sys::Ipv4Address giaddr;
  stack::MacAddress chaddr{};
  std::optional<sys::Ipv4Address> requested_address;  // 50
  std::optional<sys::Ipv4Address> server_id;          // 54
  std::optional<std::uint16_t> max_message_size;      // 57, bytes of the IP packet
  std::vector<std::byte> client_id;                   // 61, 2..255 bytes; empty: there was none
};

// Nothing for what is not such a request: too short, not from Ethernet, another magic cookie, no message
// type, a malformed option. A missing end option (255) is forgiven, as long as no option is cut off.
[[nodiscard]] std::optional<DhcpRequest> decode_dhcp_request(sys::Bytes message);

// A BOOTREPLY. The views are the caller's.
struct DhcpResponse {
  DhcpType type = DhcpType::offer;
  std::uint32_t xid = 0;
  bool broadcast = false;
  sys::Ipv4Address ciaddr;
  sys::Ipv4Address yiaddr;
  stack::MacAddress chaddr{};
  sys::Ipv4Address server_id;                    // 54
  std::optional<std::uint32_t> lease_time;       // 51, seconds
  std::optional<sys::Ipv4Address> subnet_mask;   // 1
  std::optional<sys::Ipv4Address> router;        // 3
  std::optional<sys::Ipv4Address> dns_server;    // 6
  std::optional<std::uint16_t> interface_mtu;    // 26, bytes
  std::string_view text;                         // 56, why it is refused; at most 255 bytes
  sys::Bytes client_id;                          // 61, repeated from the request (RFC 6842)
  std::span<const std::string> domain_search{};  // 119 (RFC 3397)
};

// At least kSmallestDhcpReply bytes. The domain search list is cut, between two names, where the message
// would become longer than `limit` bytes; all the rest fits any limit that a client can set.
[[nodiscard]] std::vector<std::byte> encode_dhcp_response(const DhcpResponse& response, std::size_t limit);

}  // namespace l4n::nat
