// The harness as AFL++ calls it: persistent, with inputs in shared memory. Compiled by another compiler it
// runs what is on stdin.
#include <cstddef>
#include <iterator>
#include <vector>

#ifdef __AFL_FUZZ_TESTCASE_LEN
#include <unistd.h>  // AFL's macros call read()
#pragma clang diagnostic ignored "-Wgnu-statement-expression"
#pragma clang diagnostic ignored "-Wshorten-64-to-32"
#else
#include <fstream>
#endif

#include "fuzz/engine/determinism.hpp"

namespace {

// A place of its own, of exactly its size: AddressSanitizer sees a read beyond it.
void run(const unsigned char* data, std::size_t size) {
  const auto* const bytes = reinterpret_cast<const std::byte*>(data);
  const std::vector<std::byte> input(bytes, bytes + size);
  l4n::fuzz::run_sometimes_twice(input);
}

}  // namespace

#ifdef __AFL_FUZZ_TESTCASE_LEN

__AFL_FUZZ_INIT();

int main() {
  constexpr unsigned kRunsOfOneProcess = 10'000;
  __AFL_INIT();
  const unsigned char* const data = __AFL_FUZZ_TESTCASE_BUF;
  while (__AFL_LOOP(kRunsOfOneProcess)) {
    run(data, static_cast<std::size_t>(__AFL_FUZZ_TESTCASE_LEN));
  }
  return 0;
}

#else

int main() {
  std::ifstream file("/dev/stdin", std::ios::binary);
  const std::vector<char> data{std::istreambuf_iterator<char>(file), {}};
  run(reinterpret_cast<const unsigned char*>(data.data()), data.size());
  return 0;
}

#endif
