// IcmpNat: the guest's pings of other machines.
//
// A flow is a guest's address and an ICMP identifier: one running ping. It has a HostPing of its own and
// remembers its latest requests, so that an answer is taken only from whom it was asked, with the sequence
// number that was asked with, and so that an ICMP error can quote the very packet that the guest has sent.
#pragma once

#include <array>
#include <cstdint>
#include <list>

#include "nat/host_ping.hpp"
#include "nat/opening_limit.hpp"
#include "nat/policy.hpp"
#include "nat/slab.hpp"
#include "netns/sys/log.hpp"
#include "netns/sys/timers.hpp"
#include "stack/flow_table.hpp"
#include "stack/guest_link.hpp"
#include "stack/ingress.hpp"

namespace l4n::nat {

class IcmpNat final : private sys::TimerHandler {
 public:
  // From the last request or answer.
  static constexpr sys::Duration kIdleTime = std::chrono::seconds(30);
  // Of one flow, that may still be answered.
  static constexpr std::size_t kMostRequests = 256;
  // A longer packet (bytes) exists only because the guest's MTU is larger than that of real links: its DF
  // says nothing about the way outside, where it may be fragmented.
  static constexpr std::uint16_t kLargestWithDf = 1500;

  struct Counters {
    std::uint64_t requests = 0;     // sent to the host's network
    std::uint64_t replies = 0;      // given to the guest
    std::uint64_t errors = 0;       // ICMP errors relayed or made of a failed send
    std::uint64_t ttl_expired = 0;  // here
    std::uint64_t unexpected = 0;   // answers and errors to nothing that was asked
    std::uint64_t failed = 0;       // sends that failed without a reason to tell
    std::uint64_t unavailable = 0;  // the host gave no socket
    std::uint64_t evicted = 0;      // flows that made room
    std::uint64_t dropped = 0;      // requests that would have opened a flow, in a flood of them
  };

  // One more than `most_flows` takes the place of the flow that was used longest ago; those without any
  // answer go first.
  IcmpNat(stack::GuestLink& link, PingHost& host, sys::TimerQueue& timers, sys::Log& log,
          const PolicyConfig& policy, std::size_t most_flows);
  IcmpNat(const IcmpNat&) = delete;
  IcmpNat& operator=(const IcmpNat&) = delete;
  ~IcmpNat();

  // An echo request to where the policy allows it.
  void on_echo_request(const stack::IcmpMessage& message);

  [[nodiscard]] std::size_t flows() const noexcept { return flows_.size(); }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  [[nodiscard]] const stack::FlowTable& table() const noexcept { return table_; }

 private:
  class Flow;
  using Order = std::list<Handle>;  // used longest ago first

  [[nodiscard]] Flow* find_or_open(const stack::FlowKey& key);
  [[nodiscard]] Order& order_of(const Flow& flow) noexcept;
  // The flow was used just now: by a request, or by its answer.
  void touch(Flow& flow, bool answered) noexcept;
  // Closes the oldest of this order. A flow is never closed while its HostPing calls it.
  void close_oldest(Order& order) noexcept;
  void on_timer() noexcept override;
  void tell(const stack::MacAddress& mac, const sys::IpAddress& guest, const HostError& error,
            sys::Bytes packet) noexcept;

  stack::GuestLink& link_;
  PingHost& host_;
  sys::TimerQueue& timers_;
  sys::Log& log_;
  const PolicyConfig& policy_;
  const std::size_t most_flows_;
  Counters counters_;
  bool unavailable_logged_ = false;

  stack::FlowTable table_;
  Slab<Flow> flows_;
  std::array<Order, 2> order_;  // flows without an answer so far, and those with one
  OpeningLimit openings_{timers_, WastedPart::kPing};
  sys::Timer timer_;  // armed while there are flows
};

}  // namespace l4n::nat
