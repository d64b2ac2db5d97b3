// Sessions in which lwIP and the frame buffers do not get the memory that they ask for: the fourth byte of
// the program says which of their allocations fail (fuzz/world/allocation.hpp).
#include "fuzz/engine/harness.hpp"
#include "fuzz/world/session.hpp"

namespace l4n::fuzz {
namespace {

std::size_t mutate(sys::MutableBytes data, std::size_t size, std::size_t max_size, Random& random) {
  size = mutate_operations(data, kSessionHeader, size, max_size, random);
  if (random.one_in(4) || data[kSessionHeader - 1] == std::byte{0}) {
    data[kSessionHeader - 1] = random.byte();
  }
  return size;
}

}  // namespace

const Harness kHarness{run_session, session_text, mutate};

}  // namespace l4n::fuzz
