#include "netns/sys/heap_trimmer.hpp"

#include <doctest/doctest.h>

#include <memory>

namespace l4n::sys {
namespace {

using namespace std::chrono_literals;

int& trims() {
  static int count = 0;
  return count;
}

class Corpse final : public Buried {};

struct Fixture {
  Fixture() { trims() = 0; }

  // A turn of the loop at the end of which `count` objects are gone.
  void turn(std::uint64_t count) {
    timers.run_due();
    for (std::uint64_t i = 0; i < count; ++i) {
      graveyard.bury(std::make_unique<Corpse>());
    }
    CHECK_FALSE(trimmer.on_turn_end());
    graveyard.clear();
  }
  void later(Duration after, std::uint64_t count = 0) {
    clock.advance(after);
    turn(count);
  }

  ManualClock clock;
  TimerQueue timers{clock};
  Graveyard graveyard;
  HeapTrimmer trimmer{timers, graveyard, []() noexcept { ++trims(); }};
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "nothing is trimmed, and nothing ticks, while nothing was destroyed") {
  turn(0);
  CHECK(timers.armed_count() == 0);
}

TEST_CASE_FIXTURE(Fixture, "one destroyed flow is worth one trim, a second later") {
  turn(1);
  CHECK(trims() == 0);
  later(999ms);
  CHECK(trims() == 0);
  later(1ms);
  CHECK(trims() == 1);
  CHECK(timers.armed_count() == 0);
  later(1h);
  CHECK(trims() == 1);
}

TEST_CASE_FIXTURE(Fixture, "a burst is waited for") {
  turn(1);
  for (int i = 0; i < 10; ++i) {
    later(500ms, HeapTrimmer::kBurst);
    later(500ms);
  }
  CHECK(trims() == 0);
  later(1s);
  CHECK(trims() == 1);
}

TEST_CASE_FIXTURE(Fixture, "what is destroyed while a trim is due makes no second one") {
  turn(1);
  later(500ms, HeapTrimmer::kBurst - 1);
  later(500ms);
  CHECK(trims() == 1);
  CHECK(timers.armed_count() == 0);
}

TEST_CASE_FIXTURE(Fixture, "the next flow is worth a trim again") {
  turn(1);
  later(1s, 1);
  later(1s);
  CHECK(trims() == 2);
}

}  // namespace l4n::sys
