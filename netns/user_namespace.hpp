// A child in new namespaces of its own, made without privileges where there are none.
#pragma once

#include <sys/types.h>

#include <string>

#include "netns/sys/result.hpp"

namespace l4n::netns {

// Who we are, seen from outside: to be asked before a user namespace is entered.
struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;

  [[nodiscard]] static Identity current() noexcept;
};

// How a fork into new namespaces went; as fork(2), `pid` is 0 in the child.
struct NewNamespaces {
  pid_t pid = 0;
  // The child starts as nobody in a new user namespace: map_to_root() makes it root there. Without, it has
  // the ids and the rights of its parent.
  bool user_namespace = false;
};

// fork() into new PID (the child is the first process there), mount and network namespaces. Root makes them
// as it is; everyone else, and a root without CAP_SYS_ADMIN, in a new user namespace. To be called while the
// process has one thread.
[[nodiscard]] sys::Result<NewNamespaces> fork_into_namespaces();

// In that child: 0 there is `outside`, and nobody else exists. Needs /proc.
[[nodiscard]] sys::Result<void> map_to_root(const Identity& outside);

// In a process that has entered a new user namespace: it keeps its ids, and nobody else exists. Needs /proc.
[[nodiscard]] sys::Result<void> map_to_themselves(const Identity& outside);

// What the administrator has to change when namespaces could not be made because of errno `code`: one line,
// or nothing where we cannot tell. `proc_sys` is where the settings are read.
[[nodiscard]] std::string namespace_advice(int code, const std::string& proc_sys = "/proc/sys");

}  // namespace l4n::netns
