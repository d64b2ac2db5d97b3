#include "netns/sys/keyed_hash.hpp"

#include <sys/random.h>

#include <bit>
#include <cstdlib>
#include <cstring>

namespace l4n::sys {
namespace {

struct SipState {
  std::uint64_t v0;
  std::uint64_t v1;
  std::uint64_t v2;
  std::uint64_t v3;

  explicit SipState(const HashKey& key) noexcept
      : v0(key.k0 ^ 0x736f6d6570736575ULL),
        v1(key.k1 ^ 0x646f72616e646f6dULL),
        v2(key.k0 ^ 0x6c7967656e657261ULL),
        v3(key.k1 ^ 0x7465646279746573ULL) {}

  void round() noexcept {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }

  void absorb(std::uint64_t word) noexcept {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
};

std::uint64_t load_le64(const std::byte* p, std::size_t n) noexcept {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < n; ++i) {
    word |= static_cast<std::uint64_t>(load_u8(p + i)) << (8 * i);
  }
  return word;
}

}  // namespace

HashKey HashKey::random() {
  HashKey key;
  if (::getrandom(&key, sizeof key, 0) != static_cast<ssize_t>(sizeof key)) {
    std::abort();
  }
  return key;
}

std::uint64_t siphash(const HashKey& key, Bytes data) noexcept {
  SipState state(key);
  const std::size_t whole = data.size() / 8 * 8;
  for (std::size_t i = 0; i < whole; i += 8) {
    state.absorb(load_le64(&data[i], 8));
  }
  const std::uint64_t tail = data.size() > whole ? load_le64(&data[whole], data.size() - whole) : 0;
  state.absorb(tail | (static_cast<std::uint64_t>(data.size()) << 56U));
  state.v2 ^= 0xffU;
  for (int i = 0; i < 4; ++i) {
    state.round();
  }
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

}  // namespace l4n::sys
