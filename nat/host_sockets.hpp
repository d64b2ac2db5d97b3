// The host seam over the kernel's sockets.
#pragma once

#include <utility>

#include "nat/host.hpp"
#include "nat/kernel_udp.hpp"
#include "nat/outbound.hpp"
#include "netns/sys/event_loop.hpp"

namespace l4n::nat {

class HostSockets final : public Host {
 public:
  explicit HostSockets(sys::EventLoop& loop) : loop_(loop), ping_(loop, outbound_) {}

  // Where everything that the guest starts leaves from now on, to destinations of one family: new
  // connections, and the next datagram of every socket.
  void set_outbound(bool is_v4, OutboundFamily outbound) {
    (is_v4 ? outbound_.v4 : outbound_.v6) = std::move(outbound);
  }

  // Opens what a family needs privileges for: the raw socket for ping where ping sockets are not allowed.
  sys::Result<void> prepare(bool is_v4) { return ping_.prepare(is_v4); }

  sys::Result<std::unique_ptr<HostStream>> connect(const HostTarget& target, HostObserver& observer) override;
  sys::Result<std::unique_ptr<HostListener>> listen(const sys::Endpoint& address,
                                                    HostListenerObserver& observer) override;
  sys::Result<std::unique_ptr<HostDatagram>> open_datagram(const HostTarget& target,
                                                           HostObserver& observer) override;
  sys::Result<std::unique_ptr<HostUdp>> open_udp(bool is_v4, HostUdpObserver& observer) override {
    return open_kernel_udp(loop_, is_v4, outbound_, observer);
  }
  sys::Result<BoundUdp> bind_udp(const sys::Endpoint& address, HostUdpObserver& observer) override {
    return bind_kernel_udp(loop_, address, observer);
  }
  sys::Result<std::unique_ptr<HostPing>> open_ping(bool is_v4, HostPingObserver& observer) override {
    return ping_.open_ping(is_v4, observer);
  }

 private:
  sys::EventLoop& loop_;
  Outbound outbound_;
  HostPingSockets ping_;
};

}  // namespace l4n::nat
