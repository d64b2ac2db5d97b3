// The API socket that the options ask for.
#pragma once

#include <optional>

#include "cli/options.hpp"
#include "netns/sys/result.hpp"
#include "netns/unix_listener.hpp"

namespace l4n::cli {

// Nothing when none is asked for. See netns::UnixListener for what may stand at its path before.
[[nodiscard]] sys::Result<std::optional<netns::UnixListener>> listen_for_api(const Options& options);

}  // namespace l4n::cli
