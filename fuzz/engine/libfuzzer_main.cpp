// The harness as libFuzzer calls it.
#include <cstdint>

#include "fuzz/engine/determinism.hpp"
#include "fuzz/engine/harness.hpp"

// libFuzzer's own mutations.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace l4n::fuzz {

std::size_t mutate_bytes(sys::MutableBytes data, std::size_t size, std::size_t max_size, Random& /*random*/) {
  return LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(data.data()), size, max_size);
}

}  // namespace l4n::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  l4n::fuzz::run_sometimes_twice({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  l4n::fuzz::Random random(seed);
  return l4n::fuzz::kHarness.mutate({reinterpret_cast<std::byte*>(data), max_size}, size, max_size, random);
}
