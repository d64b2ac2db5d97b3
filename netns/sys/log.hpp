// Log: lines to one descriptor (stderr), with a level and a limit per class of message.
//
// A hostile guest can provoke messages; a class that repeats is cut to `kLinesPerSecond` and the number of
// suppressed lines is told once the second is over. Writing never blocks the data path for long and never
// fails loudly: a closed stderr is ignored.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace l4n::sys {

enum class LogLevel { error, warning, info, debug };

// What a message is about; the limit is per class.
enum class LogClass : std::uint8_t { general, frame, tcp, udp, dns, host, count };

class Log {
 public:
  static constexpr unsigned kLinesPerSecond = 10;

  explicit Log(int fd, LogLevel level = LogLevel::warning) noexcept : fd_(fd), level_(level) {}

  void set_level(LogLevel level) noexcept { level_ = level; }
  [[nodiscard]] bool enabled(LogLevel level) const noexcept { return level <= level_; }

  template <class... Args>
  void error(LogClass c, fmt::format_string<Args...> format, Args&&... args) {
    write(LogLevel::error, c, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void warning(LogClass c, fmt::format_string<Args...> format, Args&&... args) {
    write(LogLevel::warning, c, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void info(LogClass c, fmt::format_string<Args...> format, Args&&... args) {
    write(LogLevel::info, c, format, std::forward<Args>(args)...);
  }
  template <class... Args>
  void debug(LogClass c, fmt::format_string<Args...> format, Args&&... args) {
    write(LogLevel::debug, c, format, std::forward<Args>(args)...);
  }

  // A line of exactly this text, without level or limit: the messages that callers look for.
  void line(std::string_view text) noexcept;

 private:
  struct Limit {
    std::int64_t second = 0;
    unsigned lines = 0;
    unsigned suppressed = 0;
  };

  template <class... Args>
  void write(LogLevel level, LogClass c, fmt::format_string<Args...> format, Args&&... args) {
    if (enabled(level) && admit(c)) {
      labelled(level, fmt::format(format, std::forward<Args>(args)...));
    }
  }
  [[nodiscard]] bool admit(LogClass c) noexcept;
  void labelled(LogLevel level, std::string_view text) noexcept;

  int fd_;
  LogLevel level_;
  std::array<Limit, static_cast<std::size_t>(LogClass::count)> limits_{};
};

}  // namespace l4n::sys
