// The system calls that the sealed worker may make: an allow-list with a reason for every entry.
//
// Any other call kills the process. Calls that a C library may try although it has another way to do the same
// fail with an errno value instead. A new feature that needs a call or a socket option after seal() adds an
// entry here; tests/netns/seccomp_policy_test.cpp makes every call.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "netns/sys/result.hpp"

namespace l4n::netns {

// Where a call is made. A rule that is needed everywhere but that nobody uses is one too many:
// tests/e2e/test_syscalls.py watches the program and compares.
enum class Need : std::uint8_t {
  everywhere,  // by the program itself, in its ordinary work
  by_library,  // by one C library or another, as it pleases
  in_trouble,  // when something has failed
};

// (argument & mask) == value
struct ArgumentTest {
  unsigned index = 0;
  std::uint64_t mask = 0;
  std::uint64_t value = 0;
};

struct SeccompRule {
  const char* call =
      nullptr;  // the name that libseccomp has for it; one that the architecture lacks is skipped
  std::vector<ArgumentTest> tests{};  // at most one per argument; all must hold
  int error = 0;                      // 0: allowed; else the errno value with which the call fails
  const char* why = nullptr;
  Need need = Need::everywhere;
};

struct SeccompRequest {
  pid_t monitor = -1;           // may be killed, should it hang
  std::optional<pid_t> init{};  // of `run`; with it the calls of its supervisor are allowed
};

// The policy for the calling process, whose own PID is part of it.
[[nodiscard]] std::vector<SeccompRule> seccomp_policy(const SeccompRequest& request);

// Enforces seccomp_policy() on the process from now on. Needs no_new_privs. Errors: "seccomp: cannot …".
[[nodiscard]] sys::Result<void> install_seccomp(const SeccompRequest& request);
// The same with another policy.
[[nodiscard]] sys::Result<void> install_seccomp(std::span<const SeccompRule> policy);

}  // namespace l4n::netns
