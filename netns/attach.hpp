// Joins the target in a child process and brings its TAP device back.
//
// Only the child ever lives in the guest's namespaces. It sends the descriptor over a socket and ends; the
// caller stays where it is.
#pragma once

#include <optional>
#include <string>

#include "netns/configure.hpp"
#include "netns/sys/result.hpp"
#include "netns/tap.hpp"
#include "netns/target.hpp"

namespace l4n::netns {

struct AttachRequest {
  Target target;
  std::string tap_name;
  std::optional<InterfaceConfig> configure;  // nothing (no `-c`): the interface is left as it is
  int report_fd = 2;                         // "sent tapfd=…", "received tapfd=…" and the failing step
  bool announce = true;                      // false: only a failing step is told
};

struct Attached {
  Tap tap;
  WatchedTarget target;  // for start_monitor()
};

// To be called while the process has one thread. A failure has already been told on `report_fd` by one line
// that names the step; the Error is then "child failed(1)", the line that callers expect to follow.
[[nodiscard]] sys::Result<Attached> attach(const AttachRequest& request);

}  // namespace l4n::netns
