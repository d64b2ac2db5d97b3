#include "netns/sys/result.hpp"

#include <fmt/format.h>

#include <system_error>

namespace l4n::sys {

std::string Error::message() const {
  if (code == 0) {
    return what;
  }
  return fmt::format("{}: {}", what, errno_text(code));
}

Error errno_error(std::string_view what) { return {errno, std::string(what)}; }

Error errno_error(int code, std::string_view what) { return {code, std::string(what)}; }

Error plain_error(std::string_view what) { return {0, std::string(what)}; }

std::string errno_text(int code) { return std::generic_category().message(code); }

}  // namespace l4n::sys
