// Oracles: what must be true whatever the input was. Never compiled out.
//
//     FUZZ_REQUIRE(edge >= last_edge, "the window moves back by {} bytes", last_edge - edge);
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace l4n::fuzz {

// Says which oracle was violated, on standard error, and aborts.
[[noreturn]] void oracle_failed(const char* file, int line, std::string_view what);

}  // namespace l4n::fuzz

// A macro for the sake of file and line, and because the text is made only when it is needed.
#define FUZZ_REQUIRE(condition, ...)                                            \
  do {                                                                          \
    if (!(condition)) {                                                         \
      ::l4n::fuzz::oracle_failed(__FILE__, __LINE__, fmt::format(__VA_ARGS__)); \
    }                                                                           \
  } while (false)
