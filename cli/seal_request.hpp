// What the options want of netns::seal().
#pragma once

#include "cli/options.hpp"
#include "netns/monitor.hpp"
#include "netns/seal.hpp"

namespace l4n::cli {

// Whether the process sees no file system after seal(), so that the monitor has to remove what is left there.
[[nodiscard]] bool seals_files(const Options& options) noexcept;

[[nodiscard]] netns::SealRequest seal_request(const Options& options, const netns::Monitor& monitor);

}  // namespace l4n::cli
