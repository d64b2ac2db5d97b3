#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/input.hpp"
#include "fuzz/engine/oracle.hpp"

namespace l4n::fuzz {
namespace {

void run(sys::Bytes input) {
  Input in(input);
  FUZZ_REQUIRE(in.left() == input.size(), "the input has its size");
}

}  // namespace

const Harness kHarness{run, print_hex, mutate_bytes};

}  // namespace l4n::fuzz
