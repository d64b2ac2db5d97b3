// The numbers of the API request "stats": a pure function from a snapshot to JSON, whose names are told in
// the manual page and stay.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>

#include "nat/stats.hpp"

namespace l4n::cli {

struct StatsSnapshot {
  nat::Stats network;
  // Of this process: open ones, and as many as it may have.
  std::size_t descriptors = 0;
  std::size_t most_descriptors = 0;
};

[[nodiscard]] nlohmann::ordered_json to_json(const StatsSnapshot& snapshot);

}  // namespace l4n::cli
