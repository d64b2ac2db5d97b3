#include "fuzz/engine/oracle.hpp"

#include <cstdio>
#include <cstdlib>

namespace l4n::fuzz {

void oracle_failed(const char* file, int line, std::string_view what) {
  std::fflush(stdout);
  fmt::print(stderr, "oracle violated: {} ({}:{})\n", what, file, line);
  std::abort();
}

}  // namespace l4n::fuzz
