// World: the whole gateway in one process, lwIP included, with a clock that is turned by hand, an interface
// whose every frame is examined (wire_port.hpp) and a host that follows a script.
//
// The oracles that hold for whatever happens in it are checked after every turn (limits, policy) and in
// finish() (nothing is left behind).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "fuzz/engine/input.hpp"
#include "fuzz/reference/policy_table.hpp"
#include "fuzz/world/wire_port.hpp"
#include "nat/gateway.hpp"
#include "netns/sys/clock.hpp"
#include "netns/sys/log.hpp"
#include "tests/integration/support/fake_host.hpp"

namespace l4n::fuzz {

// So small that they are reached.
[[nodiscard]] nat::Limits small_limits();

struct WorldOptions {
  WirePort::Options port;
  nat::PolicyConfig policy;
  nat::Limits limits = small_limits();

  // From two bytes.
  [[nodiscard]] static WorldOptions take(Input& in);
  [[nodiscard]] std::string text() const;
};

class World {
 public:
  explicit World(const WorldOptions& options);
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World();

  // Turns until nothing moves any more. Time stands still.
  void settle();
  // Lets time pass, from one deadline to the next, and settles after each.
  void advance(sys::Duration duration);
  // From now on there is memory, room in the interface, and nobody outside is held back.
  void release_all();
  // Ends the gateway and requires that nothing is left of what it held. `patiently`: only after all that
  // waits for somebody has had its time, which has to be enough.
  void finish(bool patiently);

  // What the gateway has sent since the last call.
  [[nodiscard]] std::vector<integration::Packet> take_packets() { return port_.take(); }

  [[nodiscard]] WirePort& port() noexcept { return port_; }
  [[nodiscard]] integration::FakeHost& host() noexcept { return host_; }
  [[nodiscard]] nat::Gateway& gateway() noexcept { return *gateway_; }
  [[nodiscard]] const WorldOptions& options() const noexcept { return options_; }
  [[nodiscard]] sys::Time now() const noexcept { return clock_.now(); }
  // Adds a port forward. Its UDP sockets may send to whoever has sent to them.
  void forward(const nat::ForwardRule& rule);
  // The interface ends, or fails with an errno value, which is to be told once.
  void end_port(int error);
  // A datagram for one of the forwards' sockets, when there is one of that family.
  void deliver_to_forward(std::size_t which, const sys::Endpoint& from, sys::Bytes payload);

 private:
  void turn();
  void check_limits() const;
  [[nodiscard]] bool reachable(const sys::IpAddress& address) const;
  void check_destinations();
  void check_books();
  void check_nothing_left();

  WorldOptions options_;
  PolicyTable policy_;  // what the oracles believe of destinations, from the contract
  sys::ManualClock clock_;
  sys::TimerQueue timers_{clock_};
  sys::Graveyard graveyard_;
  sys::Log log_{-1, sys::LogLevel::error};
  WirePort port_;
  integration::FakeHost host_;
  std::unique_ptr<nat::Gateway> gateway_;
  bool more_ = false;
  unsigned port_ends_ = 0;
  unsigned port_ends_told_ = 0;
  std::size_t checked_connects_ = 0;
  std::vector<bool> bound_udp_;           // host_.udp's sockets: those of a port forward
  std::vector<std::size_t> checked_udp_;  // per socket, of its sends
  std::vector<std::size_t> checked_pings_;
  std::size_t checked_questions_ = 0;
};

}  // namespace l4n::fuzz
