// UdpFlow: one UDP endpoint of the guest and its socket on the host.
//
// Consecutive datagrams of one size to one destination wait until the end of the turn and go out in one call;
// what the host receives in a batch goes to the guest as one frame where its kernel takes that.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "nat/host_udp.hpp"
#include "nat/received_batch.hpp"
#include "nat/slab.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/sys/timers.hpp"
#include "stack/flow_key.hpp"
#include "stack/frame_buffer.hpp"
#include "stack/ingress.hpp"

namespace l4n::nat {

class UdpNat;

// The header fields with which a datagram of the guest goes on: a router was passed, and DF counts only for
// what fits a real link.
[[nodiscard]] UdpHeaderFields outgoing_fields(const stack::UdpDatagram& datagram) noexcept;

class UdpFlow final : public sys::Buried, private HostUdpObserver, private sys::TimerHandler {
 public:
  UdpFlow(UdpNat& nat, Handle handle, const sys::Endpoint& guest);

  [[nodiscard]] Handle handle() const noexcept { return handle_; }
  [[nodiscard]] const sys::Endpoint& guest() const noexcept { return guest_; }
  // Somebody has sent something back.
  [[nodiscard]] bool answered() const noexcept { return answered_; }

  // Opens the socket.
  sys::Result<void> start();
  // Takes a datagram whose destination on the host is `to`.
  void on_datagram(const stack::UdpDatagram& datagram, const sys::Endpoint& to, stack::FrameBufferPtr frame);
  // Sends what waits.
  void flush() noexcept;

 private:
  friend class UdpNat;

  // Datagrams that wait, in order: all but the last of segment_size, to one destination. The buffers hold
  // what the parts point at.
  struct Batch {
    sys::Endpoint to;
    sys::Endpoint named;  // the destination as the guest named it
    UdpHeaderFields fields;
    std::uint16_t segment_size = 0;
    std::size_t bytes = 0;
    std::vector<stack::FrameBufferPtr> frames;
    std::vector<iovec> parts;
  };

  void on_udp_event(bool has_error) noexcept override;
  void on_timer() noexcept override;

  [[nodiscard]] bool fits(const stack::UdpDatagram& datagram, const sys::Endpoint& to,
                          const UdpHeaderFields& fields) const noexcept;
  void send(std::span<iovec> parts, std::uint16_t segment_size) noexcept;
  void send_one_by_one(std::span<iovec> parts, std::uint16_t segment_size) noexcept;
  sys::IoResult send_once_more_after_failure(std::span<iovec> parts, std::uint16_t segment_size) noexcept;
  bool drain_failures() noexcept;
  void relay_failure(const HostUdp::Failure& failure) noexcept;
  void deliver(const ReceivedBatch& batch) noexcept;
  [[nodiscard]] sys::Duration idle_time() const noexcept;

  UdpNat& nat_;
  const Handle handle_;
  const sys::Endpoint guest_;
  stack::MacAddress mac_{};
  std::unique_ptr<HostUdp> socket_;
  Batch batch_;
  std::uint16_t last_destination_port_ = 0;
  // The largest segment that was ever refused as part of a batch: from there on singly. 65535: none.
  std::uint16_t segment_limit_ = 0xffff;
  std::uint32_t guest_id_ = 0;  // IP identification of the guest's last datagram, for quotes
  bool answered_ = false;
  bool waiting_ = false;  // in UdpNat's list of flows with a batch
  sys::Time last_used_;
  std::list<Handle>::iterator unanswered_;  // valid while !answered_
  sys::Timer timer_;
};

}  // namespace l4n::nat
