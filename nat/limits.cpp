#include "nat/limits.hpp"

#include <algorithm>
#include <cstdint>

#include "nat/port_forwards.hpp"

namespace l4n::nat {
namespace {

// stdio, the loop, the guest's interface, the monitor and signals; the API socket with 64 clients.
constexpr std::size_t kOwn = 96;

// `wanted` of `all`, when there is room for `room` of `all`.
std::size_t share(std::size_t wanted, std::size_t all, std::size_t room) noexcept {
  if (all <= room) {
    return wanted;
  }
  return std::max<std::size_t>(static_cast<std::size_t>(std::uint64_t{wanted} * room / all), 1);
}

}  // namespace

Limits within_descriptors(const Limits& wanted, std::size_t descriptors) noexcept {
  const std::size_t rest = descriptors - std::min(kOwn, descriptors / 8);
  const std::size_t services =
      wanted.ping_flows + wanted.dns_questions + wanted.dns_spare + PortForwards::kMostPorts;
  const std::size_t for_services = std::min(services, rest / 4);
  const std::size_t for_flows = rest - for_services;
  const std::size_t flows = wanted.tcp_flows + wanted.udp_flows;

  Limits limits = wanted;
  limits.tcp_flows = share(wanted.tcp_flows, flows, for_flows);
  limits.udp_flows = share(wanted.udp_flows, flows, for_flows);
  limits.tcp_attempts = std::min(wanted.tcp_attempts, limits.tcp_flows);
  limits.ping_flows = share(wanted.ping_flows, services, for_services);
  limits.dns_questions = share(wanted.dns_questions, services, for_services);
  limits.dns_spare = share(wanted.dns_spare, services, for_services);
  return limits;
}

Limits within_memory(const Limits& wanted) noexcept {
  constexpr std::size_t kPerFlow = 8 * 1024;  // a quarter of it is guaranteed, half of that in each direction
  Limits limits = wanted;
  limits.tcp_flows = std::clamp<std::size_t>(wanted.memory / kPerFlow, 1, wanted.tcp_flows);
  limits.tcp_attempts = std::min(wanted.tcp_attempts, limits.tcp_flows);
  return limits;
}

}  // namespace l4n::nat
