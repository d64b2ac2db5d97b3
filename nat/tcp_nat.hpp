// TcpNat: the guest's TCP. Finds the flow of a segment with one look-up, starts flows as the policy allows,
// and pumps those to which something has happened, once per turn.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <vector>

#include "nat/host.hpp"
#include "nat/limits.hpp"
#include "nat/opening_limit.hpp"
#include "nat/policy.hpp"
#include "nat/resolvers.hpp"
#include "nat/slab.hpp"
#include "nat/tcp_flow.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/sys/log.hpp"
#include "netns/sys/member_handler.hpp"
#include "netns/sys/rate_limit.hpp"
#include "stack/flow_table.hpp"
#include "stack/guest_link.hpp"
#include "stack/guest_tcp.hpp"
#include "stack/neighbours.hpp"

namespace l4n::nat {

class TcpNat {
 public:
  // Attempts that make room in so much time. In a flood of SYNs the rest is dropped, which the guest repeats:
  // each attempt is to have the time in which an answer can come (an eighth of a second at least), however
  // fast the machine is; that the flood does not take the processor is for openings_ to see. Few at once, so
  // that the guest's other frames do not pile up behind them.
  static constexpr std::uint32_t kEvictions = 64;
  static constexpr sys::Duration kEvictionPeriod = std::chrono::milliseconds(8);

  // How long flows are pumped before the guest's frames are looked at again: long enough that what a turn has
  // read is passed on while the processor has it in its cache, and so short that the guest's interface does
  // not overflow meanwhile when a thousand flows have something to do.
  static constexpr sys::Duration kPumpTime = std::chrono::microseconds(500);

  struct Counters {
    std::uint64_t opened = 0;
    std::uint64_t refused_full = 0;        // the table was full
    std::uint64_t denied = 0;              // by the policy
    std::uint64_t attempts_evicted = 0;    // the oldest attempt made room
    std::uint64_t attempts_dropped = 0;    // a flood of them, or slow: the guest's SYN was not looked at
    std::uint64_t attempts_timed_out = 0;  // the host's side did not answer
    std::uint64_t half_closed_ended = 0;   // one side had finished, the other was silent
    std::uint64_t keepalive_probes = 0;
    std::uint64_t keepalive_ended = 0;  // nobody answered them
    std::uint64_t reads_paused = 0;     // the host's data was left in its socket for want of memory
  };

  TcpNat(stack::GuestLink& link, stack::GuestTcp& guest_tcp, stack::Neighbours& neighbours, Host& host,
         Resolvers& resolvers, sys::TimerQueue& timers, sys::Graveyard& graveyard, sys::Log& log,
         const PolicyConfig& policy, const Limits& limits);
  TcpNat(const TcpNat&) = delete;
  TcpNat& operator=(const TcpNat&) = delete;
  ~TcpNat() = default;

  void on_segment(const stack::TcpSegment& segment, stack::FrameBufferPtr frame);
  // A client of a port forward: `seen` is where the guest sees it (another port is taken when a connection
  // from there exists), `guest` where it wants to go. When the table is full the client gets a reset.
  void on_client(std::unique_ptr<HostStream> client, const sys::Endpoint& seen, const sys::Endpoint& guest);
  // Passes on what the guest has sent in this turn, then pumps the flows that asked for it, once each and in
  // that order, for kPumpTime. True when there is work left.
  bool pump() noexcept;
  // Resets every flow.
  void abandon_all() noexcept;

  [[nodiscard]] std::size_t flows() const noexcept { return flows_.size(); }
  // Connections that are not established yet.
  [[nodiscard]] std::size_t attempts() const noexcept { return attempts_.size(); }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  [[nodiscard]] const stack::FlowTable& table() const noexcept { return table_; }

 private:
  friend class TcpFlow;

  void open(const stack::TcpSegment& segment);
  void start_flow(const stack::TcpSegment& segment, std::vector<HostTarget> targets, bool dns);
  void begin(const stack::FlowKey& key, Handle handle, std::unique_ptr<TcpFlow> flow);
  [[nodiscard]] std::optional<stack::FlowKey> free_key(const sys::Endpoint& guest, sys::Endpoint seen) const;
  [[nodiscard]] bool make_room() noexcept;

  // For the flows.
  [[nodiscard]] stack::GuestTcp& guest_tcp() noexcept { return guest_tcp_; }
  [[nodiscard]] stack::GuestLink& link() noexcept { return link_; }
  [[nodiscard]] stack::Neighbours& neighbours() noexcept { return neighbours_; }
  [[nodiscard]] sys::TimerQueue& timers() noexcept { return timers_; }
  sys::Result<std::unique_ptr<HostStream>> connect(const HostTarget& target, HostObserver& observer);
  void resolver_answered(const HostTarget& server) noexcept { resolvers_.answered(server); }
  void attempt_over(TcpFlow& flow) noexcept;
  void mark_dirty(TcpFlow& flow) noexcept;
  // The guest's data holds a frame's buffer until the host has it: it waits for no other flow.
  void mark_fed(TcpFlow& flow) noexcept;
  // The same a little later: the system had no memory for a buffer.
  void wait_for_memory(TcpFlow& flow) noexcept;
  void on_memory_timer();
  void unlist(TcpFlow& flow) noexcept;
  void bury(TcpFlow& flow) noexcept;
  void send_host_error(const stack::MacAddress& to, const HostError& error, sys::Bytes packet) noexcept;

  stack::GuestLink& link_;
  stack::GuestTcp& guest_tcp_;
  stack::Neighbours& neighbours_;
  Host& host_;
  Resolvers& resolvers_;
  sys::TimerQueue& timers_;
  sys::Graveyard& graveyard_;
  sys::Log& log_;
  const PolicyConfig& policy_;
  Limits limits_;
  Counters counters_;

  stack::FlowTable table_;
  Slab<TcpFlow> flows_;
  std::list<Handle> attempts_;  // oldest first
  sys::RateLimit evictions_{kEvictions, kEvictionPeriod};
  OpeningLimit openings_{timers_, WastedPart::kTcp};
  std::vector<Handle> fed_;      // have data from the guest
  std::deque<Handle> dirty_;     // have work to do
  std::deque<Handle> starving_;  // wait for memory
  sys::MemberTimer<TcpNat> memory_alarm_{*this, &TcpNat::on_memory_timer};
  sys::Timer memory_timer_;
};

}  // namespace l4n::nat
