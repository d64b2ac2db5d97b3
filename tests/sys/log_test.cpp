#include "netns/sys/log.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "tests/sys/pipe.hpp"

namespace l4n::sys {
namespace {

using std::chrono::steady_clock;
using test::Pipe;

std::int64_t current_second() {
  return std::chrono::duration_cast<std::chrono::seconds>(steady_clock::now().time_since_epoch()).count();
}

void sleep_until_next_second() {
  const auto next = std::chrono::ceil<std::chrono::seconds>(steady_clock::now().time_since_epoch());
  std::this_thread::sleep_until(steady_clock::time_point(next));
}

// Runs `action` within one second of the log's clock, however busy the machine is.
template <class Action>
void within_one_second(Action action) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    sleep_until_next_second();
    const std::int64_t before = current_second();
    action();
    if (current_second() == before) {
      return;
    }
  }
  FAIL("the machine is too busy");
}

std::int64_t count_lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

}  // namespace

TEST_CASE("log: only what the level allows is written") {
  struct Row {
    LogLevel level;
    std::string written;
  };
  const std::vector<Row> rows = {
      {LogLevel::error, "error: e 1\n"},
      {LogLevel::warning, "error: e 1\nwarning: w 2\n"},
      {LogLevel::info, "error: e 1\nwarning: w 2\ninfo: i 3\n"},
      {LogLevel::debug, "error: e 1\nwarning: w 2\ninfo: i 3\ndebug: d 4\n"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.written);
    const Pipe pipe;
    Log log(pipe.writer.get());
    log.set_level(row.level);
    log.error(LogClass::general, "e {}", 1);
    log.warning(LogClass::general, "w {}", 2);
    log.info(LogClass::general, "i {}", 3);
    log.debug(LogClass::general, "d {}", 4);
    CHECK(pipe.take() == row.written);
    CHECK(log.enabled(row.level));
    CHECK(log.enabled(LogLevel::error));
    CHECK(log.enabled(LogLevel::debug) == (row.level == LogLevel::debug));
  }
}

TEST_CASE("log: the default level is warning") {
  const Pipe pipe;
  const Log log(pipe.writer.get());
  CHECK(log.enabled(LogLevel::warning));
  CHECK_FALSE(log.enabled(LogLevel::info));
}

TEST_CASE("log: a plain line has neither level nor limit") {
  const Pipe pipe;
  Log log(pipe.writer.get(), LogLevel::error);
  for (unsigned i = 0; i < 3 * Log::kLinesPerSecond; ++i) {
    log.line("sent tapfd=5 for tap0 {}");
  }
  const std::string text = pipe.take();
  CHECK(count_lines(text) == 3 * Log::kLinesPerSecond);
  CHECK(text.starts_with("sent tapfd=5 for tap0 {}\nsent"));
}

TEST_CASE("log: a class that repeats is cut, the others are not") {
  std::string text;
  within_one_second([&] {
    const Pipe pipe;
    Log log(pipe.writer.get());
    for (int i = 0; i < 25; ++i) {
      log.warning(LogClass::tcp, "tcp {}", i);
      log.info(LogClass::udp, "below the level {}", i);
    }
    log.warning(LogClass::udp, "udp");
    log.error(LogClass::tcp, "even an error");
    text = pipe.take();
  });
  CHECK(count_lines(text) == Log::kLinesPerSecond + 1);
  CHECK(text.ends_with("warning: tcp 9\nwarning: udp\n"));
}

TEST_CASE("log: the suppressed lines are counted once, when the class speaks again") {
  const Pipe pipe;
  Log log(pipe.writer.get());
  within_one_second([&] {
    log = Log(pipe.writer.get());
    for (int i = 0; i < 25; ++i) {
      log.warning(LogClass::dns, "dns {}", i);
    }
  });
  static_cast<void>(pipe.take());
  within_one_second([&] { log.warning(LogClass::frame, "another class"); });
  CHECK(pipe.take().find("suppressed") == std::string::npos);
  sleep_until_next_second();
  log.warning(LogClass::dns, "again");
  CHECK(pipe.take() == "warning: 15 similar messages suppressed\nwarning: again\n");
  sleep_until_next_second();
  log.warning(LogClass::dns, "and again");
  CHECK(pipe.take() == "warning: and again\n");
}

TEST_CASE("log: a descriptor that takes nothing is no error") {
  Log closed(-1);
  closed.error(LogClass::general, "lost");
  closed.line("lost");
  const Pipe pipe;
  Log full(pipe.writer.get());
  const std::string kilobyte(1024, 'x');
  for (int i = 0; i < 200; ++i) {
    full.line(kilobyte);  // would block for ever, if it did
  }
  CHECK(pipe.take().size() > kilobyte.size());
}

}  // namespace l4n::sys
