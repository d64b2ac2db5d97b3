// mutate_bytes() for the runners without libFuzzer.
#include <algorithm>
#include <array>
#include <cstring>

#include "fuzz/engine/harness.hpp"

namespace l4n::fuzz {
namespace {

using sys::MutableBytes;

// Values at which lengths, counters and comparisons turn over.
constexpr std::array<std::uint8_t, 10> kInteresting{0, 1, 2, 4, 0x3f, 0x40, 0x7f, 0x80, 0xfe, 0xff};

std::size_t flip_bit(MutableBytes data, std::size_t size, Random& random) {
  data[random.below(size)] ^= static_cast<std::byte>(1U << random.below(8));
  return size;
}

std::size_t set_byte(MutableBytes data, std::size_t size, Random& random) {
  data[random.below(size)] = random.one_in(2)
                                 ? random.byte()
                                 : static_cast<std::byte>(kInteresting[random.below(kInteresting.size())]);
  return size;
}

std::size_t add_to_byte(MutableBytes data, std::size_t size, Random& random) {
  std::byte& b = data[random.below(size)];
  b = static_cast<std::byte>(std::to_integer<unsigned>(b) + random.below(33) - 16);
  return size;
}

std::size_t erase(MutableBytes data, std::size_t size, Random& random) {
  const std::size_t at = random.below(size);
  const std::size_t n = 1 + random.below(std::min<std::size_t>(size - at, 16));
  std::memmove(&data[at], data.data() + at + n, size - at - n);
  return size - n;
}

std::size_t insert(MutableBytes data, std::size_t size, std::size_t max_size, Random& random) {
  const std::size_t n = std::min(max_size - size, 1 + random.below(16));
  const std::size_t at = random.below(size + 1);
  std::memmove(data.data() + at + n, data.data() + at, size - at);
  const std::byte fill = random.byte();
  std::generate_n(data.begin() + static_cast<std::ptrdiff_t>(at), n,
                  [&] { return random.one_in(4) ? fill : random.byte(); });
  return size + n;
}

std::size_t copy_within(MutableBytes data, std::size_t size, Random& random) {
  const std::size_t from = random.below(size);
  const std::size_t to = random.below(size);
  const std::size_t n = 1 + random.below(size - std::max(from, to));
  std::memmove(&data[to], &data[from], n);
  return size;
}

std::size_t mutate_once(MutableBytes data, std::size_t size, std::size_t max_size, Random& random) {
  if (size == 0) {
    return insert(data, size, max_size, random);
  }
  switch (random.below(6)) {
    case 0:
      return flip_bit(data, size, random);
    case 1:
      return set_byte(data, size, random);
    case 2:
      return add_to_byte(data, size, random);
    case 3:
      return erase(data, size, random);
    case 4:
      return insert(data, size, max_size, random);
    default:
      return copy_within(data, size, random);
  }
}

}  // namespace

std::size_t mutate_bytes(MutableBytes data, std::size_t size, std::size_t max_size, Random& random) {
  for (std::size_t i = 1 + random.below(4); i > 0; --i) {
    size = mutate_once(data, size, max_size, random);
  }
  return size;
}

}  // namespace l4n::fuzz
