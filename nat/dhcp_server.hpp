// The DHCPv4 server at x.2 (RFC 2131 4.3): gives the guest one of sixteen addresses, and tells it the mask,
// the router, the name server, the MTU and the host's domain search list.
//
// It is the only server of its network, so it is authoritative: it refuses what is wrong, and grants a free
// address to a client that it does not know (one that had its lease from an earlier run).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nat/dhcp_leases.hpp"
#include "nat/dhcp_message.hpp"
#include "netns/sys/bytes.hpp"
#include "netns/sys/clock.hpp"
#include "netns/sys/ip_address.hpp"
#include "stack/mac_address.hpp"

namespace l4n::nat {

inline constexpr std::uint16_t kDhcpServerPort = 67;
inline constexpr std::uint16_t kDhcpClientPort = 68;

// A datagram to be sent from x.2, port 67.
struct DhcpReply {
  std::vector<std::byte> payload;
  sys::Endpoint destination;
  stack::MacAddress mac{};
};

class DhcpServer {
 public:
  struct Config {
    sys::Ipv4Network network{sys::make_ipv4(10, 0, 2, 0), 24};  // prefix at most 27, to hold the pool
    unsigned mtu = 1500;                                        // bytes, the largest IP packet; at least 68
    bool dns = true;                                            // x.3 answers
  };
  struct Counters {
    std::uint64_t requests = 0;   // well-formed ones
    std::uint64_t malformed = 0;  // datagrams that are not DHCP requests
    std::uint64_t exhausted = 0;  // no address left to offer
    std::uint64_t refused = 0;    // DHCPNAK
  };

  DhcpServer(const Config& config, const sys::Clock& clock) noexcept : config_(config), leases_(clock) {}

  // Whether a datagram is for this server. The source address may be 0.0.0.0: the client has none yet.
  [[nodiscard]] bool serves(const sys::Endpoint& source, const sys::Endpoint& destination) const noexcept;
  // `message`: the UDP payload. `from`: the frame's source. Nothing when no reply is due.
  [[nodiscard]] std::optional<DhcpReply> answer(sys::Bytes message, const stack::MacAddress& from);

  // The host's domains, the most important first. Clients learn of a change when they renew their lease.
  void set_search(std::vector<std::string> domains) { search_ = std::move(domains); }

  [[nodiscard]] const DhcpLeases& leases() const noexcept { return leases_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  [[nodiscard]] std::optional<DhcpResponse> respond(const DhcpRequest& request, sys::Bytes client);
  [[nodiscard]] std::optional<DhcpResponse> on_discover(const DhcpRequest& request, sys::Bytes client);
  [[nodiscard]] std::optional<DhcpResponse> on_request(const DhcpRequest& request, sys::Bytes client);
  [[nodiscard]] std::optional<DhcpResponse> on_inform(const DhcpRequest& request) const;
  [[nodiscard]] DhcpResponse grant(DhcpType type, sys::Ipv4Address address) const;
  [[nodiscard]] DhcpResponse configuration(DhcpType type) const;
  [[nodiscard]] DhcpResponse refuse(DhcpLeases::Binding why);
  [[nodiscard]] std::size_t size_limit(const DhcpRequest& request) const noexcept;
  // Between an address of x.15 to x.30 and its number in the pool.
  [[nodiscard]] sys::Ipv4Address address_of(std::size_t number) const noexcept;
  [[nodiscard]] std::size_t number_of(sys::Ipv4Address address) const noexcept;
  [[nodiscard]] sys::Ipv4Address own_address() const noexcept { return config_.network.host(2); }

  Config config_;
  DhcpLeases leases_;
  std::vector<std::string> search_;
  Counters counters_;
};

}  // namespace l4n::nat
