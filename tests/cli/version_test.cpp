#include "cli/version.hpp"

#include <doctest/doctest.h>
#include <seccomp.h>

#include <string>

#include "tests/cli/command_line.hpp"

namespace l4n::cli {
namespace {

std::string common_lines() {
  const scmp_version* const v = ::seccomp_version();
  return "commit: " + std::string(program_commit()) +
         "\nlwip: 2.2.1\nSLIRP_CONFIG_VERSION_MAX: 5\nlibseccomp: " + std::to_string(v->major) + "." +
         std::to_string(v->minor) + "." + std::to_string(v->micro) + "\n";
}

std::string own_text() {
  return "lwip4netns version " + std::string(program_version()) + "\nslirp4netns: 1.3.3\n" + common_lines();
}

std::string compatible_text() {
  return "slirp4netns version 1.3.3\nlwip4netns: " + std::string(program_version()) + "\n" + common_lines();
}

}  // namespace

TEST_CASE("version: the name that it is run under comes first") {
  for (const char* argv0 : {"slirp4netns", "/usr/bin/slirp4netns", "./slirp4netns"}) {
    CAPTURE(argv0);
    CHECK(version_text(argv0) == compatible_text());
  }
  for (const char* argv0 :
       {"lwip4netns", "/usr/bin/lwip4netns", "", "/", "slirp4netns/x", "xslirp4netns", "other"}) {
    CAPTURE(argv0);
    CHECK(version_text(argv0) == own_text());
  }
}

TEST_CASE("version: what the build defines is there") {
  CHECK_FALSE(program_version().empty());
  CHECK_FALSE(program_commit().empty());
}

TEST_CASE("version: the option prints it and ends") {
  for (const char* line :
       {"/bin/slirp4netns -v", "/bin/slirp4netns --version", "/bin/slirp4netns --vers 1 t x"}) {
    CAPTURE(line);
    const ParseOutcome outcome = test::parse_line(line);
    CHECK_FALSE(outcome.options.has_value());
    CHECK(outcome.exit_code == 0);
    CHECK(outcome.err.empty());
    CHECK(outcome.out == compatible_text());
  }
  CHECK(test::parse_line("lwip4netns -v --bogus").out == own_text());
}

}  // namespace l4n::cli
