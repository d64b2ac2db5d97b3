// The host's DNS servers, in the order in which they are asked.
#pragma once

#include <cstddef>
#include <vector>

#include "nat/host.hpp"
#include "netns/sys/clock.hpp"

namespace l4n::nat {

// Servers of resolv.conf(5), first one first. The server that answered last is asked first for a while, so
// that one dead server does not slow every question down.
class Resolvers {
 public:
  static constexpr sys::Duration kPreferenceTime = std::chrono::seconds(60);

  explicit Resolvers(const sys::Clock& clock) noexcept : clock_(clock) {}

  // Endpoints with port 53. An unchanged list keeps the preference.
  void set(std::vector<HostTarget> servers);
  // All servers, the preferred one first.
  [[nodiscard]] std::vector<HostTarget> in_order() const;
  void answered(const HostTarget& server) noexcept;

 private:
  const sys::Clock& clock_;
  std::vector<HostTarget> servers_;
  std::size_t preferred_ = 0;
  sys::Time preferred_until_{};
};

}  // namespace l4n::nat
