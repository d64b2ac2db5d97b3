#include "cli/seal_request.hpp"

namespace l4n::cli {

netns::SealRequest seal_request(const Options& options, const netns::Monitor& monitor) {
  netns::SealRequest request;
  request.sandbox = options.enable_sandbox;
  request.seccomp = options.enable_seccomp;
  request.monitor = monitor.pid();
  return request;
}

}  // namespace l4n::cli
