#include "netns/seal.hpp"

#include <sys/capability.h>
#include <sys/prctl.h>

#include <memory>
#include <type_traits>

#include "netns/resource_limits.hpp"
#include "netns/sandbox.hpp"
#include "netns/seccomp_policy.hpp"

namespace l4n::netns {
namespace {

struct FreeCapabilities {
  void operator()(cap_t caps) const noexcept { ::cap_free(caps); }
};
using Capabilities = std::unique_ptr<std::remove_pointer_t<cap_t>, FreeCapabilities>;

bool has(const Capabilities& held, cap_value_t capability, cap_flag_t set) noexcept {
  cap_flag_value_t value = CAP_CLEAR;
  return ::cap_get_flag(held.get(), capability, set, &value) == 0 && value == CAP_SET;
}

sys::Result<void> drop_capabilities(bool keep_bind) {
  const Capabilities kept(::cap_init());
  if (!kept) {
    return sys::errno_error("cannot drop the capabilities");
  }
  if (keep_bind) {
    const cap_value_t bind = CAP_NET_BIND_SERVICE;
    ::cap_set_flag(kept.get(), CAP_PERMITTED, 1, &bind, CAP_SET);
    ::cap_set_flag(kept.get(), CAP_EFFECTIVE, 1, &bind, CAP_SET);
  }
  if (::cap_set_proc(kept.get()) != 0) {
    return sys::errno_error("cannot drop the capabilities");
  }
  return {};
}

}  // namespace

sys::Result<void> seal(const SealRequest& request) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return sys::errno_error("cannot set no_new_privs");
  }
  const Capabilities held(::cap_get_proc());
  if (!held) {
    return sys::errno_error("cannot read the capabilities");
  }
  // A new user namespace would cost root its privileged ports, hence only where there is no other way. What
  // CAP_NET_BIND_SERVICE allowed before means nothing in there.
  const bool can_mount = has(held, CAP_SYS_ADMIN, CAP_EFFECTIVE);
  const bool needs_user_namespace = request.sandbox && !can_mount;
  if (request.sandbox) {
    const auto user_namespace = needs_user_namespace ? UserNamespace::make : UserNamespace::keep;
    if (auto entered = enter_sandbox(user_namespace); !entered) {
      return entered;
    }
  }
  const bool keep_bind = !needs_user_namespace && has(held, CAP_NET_BIND_SERVICE, CAP_PERMITTED);
  if (auto dropped = drop_capabilities(keep_bind); !dropped) {
    return dropped;
  }
  if (auto limited = limit_resources(); !limited) {
    return limited;
  }
  return request.seccomp ? install_seccomp({request.monitor, request.init}) : sys::Result<void>();
}

}  // namespace l4n::netns
