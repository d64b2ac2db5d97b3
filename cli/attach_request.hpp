// What the options mean for the guest's interface.
#pragma once

#include "cli/options.hpp"
#include "netns/attach.hpp"

namespace l4n::cli {

[[nodiscard]] netns::AttachRequest attach_request(const Options& options);

}  // namespace l4n::cli
