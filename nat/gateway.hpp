// Gateway: the machine that the guest sees at x.2. Reads its frames, gives each to the part that serves it,
// and answers ARP and ping itself.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "nat/dns_forwarder.hpp"
#include "nat/host.hpp"
#include "nat/policy.hpp"
#include "nat/resolvers.hpp"
#include "nat/tcp_nat.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/sys/log.hpp"
#include "stack/frame_port.hpp"
#include "stack/guest_link.hpp"
#include "stack/guest_tcp.hpp"
#include "stack/ingress.hpp"

namespace l4n::nat {

class Gateway final : public sys::EventHandler, public sys::TurnHook {
 public:
  struct Config {
    PolicyConfig policy;
    unsigned mtu = 1500;  // bytes, the largest IP packet
    TcpNat::Limits tcp;
  };
  struct Counters {
    std::uint64_t frames = 0;
    std::array<std::uint64_t, static_cast<std::size_t>(stack::DropReason::count)> dropped{};
    std::uint64_t denied = 0;    // by the policy, other than TCP
    std::uint64_t unserved = 0;  // protocols or destinations without a service
  };
  // Everything that the gateway works with; all outlive it.
  struct Environment {
    sys::TimerQueue& timers;
    sys::Graveyard& graveyard;
    const sys::Clock& clock;
    sys::Log& log;
    stack::FramePort& port;
    Host& host;
  };

  Gateway(const Environment& environment, const Config& config);
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;
  // Resets what is still connected.
  ~Gateway();

  // The port can be read: takes up to 32 frames.
  void on_event(std::uint32_t events) noexcept override;
  // Pumps the flows.
  bool on_turn_end() noexcept override;
  // Called once when the port has failed for good (the TAP was deleted, the peer has left).
  void on_port_closed(std::function<void()> action) { port_closed_ = std::move(action); }

  void set_resolvers(std::vector<HostTarget> servers) { resolvers_.set(std::move(servers)); }

  [[nodiscard]] const TcpNat& tcp() const noexcept { return tcp_; }
  [[nodiscard]] const stack::GuestTcp& guest_tcp() const noexcept { return guest_tcp_; }
  [[nodiscard]] const DnsForwarder& dns() const noexcept { return dns_; }
  [[nodiscard]] const stack::GuestLink& link() const noexcept { return link_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  void dispatch(stack::FrameBufferPtr frame);
  void on(const stack::Dropped& dropped);
  void on(const stack::ArpFrame& frame);
  void on(const stack::UdpDatagram& datagram);
  void on(const stack::IcmpMessage& message);
  void on(const stack::TcpSegment& segment, stack::FrameBufferPtr frame);
  void answer_echo(const stack::IcmpMessage& message);
  void refuse(const stack::IpPacket& packet);

  PolicyConfig policy_;
  sys::Log& log_;
  stack::FramePort& port_;
  stack::GuestLink link_;
  stack::GuestTcp guest_tcp_;
  Resolvers resolvers_;
  TcpNat tcp_;
  DnsForwarder dns_;
  std::function<void()> port_closed_;
  Counters counters_;
};

}  // namespace l4n::nat
