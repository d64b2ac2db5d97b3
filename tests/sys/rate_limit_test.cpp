#include "netns/sys/rate_limit.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace l4n::sys {

using namespace std::chrono_literals;

TEST_CASE("rate limit: so many in a period, and no more") {
  RateLimit limit(3, 5s);
  struct Row {
    Duration at;
    bool admitted;
  };
  const std::vector<Row> rows = {
      {10s, true},  {10s, true},  {11s, true},  {11s, false}, {14999ms, false},  // the period of 10 s
      {15s, true},  {16s, true},  {16s, true},  {16s, false},                    // a new one
      {100s, true}, {104s, true}, {105s, true}, {105s, true}, {106s, true},      // rest does not add up
  };
  for (const Row& row : rows) {
    CAPTURE(row.at.count());
    CHECK(limit.admit(Time(row.at)) == row.admitted);
  }
}

}  // namespace l4n::sys
