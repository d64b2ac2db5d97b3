// GuestTcp: lwIP as the guest's TCP peer, for any destination address.
//
// Theory of operation. The relay holds a guest's SYN until the host's connect has an answer. Then open()
// shows lwIP a SYN made from what was held, through one wildcard listener whose port is set for the
// occasion; lwIP answers it. Every later segment comes with its connection, already found: input() judges it
// (tcp_acceptance.hpp), takes its options away, and lets lwIP see that one connection only (pcb_link.hpp).
//
// lwIP's timers run every 50 ms, and only over connections that have something to wait for: unacknowledged
// or out-of-order data, a delayed ACK, a closed window, a close in progress. When there is none, nothing
// ticks.
//
// lwIP is global to the process: at most one GuestTcp may exist at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "netns/sys/keyed_hash.hpp"
#include "netns/sys/member_handler.hpp"
#include "netns/sys/timers.hpp"
#include "stack/guest_connection.hpp"
#include "stack/guest_link.hpp"
#include "stack/tcp_acceptance.hpp"
#include "stack/time_wait.hpp"

struct tcp_pcb_listen;

namespace l4n::stack {

// RFC 9293 3.7.1: when the option is absent.
[[nodiscard]] constexpr std::uint16_t default_mss(bool is_v4) noexcept { return is_v4 ? 536 : 1220; }

// What is kept of a SYN while the host connects.
struct HeldSyn {
  FlowKey key;
  MacAddress mac{};
  std::uint32_t isn = 0;
  std::uint16_t window = 0;
  std::uint16_t mss = default_mss(true);
  std::optional<std::uint8_t> window_scale;

  [[nodiscard]] static HeldSyn of(const TcpSegment& segment) noexcept;
};

class GuestTcp final {
 public:
  struct Counters {
    std::uint64_t segments = 0;
    std::uint64_t challenged = 0;          // answered with a challenge ACK instead of being processed
    std::uint64_t refused = 0;             // dropped by tcp_acceptance
    std::uint64_t challenges_limited = 0;  // challenge ACKs that were one too many
    std::uint64_t trimmed = 0;           // segments of which, for want of memory, a part or nothing was taken
    std::uint64_t windows_withheld = 0;  // times that, for the same, a window was not opened in full
  };

  // All outlive it. `address`: any address of ours; lwIP wants its interface to have one.
  GuestTcp(GuestLink& link, sys::TimerQueue& timers, const sys::Clock& clock, MemoryBudget& memory,
           sys::Ipv4Address address);
  GuestTcp(const GuestTcp&) = delete;
  GuestTcp& operator=(const GuestTcp&) = delete;
  // All connections must be gone.
  ~GuestTcp();

  // Answers a held SYN: the connection becomes syn_received. False when there is no memory for it.
  bool open(GuestConnection& connection, const HeldSyn& syn) noexcept;
  // Opens a connection to the guest, which a port forward wants: sends the SYN from key.remote(), and the
  // connection becomes syn_sent. A guest that refuses or does not answer (6 tries, a second apart) ends it as
  // `reset` or `lost`. False when there is no memory for it.
  bool connect(GuestConnection& connection, const FlowKey& key, const MacAddress& mac) noexcept;
  // A segment of a connection that was opened and is not closed yet. `frame` is the buffer that the segment
  // lies in.
  void input(GuestConnection& connection, const TcpSegment& segment, FrameBufferPtr frame) noexcept;
  // A segment that belongs to no connection. True when it was dealt with (TIME-WAIT, or answered with a
  // reset); false when it is a SYN that may open a new connection.
  bool stray(const TcpSegment& segment) noexcept;

  // Sees to it that unused buffers are given back within seconds. Call it at the end of a turn: all that is
  // read and sent goes through these buffers, with TCP or without.
  void tidy_buffers() noexcept;

  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  [[nodiscard]] std::size_t ticking() const noexcept { return ticking_.size(); }
  [[nodiscard]] std::size_t time_wait() const noexcept { return time_wait_.size(); }
  [[nodiscard]] FrameBufferPool& buffers() noexcept { return buffers_; }
  [[nodiscard]] const FrameBufferPool& buffers() const noexcept { return buffers_; }

 private:
  friend class GuestConnection;
  friend struct LwipCallbacks;
  struct Interface;  // lwIP's netif

  void on_tick();
  void on_tidy();
  void start_transfer(GuestConnection& connection) noexcept;
  [[nodiscard]] SegmentVerdict judge(const GuestConnection& connection,
                                     const TcpSegment& segment) const noexcept;
  void settle(GuestConnection& connection) noexcept;
  void update_ticking(GuestConnection& connection) noexcept;
  void stop_ticking(GuestConnection& connection) noexcept;
  void challenge(GuestConnection& connection, const TcpSegment& segment) noexcept;
  [[nodiscard]] pbuf* admit(GuestConnection& connection, const TcpSegment& segment,
                            FrameBufferPtr frame) noexcept;
  void feed(const FlowKey& key, pbuf* p) noexcept;
  void transmit(GuestConnection* connection, pbuf* packet) noexcept;

  GuestLink& link_;
  const sys::Clock& clock_;
  MemoryBudget& memory_;
  FrameBufferPool buffers_;
  TimeWaitTable time_wait_;
  std::unique_ptr<Interface> interface_;
  tcp_pcb_listen* listener_ = nullptr;
  std::vector<GuestConnection*> ticking_;
  sys::MemberTimer<GuestTcp> tick_alarm_{*this, &GuestTcp::on_tick};
  sys::MemberTimer<GuestTcp> tidy_alarm_{*this, &GuestTcp::on_tidy};
  sys::Timer tick_timer_;
  sys::Timer tidy_timer_;   // armed while there may be unused buffers to give back
  MacAddress reply_mac_{};  // for segments that lwIP sends without a connection
  Counters counters_;
};

}  // namespace l4n::stack
