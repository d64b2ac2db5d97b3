#include "netns/seal.hpp"

#include <sys/capability.h>
#include <sys/prctl.h>

#include <array>
#include <functional>
#include <memory>
#include <type_traits>

#include "netns/landlock.hpp"
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

sys::Result<void> isolate(Want want, bool can_mount, bool can_bind) {
  if (can_mount) {
    return enter_sandbox(UserNamespace::keep);
  }
  if (can_bind && want != Want::always) {
    return sys::plain_error("sandbox: it would take a user namespace, and with it the privileged ports");
  }
  return enter_sandbox(UserNamespace::make);
}

sys::Result<void> renounce_privileges() {
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? sys::Result<void>()
                                                       : sys::errno_error("cannot set no_new_privs");
}

struct Step {
  Want want;
  std::function<sys::Result<void>()> take;
};

}  // namespace

sys::Result<MissingLayers> seal(const SealRequest& request) {
  const Capabilities held(::cap_get_proc());
  if (!held) {
    return sys::errno_error("cannot read the capabilities");
  }
  // A new user namespace would cost root its privileged ports, hence only where there is no other way. What
  // CAP_NET_BIND_SERVICE allowed before means nothing in there.
  const bool can_mount = has(held, CAP_SYS_ADMIN, CAP_EFFECTIVE);
  const bool can_bind = has(held, CAP_NET_BIND_SERVICE, CAP_PERMITTED);
  const bool leaves_ports = !can_mount && request.sandbox == Want::always;
  const auto steps = std::to_array<Step>({
      {Want::always, renounce_privileges},
      {request.sandbox, [&] { return isolate(request.sandbox, can_mount, can_bind); }},
      {request.sandbox, deny_files},
      {Want::always, [&] { return drop_capabilities(can_bind && !leaves_ports); }},
      {Want::always, [] { return limit_resources(); }},
      {request.seccomp,
       [&] {
         return install_seccomp({request.monitor, request.init});
       }},
  });
  MissingLayers missing;
  for (const Step& step : steps) {
    const auto taken = step.want == Want::no ? sys::Result<void>() : step.take();
    if (taken) {
      continue;
    }
    if (step.want == Want::always) {
      return taken.error();
    }
    missing.push_back(taken.error());
  }
  return missing;
}

}  // namespace l4n::netns
