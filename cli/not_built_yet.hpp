// Options whose feature is still to come: they are parsed, then refused, because ignoring them would run the
// guest with less than its caller asked for. A feature that arrives takes its row away.
#pragma once

#include <string>

#include "cli/options.hpp"

namespace l4n::cli {

// One line for stderr about the first such option, or nothing when all that was asked for is there.
[[nodiscard]] std::string not_built_yet(const Options& options);

}  // namespace l4n::cli
