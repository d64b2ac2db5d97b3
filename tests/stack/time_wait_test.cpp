#include "stack/time_wait.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <utility>
#include <vector>

namespace l4n::stack {
namespace {

using namespace std::chrono_literals;

FlowKey key_of(std::uint32_t n) {
  return {{sys::make_ipv4(10, 0, 2, 100), static_cast<std::uint16_t>(n)},
          {sys::make_ipv4(192, 0, 2, n >> 16U), 80}};
}

struct Fixture {
  TimeWaitTable table{sys::HashKey{1, 2}};
  sys::ManualClock clock;

  void add(std::uint32_t n) { table.add(key_of(n), n, n + 1, clock.now()); }
  bool has(std::uint32_t n) { return table.find(key_of(n), clock.now()).has_value(); }
};

TEST_CASE_FIXTURE(Fixture, "time wait: empty") {
  CHECK(table.size() == 0);
  CHECK_FALSE(has(1));
  table.erase(key_of(1));
  CHECK(table.size() == 0);
}

TEST_CASE_FIXTURE(Fixture, "time wait: an entry is kept as it was") {
  table.add(key_of(1), 0xfffffff0, 77, clock.now());
  const auto entry = table.find(key_of(1), clock.now());
  REQUIRE(entry);
  CHECK(entry->key == key_of(1));
  CHECK(entry->rcv_nxt == 0xfffffff0);
  CHECK(entry->snd_nxt == 77);
  CHECK(entry->until == clock.now() + TimeWaitTable::kTime);
}

TEST_CASE_FIXTURE(Fixture, "time wait: an entry lives for its time, each its own") {
  add(1);
  clock.advance(2s);
  add(2);
  clock.advance(TimeWaitTable::kTime - 2s - 1ns);
  CHECK(has(1));
  CHECK(has(2));
  clock.advance(1ns);
  CHECK_FALSE(has(1));
  CHECK(has(2));
  clock.advance(2s);
  CHECK_FALSE(has(2));
  CHECK(table.size() == 0);
}

TEST_CASE_FIXTURE(Fixture, "time wait: adding expires too") {
  for (std::uint32_t n = 0; n < 100; ++n) {
    add(n);
  }
  clock.advance(TimeWaitTable::kTime);
  add(1000);
  CHECK(table.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "time wait: the oldest makes room") {
  for (std::uint32_t n = 0; n < TimeWaitTable::kMost; ++n) {
    add(n);
  }
  CHECK(table.size() == TimeWaitTable::kMost);
  CHECK(has(0));
  add(100000);
  CHECK(table.size() == TimeWaitTable::kMost);
  CHECK_FALSE(has(0));
  CHECK(has(1));
  CHECK(has(100000));
}

TEST_CASE_FIXTURE(Fixture, "time wait: one that was erased and added again lives from then on") {
  add(1);
  add(2);
  table.erase(key_of(1));
  CHECK_FALSE(has(1));
  CHECK(has(2));
  clock.advance(3s);
  table.add(key_of(1), 50, 60, clock.now());
  clock.advance(TimeWaitTable::kTime - 3s);  // the first entry of the key expires
  CHECK_FALSE(has(2));
  const auto entry = table.find(key_of(1), clock.now());
  REQUIRE(entry);
  CHECK(entry->rcv_nxt == 50);
  clock.advance(3s);
  CHECK_FALSE(has(1));
}

TEST_CASE_FIXTURE(Fixture, "time wait: adding a key that is there replaces it") {
  add(1);
  clock.advance(3s);
  table.add(key_of(1), 50, 60, clock.now());
  CHECK(table.size() == 1);
  clock.advance(3s);
  const auto entry = table.find(key_of(1), clock.now());
  REQUIRE(entry);
  CHECK(entry->snd_nxt == 60);
}

TEST_CASE_FIXTURE(Fixture, "time wait: erasing all and adding beyond the cap") {
  for (std::uint32_t n = 0; n < 3 * TimeWaitTable::kMost; ++n) {
    add(n);
    table.erase(key_of(n));
  }
  CHECK(table.size() == 0);
  add(5);
  CHECK(has(5));
}

TEST_CASE_FIXTURE(Fixture, "time wait: random operations against a reference") {
  std::mt19937 random(6);
  std::map<std::uint32_t, std::pair<sys::Time, std::uint32_t>> reference;
  for (std::uint32_t step = 0; step < 20000; ++step) {
    const auto n = static_cast<std::uint32_t>(random() % 200);
    if (random() % 3 == 0) {
      table.add(key_of(n), step, 0, clock.now());
      reference[n] = {clock.now() + TimeWaitTable::kTime, step};
    } else if (random() % 4 == 0) {
      table.erase(key_of(n));
      reference.erase(n);
    } else {
      clock.advance(sys::Duration(random() % 20'000'000));
    }
    const auto expected = reference.find(n);
    const bool alive = expected != reference.end() && expected->second.first > clock.now();
    const auto entry = table.find(key_of(n), clock.now());
    REQUIRE(entry.has_value() == alive);
    if (alive) {
      REQUIRE(entry->rcv_nxt == expected->second.second);
    }
  }
}

}  // namespace
}  // namespace l4n::stack
