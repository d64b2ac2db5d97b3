#include "netns/target.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <string>

namespace l4n::netns {
namespace {

TEST_CASE("/proc/PID/stat is parsed, whatever the command's name") {
  const std::string rest = " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21\n";
  struct Case {
    std::string text;
    char state;
  };
  const Case cases[] = {
      {"42 (sleep) S" + rest, 'S'},
      {"42 (a b) c) Z" + rest, 'Z'},
      {"42 () R) R 1) R" + rest, 'R'},
      {"42 () X" + rest, 'X'},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const auto stat = parse_process_stat(c.text);
    REQUIRE(stat);
    CHECK(stat->state == c.state);
    CHECK(stat->start_time == 4711);
    CHECK(stat->ended() == (c.state == 'Z' || c.state == 'X'));
  }
  for (const char* bad : {"", "42", "42 (x", "42 (x)", "42 (x) ", "42 (x) S", "42 (x) S 1 2 3",
                          "42 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_process_stat(bad));
  }
}

TEST_CASE("the exit status is the last field, which an ending process shows") {
  const std::string to_start_time = "42 (x) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711";
  CHECK(parse_process_stat(to_start_time + " 0 0 159\n")->exit_status == 159);
  CHECK(parse_process_stat(to_start_time + " 7 0\n")->exit_status == 0);
  CHECK(parse_process_stat(to_start_time + " 7 x\n")->exit_status == 0);
}

TEST_CASE("a live process has a start time that does not change") {
  const auto first = read_process_stat(::getpid());
  REQUIRE(first);
  CHECK_FALSE(first->ended());
  CHECK(first->start_time > 0);
  CHECK(read_process_stat(::getpid())->start_time == first->start_time);
}

TEST_CASE("opening a target tells the file that fails") {
  Target none;
  none.pid = 0x3fffffff;  // beyond the largest possible PID
  auto opened = open_target(none);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().message() == "/proc/1073741823/ns/net: No such file or directory");

  Target path;
  path.kind = Target::Kind::path;
  path.netns_path = "/nonexistent/netns";
  opened = open_target(path);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().message() == "/nonexistent/netns: No such file or directory");

  path.userns_path = "/nonexistent/userns";
  opened = open_target(path);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().message() == "/nonexistent/userns: No such file or directory");
}

// Opening joins nothing: the test's own namespace will do.
TEST_CASE("an opened target carries the identity of its namespace") {
  Target self;
  self.pid = ::getpid();
  auto by_pid = open_target(self);
  REQUIRE(by_pid);
  Target path;
  path.kind = Target::Kind::path;
  path.netns_path = "/proc/" + std::to_string(::getppid()) + "/ns/net";
  auto by_path = open_target(path);
  REQUIRE(by_path);
  CHECK(by_pid->watched.netns == by_path->watched.netns);
  CHECK(by_pid->watched.netns.ino != 0);
  CHECK(by_path->watched.path_is_public);
  CHECK_FALSE(by_path->watched.pidfd.valid());

  path.netns_path = "/proc/self/ns/net";
  by_path = open_target(path);
  REQUIRE(by_path);
  CHECK_FALSE(by_path->watched.path_is_public);
}

}  // namespace
}  // namespace l4n::netns
