#include "nat/opening_limit.hpp"

#include <doctest/doctest.h>

#include "netns/sys/clock.hpp"

namespace l4n::nat {
namespace {

using namespace std::chrono_literals;

struct Fixture {
  sys::ManualClock clock;
  sys::TimerQueue timers{clock};
  OpeningLimit limit{timers, 5};

  int open(sys::Duration takes) {
    return limit.timed([&] {
      clock.advance(takes);
      return 7;
    });
  }
  // Opens as many as are admitted, up to `most`, `between` apart.
  int flood(int most, sys::Duration takes, sys::Duration between, bool wasted) {
    int admitted = 0;
    for (int i = 0; i < most; ++i) {
      clock.advance(between);
      if (limit.admit()) {
        ++admitted;
        open(takes);
        if (wasted) {
          limit.wasted();
        }
      }
    }
    return admitted;
  }
};

TEST_CASE_FIXTURE(Fixture, "opening limit: what comes of an opening is handed on") { CHECK(open(20us) == 7); }

TEST_CASE_FIXTURE(Fixture, "opening limit: openings of which something comes have no limit") {
  CHECK(flood(100'000, 50us, 0us, false) == 100'000);
}

TEST_CASE_FIXTURE(Fixture,
                  "opening limit: wasted ones have their part of the time, twice what they take counted") {
  // So that each has its time, until the burst is used up.
  const int at_once = flood(10'000, 20us, 0us, true);
  CHECK(at_once > OpeningLimit::kWastedBurst / 40us);
  CHECK(at_once < 10'000);
  // 40 us of each 200.
  const int later = flood(10'000, 20us, 20us, true);
  CHECK(later > 10'000 * 20 / (200 - 20) * 9 / 10);
  CHECK(later < 10'000 * 20 / (200 - 20) * 11 / 10);
  // A rest brings the burst back, and no more.
  clock.advance(1h);
  CHECK(limit.admit());
  CHECK(flood(10'000, 20us, 0us, true) <= at_once + 1);
}

TEST_CASE_FIXTURE(Fixture, "opening limit: what is answered late is not wasted") {
  constexpr int kWaiting = 100;
  for (int i = 0; i < 100 * kWaiting; ++i) {
    REQUIRE(limit.admit());
    open(20us);
    limit.wasted();
    if (i >= kWaiting) {
      limit.answered();
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "opening limit: slow ones have half of the time, whatever comes of them") {
  const int at_once = flood(500, 2ms, 0ms, false);
  CHECK(at_once > OpeningLimit::kSlowBurst / 2ms);
  CHECK(at_once < 3 * OpeningLimit::kSlowBurst / 2ms);
  // From then on, of 2 ms in 3.
  CHECK(flood(300, 2ms, 1ms, false) < 180);
}

TEST_CASE_FIXTURE(Fixture,
                  "opening limit: a slow one weighs no more than a usual one when it was for nothing") {
  for (int i = 0; i < 100; ++i) {
    open(1s);
    clock.advance(10s);
  }
  limit.wasted();
  CHECK(limit.admit());
}

}  // namespace
}  // namespace l4n::nat
