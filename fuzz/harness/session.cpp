// Sessions: a program of what the guest, the host and the clock do (fuzz/world/operations.hpp), with sequence
// numbers relative to what the gateway last sent, so that all states of TCP are reached.
#include "fuzz/world/session.hpp"
#include "fuzz/engine/harness.hpp"

namespace l4n::fuzz {
namespace {

std::size_t mutate(sys::MutableBytes data, std::size_t size, std::size_t max_size, Random& random) {
  return mutate_operations(data, kSessionHeader, size, max_size, random);
}

// Memory does not run out here: harness/alloc.cpp.
void run(sys::Bytes input) {
  std::vector<std::byte> program(input.begin(), input.end());
  if (program.size() >= kSessionHeader) {
    program[kSessionHeader - 1] = std::byte{0};
  }
  run_session(program);
}

}  // namespace

const Harness kHarness{run, session_text, mutate};

}  // namespace l4n::fuzz
