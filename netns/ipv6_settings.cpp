#include "netns/ipv6_settings.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "netns/sys/fd.hpp"

namespace l4n::netns {
namespace {

using sys::Result;

constexpr char kSettings[] = "/proc/sys/net/ipv6";

std::string setting(const std::string& interface, const char* name) {
  return fmt::format("{}/conf/{}/{}", kSettings, interface, name);
}

// What can be read here is one digit.
bool reads_zero(const std::string& path) noexcept {
  const sys::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char digit = 0;
  return fd.valid() && ::read(fd.get(), &digit, 1) == 1 && digit == '0';
}

// 0 or an errno value.
int write_zero(const std::string& path) noexcept {
  const sys::Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd.valid() && ::write(fd.get(), "0", 1) == 1 ? 0 : errno;
}

}  // namespace

Result<void> enable_ipv6(const std::string& interface) {
  if (::access(kSettings, F_OK) != 0) {
    return sys::plain_error(
        fmt::format("cannot enable IPv6 on {} (this kernel has none: no {})", interface, kSettings));
  }
  const std::string disabled = setting(interface, "disable_ipv6");
  // Read first: in many a container /proc/sys cannot be written to, and nothing needs to be.
  if (reads_zero(disabled)) {
    return {};
  }
  if (const int code = write_zero(disabled); code != 0) {
    return sys::errno_error(code, fmt::format("cannot enable IPv6 on {}: {}", interface, disabled));
  }
  return {};
}

void skip_duplicate_detection(const std::string& interface) noexcept {
  static_cast<void>(write_zero(setting(interface, "accept_dad")));
}

void skip_autoconfiguration(const std::string& interface) noexcept {
  static_cast<void>(write_zero(setting(interface, "autoconf")));
}

}  // namespace l4n::netns
