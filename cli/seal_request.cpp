#include "cli/seal_request.hpp"

namespace l4n::cli {

bool seals_files(const Options& options) noexcept { return options.enable_sandbox || options.enable_seccomp; }

netns::SealRequest seal_request(const Options& options, const netns::Monitor& monitor) {
  netns::SealRequest request;
  request.sandbox = options.enable_sandbox;
  request.seccomp = options.enable_seccomp;
  request.monitor = monitor.pid();
  return request;
}

}  // namespace l4n::cli
