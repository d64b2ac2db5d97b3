#include "fuzz/engine/determinism.hpp"

#include <malloc.h>

#include "fuzz/engine/entropy.hpp"
#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/engine/output_digest.hpp"
#include "netns/sys/keyed_hash.hpp"

namespace l4n::fuzz {
namespace {

constexpr std::uint64_t kTwiceOneIn = 64;

}  // namespace

std::uint64_t run_once(sys::Bytes input, FreshMemory fill) {
  // malloc() gives the complement of this byte, free() leaves the byte itself behind. (AddressSanitizer has
  // an allocator of its own, which ignores it.)
  static_cast<void>(::mallopt(M_PERTURB, static_cast<std::uint8_t>(~static_cast<unsigned>(fill))));
  rewind_entropy();
  static_cast<void>(take_output_digest());
  kHarness.run(input);
  return take_output_digest();
}

void run_again(sys::Bytes input, std::uint64_t first_digest) {
  FUZZ_REQUIRE(run_once(input, FreshMemory::c3) == first_digest,
               "one input gives two outputs: something survived a run, or was read before it was written");
}

void run_sometimes_twice(sys::Bytes input) {
  const std::uint64_t digest = run_once(input);
  if (sys::siphash({}, input) % kTwiceOneIn == 0) {
    run_again(input, digest);
  }
}

}  // namespace l4n::fuzz
