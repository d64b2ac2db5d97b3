// Router: the IPv6 router at fe80::2. Answers for the addresses that we serve (RFC 4861 7.2) and advertises
// the prefix, itself and the DNS service (RFC 4861 6.2, RFC 8106): when it is asked, and now and then.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nat/policy.hpp"
#include "netns/sys/timers.hpp"
#include "stack/guest_link.hpp"
#include "stack/ingress.hpp"
#include "stack/ndp.hpp"
#include "stack/neighbours.hpp"

namespace l4n::nat {

class Router final : private sys::TimerHandler {
 public:
  // Between two advertisements that nobody asked for (RFC 4861 6.2.1).
  static constexpr sys::Duration kMinInterval = std::chrono::seconds(200);
  static constexpr sys::Duration kMaxInterval = std::chrono::seconds(600);

  struct Counters {
    std::uint64_t advertised = 0;  // router advertisements
    std::uint64_t answered = 0;    // neighbour solicitations
    std::uint64_t malformed = 0;   // messages that RFC 4861 tells to ignore
  };

  // All outlive it. Nothing is advertised while `policy` has no IPv6 network.
  Router(stack::GuestLink& link, stack::Neighbours& neighbours, sys::TimerQueue& timers,
         const PolicyConfig& policy);
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;
  ~Router();

  // Whether an ICMPv6 message is one of neighbour discovery.
  [[nodiscard]] static bool serves(const stack::IcmpMessage& message) noexcept;
  void on_message(const stack::IcmpMessage& message);
  // The search list to advertise.
  void set_search(std::vector<std::string> domains) { search_ = std::move(domains); }

  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  void on_router_solicitation(const stack::IcmpMessage& message);
  void on_neighbour_solicitation(const stack::IcmpMessage& message);
  void on_neighbour_advertisement(const stack::IcmpMessage& message);
  void advertise(const stack::MacAddress& mac, const sys::Ipv6Address& to);
  void on_timer() noexcept override;

  stack::GuestLink& link_;
  stack::Neighbours& neighbours_;
  const PolicyConfig& policy_;
  std::vector<std::string> search_;
  sys::Timer timer_;  // armed while there is an IPv6 network
  Counters counters_;
};

}  // namespace l4n::nat
