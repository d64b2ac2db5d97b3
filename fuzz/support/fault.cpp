#include "fuzz/support/fault.hpp"

#include <cstdlib>

namespace l4n::fuzz {

bool fault(std::string_view name) noexcept {
  static const char* const asked = std::getenv("LWIP4NETNS_FUZZ_FAULT");
  return asked != nullptr && name == asked;
}

}  // namespace l4n::fuzz
