#include "netns/seal.hpp"

#include <sys/capability.h>
#include <sys/prctl.h>

#include <memory>
#include <type_traits>

namespace l4n::netns {
namespace {

struct FreeCapabilities {
  void operator()(cap_t caps) const noexcept { ::cap_free(caps); }
};
using Capabilities = std::unique_ptr<std::remove_pointer_t<cap_t>, FreeCapabilities>;

sys::Result<void> drop_capabilities() {
  const Capabilities held(::cap_get_proc());
  const Capabilities kept(::cap_init());
  if (!held || !kept) {
    return sys::errno_error("cannot read the capabilities");
  }
  const cap_value_t bind = CAP_NET_BIND_SERVICE;
  cap_flag_value_t has_bind = CAP_CLEAR;
  if (::cap_get_flag(held.get(), bind, CAP_PERMITTED, &has_bind) == 0 && has_bind == CAP_SET) {
    ::cap_set_flag(kept.get(), CAP_PERMITTED, 1, &bind, CAP_SET);
    ::cap_set_flag(kept.get(), CAP_EFFECTIVE, 1, &bind, CAP_SET);
  }
  if (::cap_set_proc(kept.get()) != 0) {
    return sys::errno_error("cannot drop the capabilities");
  }
  return {};
}

}  // namespace

sys::Result<void> seal() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return sys::errno_error("cannot set no_new_privs");
  }
  return drop_capabilities();
}

}  // namespace l4n::netns
