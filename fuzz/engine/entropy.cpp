#include "fuzz/engine/entropy.hpp"

#include <sys/random.h>

#include <cstddef>
#include <span>

#include "fuzz/engine/random.hpp"

namespace l4n::fuzz {
namespace {

constexpr std::uint64_t kSeed = 1;

Random& entropy() noexcept {
  static Random source(kSeed);
  return source;
}

}  // namespace

void rewind_entropy() noexcept { entropy() = Random(kSeed); }

}  // namespace l4n::fuzz

// The C library's function gives way to one of the same name in the program.
extern "C" ssize_t getrandom(void* buffer, std::size_t length, unsigned /*flags*/) {
  for (std::byte& b : std::span(static_cast<std::byte*>(buffer), length)) {
    b = l4n::fuzz::entropy().byte();
  }
  return static_cast<ssize_t>(length);
}
