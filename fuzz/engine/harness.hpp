// What a harness is: the three functions of the file harness/NAME.cpp, which defines kHarness.
//
//     const Harness kHarness{run, print_hex, mutate_bytes};
#pragma once

#include <cstddef>
#include <string>

#include "fuzz/engine/random.hpp"
#include "netns/sys/bytes.hpp"

namespace l4n::fuzz {

struct Harness {
  // One execution. A violated oracle aborts (oracle.hpp). Nothing survives it: the same input does the same
  // again, whatever ran between.
  void (*run)(sys::Bytes input);
  // The input in a form for people.
  std::string (*print)(sys::Bytes input);
  // Changes the first `size` bytes of `data`, which has room for `max_size`; returns the new size.
  std::size_t (*mutate)(sys::MutableBytes data, std::size_t size, std::size_t max_size, Random& random);
};

extern const Harness kHarness;

// --- for harnesses without a structure of their own, and for the parts of others that have none ---

// Hexadecimal, 16 bytes a line.
[[nodiscard]] std::string print_hex(sys::Bytes input);
// libFuzzer's mutations where it is linked, a few simple ones elsewhere.
std::size_t mutate_bytes(sys::MutableBytes data, std::size_t size, std::size_t max_size, Random& random);

}  // namespace l4n::fuzz
