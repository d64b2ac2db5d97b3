// The host seam over the kernel's sockets.
#pragma once

#include "nat/host.hpp"
#include "netns/sys/event_loop.hpp"

namespace l4n::nat {

class HostSockets final : public Host {
 public:
  explicit HostSockets(sys::EventLoop& loop) noexcept : loop_(loop) {}

  sys::Result<std::unique_ptr<HostStream>> connect(const HostTarget& target, HostObserver& observer) override;
  sys::Result<std::unique_ptr<HostDatagram>> open_datagram(const HostTarget& target,
                                                           HostObserver& observer) override;

 private:
  sys::EventLoop& loop_;
};

}  // namespace l4n::nat
