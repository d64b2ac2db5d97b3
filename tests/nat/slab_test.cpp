#include "nat/slab.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace l4n::nat {
namespace {

using IntSlab = Slab<int>;

Handle put(IntSlab& slab, int value) {
  const Handle handle = slab.reserve();
  slab.set(handle, std::make_unique<int>(value));
  return handle;
}

TEST_CASE("slab: put and get") {
  IntSlab slab;
  CHECK(slab.size() == 0);
  const Handle a = put(slab, 1);
  const Handle b = put(slab, 2);
  CHECK(slab.size() == 2);
  CHECK_FALSE(a == b);
  REQUIRE(slab.get(a) != nullptr);
  CHECK(*slab.get(a) == 1);
  CHECK(*slab.get(b) == 2);
  CHECK(slab.at(a.index) == 1);
  *slab.get(a) = 10;
  CHECK(slab.at(a.index) == 10);
}

TEST_CASE("slab: a reserved name has no object yet") {
  IntSlab slab;
  const Handle a = slab.reserve();
  const Handle b = slab.reserve();
  CHECK(a.index != b.index);
  CHECK(slab.get(a) == nullptr);
  CHECK(slab.size() == 0);
  CHECK(slab.set(a, std::make_unique<int>(5)) == 5);
  CHECK(slab.size() == 1);
  CHECK(slab.get(b) == nullptr);
}

TEST_CASE("slab: the name of what was taken is not followed, also when its place is used again") {
  IntSlab slab;
  const Handle first = put(slab, 1);
  const std::unique_ptr<int> taken = slab.take(first);
  REQUIRE(taken != nullptr);
  CHECK(*taken == 1);
  CHECK(slab.size() == 0);
  CHECK(slab.get(first) == nullptr);
  const Handle second = slab.reserve();
  CHECK(second.index == first.index);
  CHECK(second.generation != first.generation);
  CHECK(slab.get(second) == nullptr);
  slab.set(second, std::make_unique<int>(2));
  CHECK(slab.get(first) == nullptr);
  CHECK(*slab.get(second) == 2);
}

TEST_CASE("slab: a default handle names nothing") {
  IntSlab slab;
  put(slab, 1);
  CHECK(slab.get(Handle{}) == nullptr);
}

TEST_CASE("slab: for_each sees what is there, and only that") {
  IntSlab slab;
  const Handle a = put(slab, 1);
  put(slab, 2);
  static_cast<void>(slab.reserve());
  put(slab, 4);
  static_cast<void>(slab.take(a));
  std::vector<int> seen;
  slab.for_each([&](int& value) { seen.push_back(value); });
  CHECK(seen == std::vector<int>{2, 4});
}

TEST_CASE("slab: an empty slab has given its places back, and names of before are not followed") {
  IntSlab slab;
  std::vector<Handle> old;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 1000; ++i) {
      old.push_back(put(slab, i));
    }
    const Handle kept = put(slab, -1);
    for (int i = 0; i < 1000; ++i) {
      static_cast<void>(slab.take(old[old.size() - 1 - static_cast<std::size_t>(i)]));
    }
    const Handle reserved = slab.reserve();
    static_cast<void>(slab.take(kept));
    CHECK(slab.set(reserved, std::make_unique<int>(-2)) == -2);  // its place has not gone
    static_cast<void>(slab.take(reserved));
    for (const Handle& handle : old) {
      REQUIRE(slab.get(handle) == nullptr);
    }
  }
  const Handle next = put(slab, 5);
  CHECK(next.index == 0);
  CHECK(std::none_of(old.begin(), old.end(), [&](const Handle& handle) { return handle == next; }));
}

TEST_CASE("slab: random operations against a reference") {
  IntSlab slab;
  std::map<int, Handle> alive;
  std::vector<Handle> dead;
  std::mt19937 random(7);
  for (int step = 0; step < 20000; ++step) {
    if (random() % 2 == 0 || alive.empty()) {
      alive[step] = put(slab, step);
    } else {
      const auto chosen = std::next(alive.begin(), static_cast<std::ptrdiff_t>(random() % alive.size()));
      REQUIRE(*slab.take(chosen->second) == chosen->first);
      dead.push_back(chosen->second);
      alive.erase(chosen);
    }
    REQUIRE(slab.size() == alive.size());
    if (!dead.empty()) {
      REQUIRE(slab.get(dead[random() % dead.size()]) == nullptr);
    }
  }
  for (const auto& [value, handle] : alive) {
    REQUIRE(slab.get(handle) != nullptr);
    REQUIRE(*slab.get(handle) == value);
  }
}

}  // namespace
}  // namespace l4n::nat
