// PortForwards: the forwards of one guest.
#pragma once

#include "nat/forward.hpp"

namespace l4n::nat {

// Nothing can be forwarded yet: every request is refused with ENOTSUP.
class PortForwards final : public ForwardControl {
 public:
  sys::Result<Forward> add(const ForwardRule& rule) override;
  bool remove(std::uint32_t id) noexcept override;
  [[nodiscard]] std::vector<Forward> list() const override;
};

}  // namespace l4n::nat
