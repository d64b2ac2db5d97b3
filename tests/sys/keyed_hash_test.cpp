#include "netns/sys/keyed_hash.hpp"

#include <doctest/doctest.h>

#include <array>
#include <set>

#include "tests/support/byte_string.hpp"

namespace l4n::sys {
namespace {

// The key 00 01 … 0f, read as two little-endian words.
constexpr HashKey kReferenceKey{0x0706050403020100, 0x0f0e0d0c0b0a0908};

// The 16 first vectors of the reference implementation: input 00 01 … of the length of the index.
constexpr std::array<std::uint64_t, 16> kVectors = {
    0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
    0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
    0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
    0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5,
};

TEST_CASE("keyed hash: the reference vectors") {
  for (std::size_t length = 0; length < kVectors.size(); ++length) {
    CAPTURE(length);
    test::ByteString input;
    for (std::size_t i = 0; i < length; ++i) {
      input.push_back(static_cast<std::byte>(i));
    }
    CHECK(siphash(kReferenceKey, input) == kVectors.at(length));
  }
}

TEST_CASE("keyed hash: every bit of the key and of the input counts") {
  const test::ByteString input(40);
  std::set<std::uint64_t> hashes = {siphash({}, input)};
  for (unsigned bit = 0; bit < 64; ++bit) {
    hashes.insert(siphash({std::uint64_t{1} << bit, 0}, input));
    hashes.insert(siphash({0, std::uint64_t{1} << bit}, input));
  }
  for (std::size_t bit = 0; bit < input.size() * 8; ++bit) {
    test::ByteString changed = input;
    changed[bit / 8] = static_cast<std::byte>(1U << (bit % 8));
    hashes.insert(siphash({}, changed));
  }
  CHECK(hashes.size() == 1 + 128 + 320);
}

TEST_CASE("keyed hash: random keys differ") {
  const HashKey a = HashKey::random();
  const HashKey b = HashKey::random();
  CHECK((a.k0 != b.k0 || a.k1 != b.k1));
}

}  // namespace
}  // namespace l4n::sys
