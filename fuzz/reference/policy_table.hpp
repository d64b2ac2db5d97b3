// The destination policy once more, as the table that it is written down as: ranges of addresses, of which
// the first one that holds an address says what becomes of it. Written apart from nat/policy.cpp, which asks
// questions about the bits of an address; shared by the harness of the policy and by the virtual world.
#pragma once

#include <string_view>
#include <vector>

#include "nat/policy.hpp"
#include "netns/sys/ip_address.hpp"

namespace l4n::fuzz {

// What an address is.
enum class Place {
  gateway,
  dns_server,
  router,      // of IPv6, which is pinged and nothing else
  nowhere,     // loopback, unspecified, embedded IPv4: no packet on a wire has it
  group,       // multicast, broadcast, reserved
  guest,       // the guest's own network
  link_local,  // of the host's links
  outside,
};

class PolicyTable {
 public:
  explicit PolicyTable(const nat::PolicyConfig& config);

  // What nat::decide() must say.
  [[nodiscard]] nat::Decision decision(nat::Protocol protocol, const sys::Endpoint& destination) const;
  // What nat::source_allowed() must say.
  [[nodiscard]] bool source_allowed(const sys::IpAddress& source) const;
  // Whether a socket of the host may go there for a guest: where it wants to, or to the host's loopback in
  // place of the gateway.
  [[nodiscard]] bool reachable(const sys::IpAddress& target) const;

 private:
  struct Row {
    sys::IpAddress first;
    sys::IpAddress last;
    Place place = Place::outside;
  };

  void add(const sys::IpAddress& first, const sys::IpAddress& last, Place place);
  void add(std::string_view first, std::string_view last, Place place);
  void add_v4(const sys::Ipv4Network& network);
  void add_v6(const sys::Ipv6Network& network);
  // `dns_is_special`: x.3 is not just an address.
  [[nodiscard]] Place place_of(const sys::IpAddress& address, bool dns_is_special) const;
  [[nodiscard]] nat::Decision to_gateway(nat::Protocol protocol, const sys::Endpoint& to) const;

  nat::PolicyConfig config_;
  std::vector<Row> rows_;
};

}  // namespace l4n::fuzz
