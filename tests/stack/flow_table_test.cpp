#include "stack/flow_table.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <utility>
#include <vector>

namespace l4n::stack {
namespace {

constexpr sys::HashKey kHashKey{0x0123456789abcdef, 0xfedcba9876543210};

FlowKey key_of(std::uint32_t n) {
  return {{sys::Ipv4Address{0x0a000000U | (n >> 16U)}, static_cast<std::uint16_t>(n)},
          {sys::make_ipv4(192, 0, 2, 1), 80}};
}

TEST_CASE("flow table: empty") {
  FlowTable table(kHashKey);
  CHECK(table.size() == 0);
  CHECK_FALSE(table.find(key_of(1)));
  table.erase(key_of(1));
  CHECK(table.size() == 0);
}

TEST_CASE("flow table: find, insert, erase") {
  FlowTable table(kHashKey);
  table.insert(key_of(1), 0);
  table.insert(key_of(2), 0xffffffff);
  CHECK(table.size() == 2);
  CHECK(table.find(key_of(1)) == 0);
  CHECK(table.find(key_of(2)) == 0xffffffff);
  CHECK_FALSE(table.find(key_of(3)));
  table.erase(key_of(1));
  table.erase(key_of(1));
  CHECK(table.size() == 1);
  CHECK_FALSE(table.find(key_of(1)));
  CHECK(table.find(key_of(2)) == 0xffffffff);
  table.insert(key_of(1), 7);
  CHECK(table.find(key_of(1)) == 7);
}

TEST_CASE("flow table: only find() counts as a look-up") {
  FlowTable table(kHashKey);
  CHECK(table.lookups() == 0);
  for (std::uint32_t i = 0; i < 1000; ++i) {
    table.insert(key_of(i), i);
  }
  table.erase(key_of(5));
  CHECK(table.lookups() == 0);
  CHECK(table.find(key_of(1)));
  CHECK_FALSE(table.find(key_of(5)));
  CHECK(table.lookups() == 2);
}

TEST_CASE("flow table: grows and shrinks without losing anything") {
  constexpr std::uint32_t kMany = 20000;
  FlowTable table(kHashKey);
  for (std::uint32_t i = 0; i < kMany; ++i) {
    table.insert(key_of(i), i);
  }
  REQUIRE(table.size() == kMany);
  for (std::uint32_t i = 0; i < kMany; ++i) {
    REQUIRE(table.find(key_of(i)) == i);
  }
  for (std::uint32_t i = 0; i < kMany; ++i) {
    table.erase(key_of(i));
    REQUIRE_FALSE(table.find(key_of(i)));
    REQUIRE(table.find(key_of(kMany - 1)).has_value() == (i != kMany - 1));
  }
  CHECK(table.size() == 0);
}

// With as few keys as this the table stays small and full: runs wrap around its end, and every erase has
// neighbours to move.
TEST_CASE("flow table: random operations against std::map") {
  for (const std::uint32_t keys : {40U, 48U, 100U, 3000U}) {
    CAPTURE(keys);
    std::mt19937 random(keys);
    FlowTable table(sys::HashKey{random(), random()});
    std::map<std::uint32_t, std::uint32_t> reference;
    for (std::uint32_t step = 0; step < 20000; ++step) {
      const auto n = static_cast<std::uint32_t>(random() % keys);
      // Phases in which it fills up, and in which it empties.
      const bool insert = random() % 8 < (step / 2000 % 2 == 0 ? 6U : 2U);
      if (insert && reference.emplace(n, step).second) {
        table.insert(key_of(n), step);
      } else if (!insert) {
        reference.erase(n);
        table.erase(key_of(n));
      }
      const auto probe = static_cast<std::uint32_t>(random() % keys);
      const auto expected = reference.find(probe);
      const auto found = table.find(key_of(probe));
      REQUIRE(found.has_value() == (expected != reference.end()));
      if (found) {
        REQUIRE(*found == expected->second);
      }
      REQUIRE(table.size() == reference.size());
    }
    for (const auto& [n, index] : reference) {
      REQUIRE(table.find(key_of(n)) == index);
    }
  }
}

// Keys whose 32-bit hashes are equal: only the comparison of the keys tells them apart.
std::vector<std::pair<std::uint32_t, std::uint32_t>> colliding_keys(std::uint32_t among) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> hashes;
  for (std::uint32_t n = 0; n < among; ++n) {
    hashes.emplace_back(static_cast<std::uint32_t>(sys::siphash(kHashKey, key_of(n).bytes())), n);
  }
  std::sort(hashes.begin(), hashes.end());
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs;
  for (std::size_t i = 1; i < hashes.size(); ++i) {
    if (hashes[i].first == hashes[i - 1].first) {
      pairs.emplace_back(hashes[i - 1].second, hashes[i].second);
    }
  }
  return pairs;
}

TEST_CASE("flow table: keys whose hashes collide") {
  const auto pairs = colliding_keys(300000);
  REQUIRE_FALSE(pairs.empty());
  for (const auto& [a, b] : pairs) {
    FlowTable table(kHashKey);
    table.insert(key_of(a), 1);
    CHECK_FALSE(table.find(key_of(b)));
    table.insert(key_of(b), 2);
    CHECK(table.find(key_of(a)) == 1);
    CHECK(table.find(key_of(b)) == 2);
    table.erase(key_of(a));
    CHECK_FALSE(table.find(key_of(a)));
    CHECK(table.find(key_of(b)) == 2);
  }
}

}  // namespace
}  // namespace l4n::stack
