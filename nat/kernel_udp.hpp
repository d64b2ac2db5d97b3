// HostUdp over a socket of the kernel.
#pragma once

#include <memory>

#include "nat/host.hpp"
#include "nat/outbound.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/sys/result.hpp"

namespace l4n::nat {

// An unbound socket: the kernel gives it a port with the first datagram. Each datagram leaves as `outbound`
// says at that moment. All three outlive it.
[[nodiscard]] sys::Result<std::unique_ptr<HostUdp>> open_kernel_udp(sys::EventLoop& loop, bool is_v4,
                                                                    const Outbound& outbound,
                                                                    HostUdpObserver& observer);

// One that is bound to a local address.
[[nodiscard]] sys::Result<Host::BoundUdp> bind_kernel_udp(sys::EventLoop& loop, const sys::Endpoint& address,
                                                          HostUdpObserver& observer);

}  // namespace l4n::nat
