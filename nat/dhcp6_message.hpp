// DHCPv6 messages on the wire (RFC 8415 8 and 21): what clients send is read, what a server sends is written.
// Pure functions over spans.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "netns/sys/bytes.hpp"
#include "netns/sys/ip_address.hpp"

namespace l4n::nat {

// RFC 8415 7.3, without the messages between relays and servers.
enum class Dhcp6Type : std::uint8_t {
  solicit = 1,
  advertise = 2,
  request = 3,
  confirm = 4,
  renew = 5,
  rebind = 6,
  reply = 7,
  release = 8,
  decline = 9,
  reconfigure = 10,
  information_request = 11,
};

// RFC 8415 21.13.
enum class Dhcp6Status : std::uint16_t {
  success = 0,
  no_addrs_avail = 2,
  no_binding = 3,
  not_on_link = 4,
  use_multicast = 5,
  no_prefix_avail = 6,
};

// What a client wants: its option codes.
enum class Dhcp6Kind : std::uint16_t {
  address = 3,            // IA_NA
  temporary_address = 4,  // IA_TA
  prefix = 25,            // IA_PD
};

// An identity association (RFC 8415 12).
struct Dhcp6Association {
  Dhcp6Kind kind = Dhcp6Kind::address;
  std::uint32_t iaid = 0;
  std::vector<sys::Ipv6Address> addresses{};  // of IA_NA only: those of its IA Address options
};

// More associations, or addresses in all of them together, than this are refused. They keep every answer
// within the smallest MTU of IPv6.
inline constexpr std::size_t kMostDhcp6Associations = 8;
inline constexpr std::size_t kMostDhcp6Addresses = 8;
// The UDP payload that fits this MTU with an IPv6 header, and the longest answer.
inline constexpr std::size_t kLargestDhcp6Message = 1280 - 40 - 8;

struct Dhcp6Request {
  Dhcp6Type type = Dhcp6Type::solicit;
  std::uint32_t transaction_id = 0;   // 24 bits
  std::vector<std::byte> client_id;   // 1: a DUID of 3 to 130 bytes; empty: there was none
  std::vector<std::byte> server_id;   // 2: the same
  bool rapid_commit = false;          // 14
  bool asks_for_options = false;      // 6, the list that follows
  std::vector<std::uint16_t> wanted;  // option codes
  std::vector<Dhcp6Association> associations;

  // Whether the client wants this option; one that does not say what it wants gets all.
  [[nodiscard]] bool wants(std::uint16_t option) const noexcept;
};

// Nothing for what is no such message: too short, a message between relays and servers, a malformed option,
// an option twice that may come only once.
[[nodiscard]] std::optional<Dhcp6Request> decode_dhcp6_request(sys::Bytes message);

inline constexpr std::uint16_t kDhcp6DnsServers = 23;    // RFC 3646
inline constexpr std::uint16_t kDhcp6DomainSearch = 24;  // RFC 3646

struct Dhcp6Address {
  sys::Ipv6Address address;
  std::uint32_t lifetime = 0;  // preferred and valid, seconds; 0: not to be used any more
};

struct Dhcp6AssociationReply {
  Dhcp6Kind kind = Dhcp6Kind::address;
  std::uint32_t iaid = 0;
  std::vector<Dhcp6Address> addresses{};
  std::optional<Dhcp6Status> status{};
};

// The views are the caller's.
struct Dhcp6Response {
  Dhcp6Type type = Dhcp6Type::reply;
  std::uint32_t transaction_id = 0;
  sys::Bytes server_id{};
  sys::Bytes client_id{};  // repeated from the request; empty: left out
  bool rapid_commit = false;
  std::optional<Dhcp6Status> status{};
  std::vector<Dhcp6AssociationReply> associations{};
  std::optional<sys::Ipv6Address> dns_server{};
  std::span<const std::string> domain_search{};
};

// The domain search list is cut, between two names, where the message would become longer than
// kLargestDhcp6Message.
[[nodiscard]] std::vector<std::byte> encode_dhcp6_response(const Dhcp6Response& response);

}  // namespace l4n::nat
