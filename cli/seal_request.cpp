#include "cli/seal_request.hpp"

namespace l4n::cli {

netns::SealRequest seal_request(const Options& options, const netns::Monitor& monitor) {
  const auto want = [](bool demanded) { return demanded ? netns::Want::always : netns::Want::if_possible; };
  netns::SealRequest request;
  request.sandbox = want(options.enable_sandbox);
  request.seccomp = want(options.enable_seccomp);
  request.monitor = monitor.pid();
  return request;
}

sys::Result<void> seal_or_warn(const netns::SealRequest& request, sys::Log& log) {
  const auto missing = netns::seal(request);
  if (!missing) {
    return missing.error();
  }
  for (const sys::Error& error : *missing) {
    log.warning(sys::LogClass::general, "{}; going on without", error.message());
  }
  return {};
}

}  // namespace l4n::cli
