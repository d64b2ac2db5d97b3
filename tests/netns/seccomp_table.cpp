// Prints the table of system calls for tests/e2e/test_syscalls.py: a line for each rule that this machine has
// a call for, with its fields set apart by tabs: call, errno value or 0, need, tests as "index:mask:value …",
// reason.
//   usage: seccomp_table worker|supervisor
#include <fmt/format.h>
#include <seccomp.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "netns/seccomp_policy.hpp"

namespace {

using namespace l4n::netns;

constexpr pid_t kChild = 0x3ffffffe;  // the monitor, and the init of `run`; beyond the largest possible PID

std::string_view text(Need need) {
  switch (need) {
    case Need::everywhere:
      return "everywhere";
    case Need::by_library:
      return "by_library";
    case Need::in_trouble:
      return "in_trouble";
  }
  return "?";
}

bool sends_signal(std::string_view call) { return call.ends_with("kill"); }

// The receiver of a signal by what it means, for it has another PID in every process.
std::string value_of(const SeccompRule& rule, const ArgumentTest& test) {
  if (sends_signal(rule.call) && test.index == 0 && test.value != 0) {
    return test.value == kChild ? "child" : "self";
  }
  return fmt::format("{:#x}", test.value);
}

std::string tests_of(const SeccompRule& rule) {
  std::string tests;
  for (const ArgumentTest& test : rule.tests) {
    tests +=
        fmt::format("{}{}:{:#x}:{}", tests.empty() ? "" : " ", test.index, test.mask, value_of(rule, test));
  }
  return tests;
}

}  // namespace

int main(int argc, char** argv) {
  SeccompRequest request{kChild, std::nullopt};
  if (argc == 2 && std::string_view(argv[1]) == "supervisor") {
    request.init = kChild;
  }
  for (const SeccompRule& rule : seccomp_policy(request)) {
    if (::seccomp_syscall_resolve_name(rule.call) >= 0) {
      fmt::print("{}\t{}\t{}\t{}\t{}\n", rule.call, rule.error, text(rule.need), tests_of(rule), rule.why);
    }
  }
  return 0;
}
