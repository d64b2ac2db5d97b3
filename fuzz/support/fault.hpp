// Faults that prove the oracles: with LWIP4NETNS_FUZZ_FAULT=NAME in the environment a harness puts one in,
// between the code under test and the oracle that has to see it (fuzz/oracles_test.py). No fault without it.
#pragma once

#include <string_view>

namespace l4n::fuzz {

// Whether this one is asked for.
[[nodiscard]] bool fault(std::string_view name) noexcept;

}  // namespace l4n::fuzz
