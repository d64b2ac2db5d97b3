// `lwip4netns run`: one command in namespaces of its own, with network, and nothing left of it afterwards.
#pragma once

#include "cli/run_options.hpp"

namespace l4n::cli {

// The exit status of the process. Nothing is written to stdout.
[[nodiscard]] int run(const RunOptions& options);

}  // namespace l4n::cli
