#include "nat/port_forwards.hpp"

#include <cerrno>

namespace l4n::nat {

sys::Result<Forward> PortForwards::add(const ForwardRule& /*rule*/) {
  return sys::errno_error(ENOTSUP, "cannot listen");
}

bool PortForwards::remove(std::uint32_t /*id*/) noexcept { return false; }

std::vector<Forward> PortForwards::list() const { return {}; }

}  // namespace l4n::nat
