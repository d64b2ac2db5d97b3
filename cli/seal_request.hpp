// What the options want of netns::seal(), and what is said where it cannot be had.
#pragma once

#include "cli/options.hpp"
#include "netns/monitor.hpp"
#include "netns/seal.hpp"
#include "netns/sys/log.hpp"

namespace l4n::cli {

// Everything is tried; the options make it a must.
[[nodiscard]] netns::SealRequest seal_request(const Options& options, const netns::Monitor& monitor);

// netns::seal(), with a warning for each layer that is missing.
[[nodiscard]] sys::Result<void> seal_or_warn(const netns::SealRequest& request, sys::Log& log);

}  // namespace l4n::cli
