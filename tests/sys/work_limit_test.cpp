#include "netns/sys/work_limit.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace l4n::sys {

using namespace std::chrono_literals;

TEST_CASE("work limit: half of the time, and a burst at once") {
  WorkLimit limit(10ms, 2);
  struct Row {
    Duration at;
    bool admitted;
    Duration spent;
  };
  const std::vector<Row> rows = {
      {1s, true, 6ms},         // 4 ms are left
      {1s, true, 6ms},         // more than was left
      {1s, false, 0ms},        //
      {1s + 4ms, false, 0ms},  // what was too much is made up for by as much again
      {1s + 6ms, true, 2ms},   //
      {2s, true, 10ms},        // rest does not add up
      {2s, false, 0ms},        //
      {2s + 2ms, true, 1h},    // it was stopped in the middle
      {2s + 20ms, false, 0ms}, {2s + 24ms, true, 0ms},
  };
  for (const Row& row : rows) {
    CAPTURE(row.at.count());
    CHECK(limit.admit(Time(row.at)) == row.admitted);
    limit.spend(row.spent);
  }
}

TEST_CASE("work limit: a fifth of the time") {
  WorkLimit limit(10ms, 5);
  CHECK(limit.admit(Time(1s)));
  limit.spend(11ms);
  CHECK_FALSE(limit.admit(Time(1s + 5ms)));
  CHECK(limit.admit(Time(1s + 6ms)));
}

TEST_CASE("work limit: what is given back may be used again, but not saved") {
  WorkLimit limit(10ms, 2);
  CHECK(limit.admit(Time(1s)));
  limit.spend(10ms);
  CHECK_FALSE(limit.admit(Time(1s)));
  limit.give_back(1ms);
  CHECK(limit.admit(Time(1s)));
  limit.give_back(1h);
  limit.spend(10ms);
  CHECK_FALSE(limit.admit(Time(1s)));
}

}  // namespace l4n::sys
