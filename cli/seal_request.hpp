// What the options want of netns::seal().
#pragma once

#include "cli/options.hpp"
#include "netns/monitor.hpp"
#include "netns/seal.hpp"

namespace l4n::cli {

[[nodiscard]] netns::SealRequest seal_request(const Options& options, const netns::Monitor& monitor);

}  // namespace l4n::cli
