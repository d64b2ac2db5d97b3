// What is said on stdout once the TAP is there: the network's parameters, one per line. Users read them and
// scripts cut them out by column.
#pragma once

#include <string>

#include "cli/options.hpp"

namespace l4n::cli {

[[nodiscard]] std::string startup_text(const Options& options);

}  // namespace l4n::cli
