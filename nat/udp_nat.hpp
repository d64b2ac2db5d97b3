// UdpNat: the guest's UDP, but for the DNS service and DHCP. One host socket per endpoint of the guest.
#pragma once

#include <cstdint>
#include <list>
#include <vector>

#include "nat/host.hpp"
#include "nat/opening_limit.hpp"
#include "nat/policy.hpp"
#include "nat/slab.hpp"
#include "nat/udp_flow.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/sys/log.hpp"
#include "stack/flow_table.hpp"
#include "stack/guest_link.hpp"

namespace l4n::nat {

class UdpNat {
 public:
  static constexpr sys::Duration kIdleTime = std::chrono::seconds(240);
  static constexpr sys::Duration kUnansweredTime = std::chrono::seconds(30);
  static constexpr sys::Duration kDnsTime = std::chrono::seconds(10);  // to port 53, after a reply

  struct Counters {
    std::uint64_t opened = 0;
    std::uint64_t refused_full = 0;  // the table was full of answered flows
    std::uint64_t evicted = 0;       // an unanswered flow made room
    std::uint64_t dropped = 0;       // datagrams that would have opened a flow, in a flood of them
    std::uint64_t sent = 0;          // datagrams to the host
    std::uint64_t lost = 0;          // datagrams that the host did not take
    std::uint64_t received = 0;      // datagrams to the guest
    std::uint64_t denied_inbound = 0;
    std::uint64_t errors_relayed = 0;
  };

  UdpNat(stack::GuestLink& link, stack::FrameBufferPool& buffers, Host& host, sys::TimerQueue& timers,
         sys::Graveyard& graveyard, sys::Log& log, const PolicyConfig& policy, std::size_t most_flows);
  UdpNat(const UdpNat&) = delete;
  UdpNat& operator=(const UdpNat&) = delete;
  ~UdpNat() = default;

  // A datagram that the policy allows; `to` is its destination on the host.
  void on_datagram(const stack::UdpDatagram& datagram, const sys::Endpoint& to, stack::FrameBufferPtr frame);
  // Sends what the flows have gathered during the turn.
  void flush() noexcept;

  [[nodiscard]] std::size_t flows() const noexcept { return flows_.size(); }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  friend class UdpFlow;

  // Null when there is no room: the guest is told, or has to repeat it.
  UdpFlow* open(const stack::UdpDatagram& datagram);
  void refuse(const stack::UdpDatagram& datagram) noexcept;
  void make_room() noexcept;
  void bury(UdpFlow& flow) noexcept;
  void used(UdpFlow& flow) noexcept;
  void answered(UdpFlow& flow) noexcept;
  // The source that the guest sees; nothing when it must not see the datagram.
  [[nodiscard]] std::optional<sys::Endpoint> visible_source(const sys::Endpoint& source) const noexcept;

  stack::GuestLink& link_;
  stack::FrameBufferPool& buffers_;
  Host& host_;
  sys::TimerQueue& timers_;
  sys::Graveyard& graveyard_;
  sys::Log& log_;
  const PolicyConfig& policy_;
  std::size_t most_flows_;
  Counters counters_;

  stack::FlowTable table_;
  Slab<UdpFlow> flows_;
  std::list<Handle> unanswered_;  // least recently used first
  std::vector<Handle> waiting_;   // flows with a batch
  OpeningLimit openings_{timers_, WastedPart::kUdp};
};

}  // namespace l4n::nat
