// One execution of the harness, and the proof that it depends on nothing but its input.
#pragma once

#include <cstdint>

#include "netns/sys/bytes.hpp"

namespace l4n::fuzz {

// What fresh memory is filled with, so that what is read before it was written tells.
enum class FreshMemory : std::uint8_t { a5 = 0xa5, c3 = 0xc3 };

// Returns the digest of the output (output_digest.hpp).
std::uint64_t run_once(sys::Bytes input, FreshMemory fill = FreshMemory::a5);

// Runs again, with fresh memory filled otherwise. A difference is a violated oracle.
void run_again(sys::Bytes input, std::uint64_t first_digest);

// For long runs: one input in 64 runs twice. Which, depends on the input alone.
void run_sometimes_twice(sys::Bytes input);

}  // namespace l4n::fuzz
