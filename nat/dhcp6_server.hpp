// The DHCPv6 server of the router (RFC 8415 18.3): tells the name server and the host's domain search list,
// and gives addresses to clients that ask for them: x::100 to the first one, which has it by `-c` as well,
// and the next ones to others. It has no prefixes and no temporary addresses to give.
//
// As the DHCPv4 server it is the only one of its network: a client that renews a lease from an earlier run
// gets it when nobody else has it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nat/dhcp6_message.hpp"
#include "nat/dhcp_leases.hpp"
#include "netns/sys/bytes.hpp"
#include "netns/sys/clock.hpp"
#include "netns/sys/ip_address.hpp"

namespace l4n::nat {

inline constexpr std::uint16_t kDhcp6ServerPort = 547;
inline constexpr std::uint16_t kDhcp6ClientPort = 546;
// ff02::1:2 (RFC 8415 7.1).
inline constexpr sys::Ipv6Address kAllDhcp6Servers{{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2}};

// A datagram to be sent from fe80::2, port 547, to where the request's frame came from.
struct Dhcp6Reply {
  std::vector<std::byte> payload;
  sys::Endpoint destination;
};

class Dhcp6Server {
 public:
  struct Config {
    sys::Ipv6Network network;  // prefix at most 120
    bool dns = true;           // x::3 answers
  };
  struct Counters {
    std::uint64_t requests = 0;   // well-formed ones
    std::uint64_t malformed = 0;  // datagrams that are no messages of clients
    std::uint64_t exhausted = 0;  // no address left to give
  };

  Dhcp6Server(const Config& config, const sys::Clock& clock);

  // Whether a datagram is for this server: to all servers, or to an address of the gateway.
  [[nodiscard]] bool serves(const sys::Endpoint& destination) const noexcept;
  // `message`: the UDP payload. Nothing when no reply is due.
  [[nodiscard]] std::optional<Dhcp6Reply> answer(sys::Bytes message, const sys::Endpoint& source,
                                                 const sys::Endpoint& destination);

  // The host's domains, the most important first. Clients learn of a change when they ask next.
  void set_search(std::vector<std::string> domains) { search_ = std::move(domains); }

  [[nodiscard]] const DhcpLeases& leases() const noexcept { return leases_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  // What is done for one association of a message. `client`: what its lease is known by.
  using Serve = Dhcp6AssociationReply (Dhcp6Server::*)(const Dhcp6Association&, sys::Bytes client);

  [[nodiscard]] bool is_valid(const Dhcp6Request& request) const noexcept;
  [[nodiscard]] std::optional<Dhcp6Response> respond(const Dhcp6Request& request);
  [[nodiscard]] Dhcp6Response solicited(const Dhcp6Request& request);
  [[nodiscard]] std::optional<Dhcp6Response> confirmed(const Dhcp6Request& request) const;
  [[nodiscard]] Dhcp6Response given_back(const Dhcp6Request& request,
                                         void (DhcpLeases::*give_back)(sys::Bytes, std::size_t) noexcept);
  [[nodiscard]] Dhcp6Response served(const Dhcp6Request& request, Serve serve);
  [[nodiscard]] Dhcp6Response configuration(const Dhcp6Request& request) const;

  [[nodiscard]] Dhcp6AssociationReply offer(const Dhcp6Association& association, sys::Bytes client);
  [[nodiscard]] Dhcp6AssociationReply assign(const Dhcp6Association& association, sys::Bytes client);
  [[nodiscard]] Dhcp6AssociationReply extend(const Dhcp6Association& association, sys::Bytes client);
  [[nodiscard]] Dhcp6AssociationReply with_lease(const Dhcp6Association& association,
                                                 std::optional<std::size_t> number);
  [[nodiscard]] std::optional<std::size_t> lease(const Dhcp6Association& association, sys::Bytes client);

  [[nodiscard]] sys::Ipv6Address address_of(std::size_t number) const noexcept;
  // DhcpLeases::kSize for one that is not in the pool.
  [[nodiscard]] std::size_t number_of(const sys::Ipv6Address& address) const noexcept;

  Config config_;
  std::vector<std::byte> duid_;
  DhcpLeases leases_;
  std::vector<std::string> search_;
  Counters counters_;
};

}  // namespace l4n::nat
