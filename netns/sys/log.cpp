#include "netns/sys/log.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <string>

namespace l4n::sys {
namespace {

const char* level_name(LogLevel level) {
  switch (level) {
    case LogLevel::error:
      return "error";
    case LogLevel::warning:
      return "warning";
    case LogLevel::info:
      return "info";
    case LogLevel::debug:
      return "debug";
  }
  return "?";
}

}  // namespace

bool Log::admit(LogClass c) noexcept {
  using std::chrono::duration_cast;
  using std::chrono::seconds;
  using std::chrono::steady_clock;
  Limit& limit = limits_.at(static_cast<std::size_t>(c));
  const std::int64_t second = duration_cast<seconds>(steady_clock::now().time_since_epoch()).count();
  if (second != limit.second) {
    const unsigned suppressed = std::exchange(limit.suppressed, 0);
    limit.second = second;
    limit.lines = 0;
    if (suppressed > 0) {
      labelled(LogLevel::warning, fmt::format("{} similar messages suppressed", suppressed));
    }
  }
  if (limit.lines >= kLinesPerSecond) {
    ++limit.suppressed;
    return false;
  }
  ++limit.lines;
  return true;
}

void Log::labelled(LogLevel level, std::string_view text) noexcept {
  line(fmt::format("{}: {}", level_name(level), text));
}

void Log::line(std::string_view text) noexcept {
  const std::string out = fmt::format("{}\n", text);
  // A lost log line is not worth an error: there is nowhere left to report it.
  [[maybe_unused]] const ssize_t written = ::write(fd_, out.data(), out.size());
}

}  // namespace l4n::sys
