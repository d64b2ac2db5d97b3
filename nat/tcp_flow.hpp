// TcpFlow: one TCP connection of the guest, relayed to a socket of the host.
//
//     connecting --connected--> opening --guest's ACK--> relaying --both ends closed--> closed
//         \___________________________\___________________________________________________^
//
// In connecting, the guest's SYN is held and the host socket is on its way; several targets (DNS) are tried
// in turn. In opening, lwIP has answered the SYN. In relaying, bytes go both ways; each direction ends with
// its own FIN. A closed flow is out of the table and destroyed at the end of the turn.
//
// A flow that is silent ends in the end: ten minutes after one side has finished and the other has nothing
// more to say, and when the guest has vanished, which it is asked after two hours. A guest that keeps its
// window closed and acknowledges our probes is not silent (RFC 9293 3.8.6.1); what it can hold is bounded.
//
// A connection that a port forward has accepted goes the other way round: connecting looks for the guest's
// MAC address, opening has sent it a SYN.
//
// The flow does its work in pump(), at most once per turn of the loop and only when something has happened to
// one of its ends; but what the guest has sent is passed on in the same turn, however many flows wait. It
// never blocks: what cannot go on waits for the next event of the end that holds it up.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "nat/host.hpp"
#include "nat/slab.hpp"
#include "netns/sys/event_loop.hpp"
#include "stack/guest_tcp.hpp"
#include "stack/neighbours.hpp"

namespace l4n::nat {

class TcpNat;

// As much of a packet as ICMP errors quote (RFC 4443 2.4: they fill the least MTU of IPv6).
[[nodiscard]] std::vector<std::byte> to_quote(sys::Bytes packet);

class TcpFlow final : public sys::Buried,
                      private HostObserver,
                      private stack::ConnectionObserver,
                      private stack::NeighbourWaiter,
                      private sys::TimerHandler {
 public:
  enum class State { connecting, opening, relaying, closed };

  // How long a flow may be silent whose one side has finished.
  static constexpr sys::Duration kHalfClosedTime = std::chrono::minutes(10);
  // A silent guest is asked so many times, so far apart (as Linux does), before it is given up.
  static constexpr unsigned kKeepaliveProbes = 9;
  static constexpr sys::Duration kKeepaliveInterval = std::chrono::seconds(75);

  // Held back from the guest until the host has answered.
  struct Attempt {
    stack::HeldSyn syn;
    std::vector<std::byte> packet;    // the beginning of the guest's SYN, to be quoted in ICMP errors
    std::vector<HostTarget> targets;  // never empty; tried in order
    bool dns = false;                 // a target that fails makes way for the next one
  };

  TcpFlow(TcpNat& nat, Handle handle, Attempt attempt);
  // From a client outside to the guest: `key.remote()` is the client as the guest sees it.
  TcpFlow(TcpNat& nat, Handle handle, const stack::FlowKey& key, std::unique_ptr<HostStream> client);

  [[nodiscard]] Handle handle() const noexcept { return handle_; }
  [[nodiscard]] const stack::FlowKey& key() const noexcept { return key_; }
  [[nodiscard]] State state() const noexcept { return state_; }
  // Else by a client outside, for whom no target is tried.
  [[nodiscard]] bool opened_by_guest() const noexcept { return next_target_ != 0; }

  // Starts the first connect, or the search for the guest.
  void start();
  // The guest's end, for the segments that come once the SYN is answered.
  [[nodiscard]] stack::GuestConnection& guest() noexcept { return guest_; }
  // A segment from the guest while the host is still connecting.
  void on_early_segment(const stack::TcpSegment& segment) noexcept;
  // Gives the host what the guest has sent, as far as it goes. pump() comes later, and does the rest.
  void pass_on() noexcept;
  // Does what can be done now. True when it stopped only to let others have their turn.
  bool pump(sys::Time now) noexcept;
  // Ends the flow: the guest gets nothing while connecting, a reset later; the host gets a reset.
  void abandon() noexcept;

 private:
  friend class TcpNat;

  // What one receive from the host fills: as many writes toward the guest.
  static constexpr std::size_t kMostWrites = 4;
  using Buffers = std::array<stack::FrameBufferPtr, kMostWrites>;

  void on_host_event() noexcept override;
  void on_connection_change() noexcept override;
  void on_timer() noexcept override;
  void on_neighbour(const std::optional<stack::MacAddress>& mac) noexcept override;

  void transition(State next) noexcept;
  void connect_next(int error) noexcept;
  void check_connect() noexcept;
  void open_guest() noexcept;
  void refuse(int error) noexcept;
  // The guest or the way to it has ended the connection.
  [[nodiscard]] bool guest_broke() const noexcept;
  [[nodiscard]] bool half_closed() const noexcept { return guest_.guest_finished() || host_ended_; }
  void begin_relaying() noexcept;
  void relay() noexcept;
  void watch_silence() noexcept;
  void on_half_closed_silence(sys::Duration silence) noexcept;
  void on_silence(sys::Duration silence) noexcept;
  void to_host() noexcept;
  void to_guest() noexcept;
  std::size_t take_buffers(Buffers& buffers, std::size_t wanted) noexcept;
  void write_to_guest(Buffers& buffers, std::size_t size, std::size_t bytes) noexcept;
  void probe_guest() noexcept;
  void host_broke() noexcept;
  void finish_if_done() noexcept;
  void close() noexcept;

  TcpNat& nat_;
  const Handle handle_;
  const stack::FlowKey key_;
  State state_ = State::connecting;
  std::list<Handle>::iterator attempt_place_;  // valid until the flow is established
  bool listed_ = true;                         // the flow of its key
  bool fed_ = false;                           // queued for pass_on()
  bool dirty_ = false;                         // queued for pump()
  bool waits_for_memory_ = false;              // will be, after a while
  bool more_ = false;                          // pump() stopped at its budget
  bool host_ended_ = false;                    // the host's FIN was read
  bool host_finished_ = false;                 // our FIN toward the host was sent
  bool host_broken_ = false;                   // the host does not take data any more
  std::unique_ptr<Attempt> attempt_;           // until the guest is answered; null for a forwarded connection
  std::size_t next_target_ = 0;
  std::unique_ptr<HostStream> host_;
  stack::GuestConnection guest_;
  sys::Time last_active_{};
  unsigned unanswered_probes_ = 0;
  bool watches_half_close_ = false;
  sys::Timer timer_;  // while connecting; then for when it has been silent for too long
};

}  // namespace l4n::nat
