#include "netns/close_descriptors.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <string>

#include "tests/netns/child_process.hpp"

namespace l4n::netns {
namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

// Run in a child: it closes everything, and tells through the one descriptor that it keeps.
std::string close_all_but(int report) {
  const int low = ::dup2(report, 50);
  const int high = ::dup2(report, 900);
  const int other = ::dup2(report, 51);
  const std::array<int, 4> keep = {high, -1, report, low};
  close_descriptors_except(keep);
  if (!is_open(low) || !is_open(high) || !is_open(report)) {
    return "a kept descriptor was closed";
  }
  if (is_open(other) || is_open(0) || is_open(1) || is_open(2) || is_open(49) || is_open(899) ||
      is_open(901)) {
    return "another descriptor was left open";
  }
  detach_stdio();
  if (!is_open(0) || !is_open(1) || !is_open(2) || is_open(3) != (report == 3)) {
    return "stdio is not /dev/null";
  }
  return "";
}

std::string outcome_in_child(const std::function<std::string()>& prepare) {
  testing::Pipe pipe;
  const pid_t pid = ::fork();
  if (pid == 0) {
    const int report = ::dup2(pipe.write_end.get(), 60);
    std::string outcome = prepare();
    outcome += close_all_but(report);
    testing::write_all(report, outcome + "done");
    ::_exit(0);
  }
  pipe.write_end.reset();
  std::string outcome = testing::read_all(pipe.read_end.get());
  ::waitpid(pid, nullptr, 0);
  return outcome;
}

TEST_CASE("all descriptors but the named ones are closed") {
  CHECK(outcome_in_child([] { return std::string(); }) == "done");
}

TEST_CASE("a kernel without close_range") {
  const auto without = [] { return testing::inject_failure(SCMP_SYS(close_range), ENOSYS); };
  CHECK(outcome_in_child(without) == "done");
  // Without /proc as well.
  CHECK(outcome_in_child([&] {
          std::string error = without();
          return error + testing::inject_failure(SCMP_SYS(openat), EACCES);
        }) == "stdio is not /dev/nulldone");
}

}  // namespace
}  // namespace l4n::netns
