// Gateway: the machine that the guest sees at x.2 and fd00::2. Reads its frames, gives each to the part that
// serves it, and answers ARP and ping itself.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "nat/dhcp6_server.hpp"
#include "nat/dhcp_server.hpp"
#include "nat/dns_forwarder.hpp"
#include "nat/host.hpp"
#include "nat/icmp_nat.hpp"
#include "nat/limits.hpp"
#include "nat/policy.hpp"
#include "nat/port_forwards.hpp"
#include "nat/resolvers.hpp"
#include "nat/router.hpp"
#include "nat/tcp_nat.hpp"
#include "nat/udp_nat.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/sys/log.hpp"
#include "stack/frame_port.hpp"
#include "stack/guest_link.hpp"
#include "stack/guest_tcp.hpp"
#include "stack/ingress.hpp"
#include "stack/memory_budget.hpp"
#include "stack/neighbours.hpp"
#include "stack/reassembly.hpp"

namespace l4n::nat {

class Gateway final : public sys::EventHandler, public sys::TurnHook {
 public:
  struct Config {
    PolicyConfig policy;
    unsigned mtu = 1500;  // bytes, the largest IP packet
    Limits limits;
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
  // The search list that DHCP and router advertisements hand out.
  void set_search(const std::vector<std::string>& domains);

  [[nodiscard]] ForwardControl& forwards() noexcept { return forwards_; }

  [[nodiscard]] const TcpNat& tcp() const noexcept { return tcp_; }
  [[nodiscard]] const stack::GuestTcp& guest_tcp() const noexcept { return guest_tcp_; }
  [[nodiscard]] const UdpNat& udp() const noexcept { return udp_; }
  [[nodiscard]] const UdpForwards& udp_forwards() const noexcept { return udp_forwards_; }
  [[nodiscard]] const IcmpNat& icmp() const noexcept { return icmp_; }
  [[nodiscard]] const stack::Reassembly& reassembly() const noexcept { return reassembly_; }
  [[nodiscard]] const DhcpServer& dhcp() const noexcept { return dhcp_; }
  [[nodiscard]] const Router& router() const noexcept { return router_; }
  [[nodiscard]] const DnsForwarder& dns() const noexcept { return dns_; }
  [[nodiscard]] const stack::GuestLink& link() const noexcept { return link_; }
  [[nodiscard]] const stack::Neighbours& neighbours() const noexcept { return neighbours_; }
  // Null without IPv6.
  [[nodiscard]] const Dhcp6Server* dhcp6() const noexcept { return dhcp6_ ? &*dhcp6_ : nullptr; }
  [[nodiscard]] const PortForwards& port_forwards() const noexcept { return forwards_; }
  [[nodiscard]] const Limits& limits() const noexcept { return limits_; }
  [[nodiscard]] const stack::MemoryBudget& memory() const noexcept { return memory_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  [[nodiscard]] bool read(stack::FrameBuffer& frame) noexcept;
  void skip_frame() noexcept;
  void dispatch(stack::FrameBufferPtr frame);
  void serve(const stack::Ingress& ingress, stack::FrameBufferPtr frame);
  [[nodiscard]] stack::FrameBufferPtr reassemble(const stack::IpFragment& fragment);
  void on(const stack::Dropped& dropped);
  void on(const stack::ArpFrame& frame);
  void on(const stack::UdpDatagram& datagram, stack::FrameBufferPtr frame);
  void on(const stack::IcmpMessage& message);
  void on(const stack::IpProblem& problem);
  void on(const stack::TcpSegment& segment, stack::FrameBufferPtr frame);
  void serve_dhcp(const stack::UdpDatagram& datagram);
  void serve_dhcp6(const stack::UdpDatagram& datagram);
  void answer_echo(const stack::IcmpMessage& message);
  void refuse(const stack::IpPacket& packet);
  [[nodiscard]] bool stays_in_scope(const stack::IpPacket& packet);

  PolicyConfig policy_;
  const Limits limits_;
  sys::Graveyard& graveyard_;
  sys::Log& log_;
  stack::FramePort& port_;
  stack::GuestLink link_;
  stack::MemoryBudget memory_;
  stack::GuestTcp guest_tcp_;
  stack::Neighbours neighbours_;
  stack::Reassembly reassembly_;
  Router router_;
  Resolvers resolvers_;
  TcpNat tcp_;
  UdpNat udp_;
  IcmpNat icmp_;
  DhcpServer dhcp_;
  std::optional<Dhcp6Server> dhcp6_;
  DnsForwarder dns_;
  UdpForwards udp_forwards_;
  PortForwards forwards_;
  std::function<void()> port_closed_;
  Counters counters_;
};

}  // namespace l4n::nat
