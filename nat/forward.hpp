// Port forwards: what can be asked for, and the seam through which the API socket asks.
#pragma once

#include <cstdint>
#include <vector>

#include "netns/sys/ip_address.hpp"
#include "netns/sys/result.hpp"

namespace l4n::nat {

enum class ForwardProtocol { tcp, udp };

// Listens on the host and leads to the guest. `count` consecutive ports from the first one on, which both
// sides number alike.
struct ForwardRule {
  ForwardProtocol protocol = ForwardProtocol::tcp;
  sys::Endpoint host;   // where to listen; port 0: any free one, for a single port only
  sys::Endpoint guest;  // where it leads
  std::uint16_t count = 1;
  bool names_family = false;  // asked for as tcp4 or udp6, of host's family, not as tcp or udp

  friend bool operator==(const ForwardRule&, const ForwardRule&) = default;
};

// A rule that is in force, with the port that was chosen in place of 0.
struct Forward {
  std::uint32_t id = 0;  // from 1, never used again
  ForwardRule rule;

  friend bool operator==(const Forward&, const Forward&) = default;
};

class ForwardControl {
 public:
  // All ports of the rule or none: an error (an errno value) leaves nothing behind.
  virtual sys::Result<Forward> add(const ForwardRule& rule) = 0;
  // Stops listening; connections that are established go on. False when there is no such forward.
  virtual bool remove(std::uint32_t id) noexcept = 0;
  // In the order in which they were added.
  [[nodiscard]] virtual std::vector<Forward> list() const = 0;

 protected:
  ~ForwardControl() = default;
};

}  // namespace l4n::nat
