// The harness in AFL++'s persistent mode: one process, one input after the other through shared memory.
#include <unistd.h>

#include "fuzz/engine/determinism.hpp"
#include "fuzz/engine/harness.hpp"

__AFL_FUZZ_INIT();

int main() {
  __AFL_INIT();
  const unsigned char* input = __AFL_FUZZ_TESTCASE_BUF;
  constexpr unsigned kRunsPerProcess = 100'000;
  while (__AFL_LOOP(kRunsPerProcess)) {
    const auto size = static_cast<std::size_t>(__AFL_FUZZ_TESTCASE_LEN);
    l4n::fuzz::run_sometimes_twice({reinterpret_cast<const std::byte*>(input), size});
  }
  return 0;
}
