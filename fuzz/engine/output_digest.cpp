#include "fuzz/engine/output_digest.hpp"

#include <utility>

#include "netns/sys/keyed_hash.hpp"

namespace l4n::fuzz {
namespace {

std::uint64_t& digest() noexcept {
  static std::uint64_t value = 0;
  return value;
}

}  // namespace

void note_output(sys::Bytes bytes) noexcept { digest() = sys::siphash({digest(), bytes.size()}, bytes); }

std::uint64_t take_output_digest() noexcept { return std::exchange(digest(), 0); }

}  // namespace l4n::fuzz
