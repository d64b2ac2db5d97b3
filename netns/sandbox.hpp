// The sandbox: mount, IPC and UTS namespaces of the process's own, and nothing to see in them.
#pragma once

#include "netns/sys/result.hpp"

namespace l4n::netns {

enum class UserNamespace { keep, make };

// Moves the process into new namespaces, in which the root directory is an empty file system that cannot be
// written to, with the two empty directories etc and run (callers look for them), and leaves everything else
// of the old tree behind. Open descriptors stay.
//
// Needs CAP_SYS_ADMIN, or a user namespace made for the purpose: the process keeps its ids there, and has
// every capability in there but none outside. Needs /proc. To be called while the process has one thread.
//
// Errors: the step that failed ("sandbox: cannot …"), after which some steps are done and the process should
// end.
[[nodiscard]] sys::Result<void> enter_sandbox(UserNamespace user_namespace);

}  // namespace l4n::netns
