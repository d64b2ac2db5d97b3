#include "fuzz/world/lwip_state.hpp"

#include <span>
#include <vector>

// Set by the linker: lwip_state.ld.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): lwIP's own
extern "C" std::byte l4n_lwip_state_begin[];
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): lwIP's own
extern "C" std::byte l4n_lwip_state_end[];

namespace l4n::fuzz {
namespace {

// AddressSanitizer surrounds each variable with bytes that nobody may touch. Here they are copied with the
// rest, byte by byte, since its memcpy would look too.
__attribute__((no_sanitize("address"))) void copy_raw(std::byte* to, const std::byte* from,
                                                      std::size_t size) noexcept {
  for (std::size_t i = 0; i < size; ++i) {
    // The compiler must not make a memcpy() of it.
    const_cast<volatile std::byte&>(to[i]) = from[i];  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  }
}

std::vector<std::byte> state_at_start() {
  std::vector<std::byte> state(static_cast<std::size_t>(l4n_lwip_state_end - l4n_lwip_state_begin));
  copy_raw(state.data(), l4n_lwip_state_begin, state.size());
  return state;
}

}  // namespace

void rewind_lwip() noexcept {
  // The first call is before the first use of lwIP.
  static const std::vector<std::byte> start = state_at_start();
  copy_raw(l4n_lwip_state_begin, start.data(), start.size());
}

}  // namespace l4n::fuzz
