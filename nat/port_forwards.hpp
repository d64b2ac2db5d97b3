// PortForwards: listens on the host for clients that want to reach the guest, as the API socket asks for it.
#pragma once

#include <memory>
#include <vector>

#include "nat/forward.hpp"
#include "nat/host.hpp"
#include "nat/policy.hpp"
#include "nat/tcp_nat.hpp"
#include "nat/udp_forwards.hpp"
#include "netns/sys/log.hpp"
#include "stack/neighbours.hpp"

namespace l4n::nat {

class PortForwards final : public ForwardControl {
 public:
  // Ports of all rules together: each costs a descriptor of the reserve that the flows leave.
  static constexpr std::size_t kMostPorts = 512;

  // All outlive it.
  struct Environment {
    Host& host;
    TcpNat& tcp;
    UdpForwards& udp;
    stack::Neighbours& neighbours;
    sys::TimerQueue& timers;
    sys::Log& log;
    const PolicyConfig& policy;
  };

  explicit PortForwards(const Environment& environment) noexcept;
  PortForwards(const PortForwards&) = delete;
  PortForwards& operator=(const PortForwards&) = delete;
  ~PortForwards();

  // Errors, beside those of the system: ENOSPC, too many ports; EINVAL, port 0 or beyond 65535 where none may
  // be; EAFNOSUPPORT, a family that is not served.
  sys::Result<Forward> add(const ForwardRule& rule) override;
  bool remove(std::uint32_t id) noexcept override;
  [[nodiscard]] std::vector<Forward> list() const override;
  [[nodiscard]] std::size_t ports() const noexcept { return ports_; }

 private:
  class TcpPort;
  struct Active;

  sys::Result<void> open(Active& active, const sys::Endpoint& host, const sys::Endpoint& guest);

  Environment environment_;
  std::vector<std::unique_ptr<Active>> active_;
  std::size_t ports_ = 0;
  std::uint32_t last_id_ = 0;
};

}  // namespace l4n::nat
