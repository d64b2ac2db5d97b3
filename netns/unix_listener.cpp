#include "netns/unix_listener.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

namespace l4n::netns {
namespace {

using sys::Result;

// Long: a client that does not want to wait gets EAGAIN when the queue is full, and takes it for a failure.
constexpr int kBacklog = 1024;
constexpr mode_t kOnlyOwner = 0177;  // as umask: leaves 0600

struct UnixAddress {
  sockaddr_un name{};
  socklen_t length = 0;

  [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&name); }
};

std::optional<UnixAddress> unix_address(const std::string& path) noexcept {
  UnixAddress address;
  if (path.size() >= sizeof address.name.sun_path) {
    return std::nullopt;
  }
  address.name.sun_family = AF_UNIX;
  std::memcpy(address.name.sun_path, path.c_str(), path.size() + 1);
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

// Only "connection refused" says that nobody listens: a full queue, another type of socket or a lack of
// permission say that somebody may.
bool somebody_listens(const UnixAddress& address, int type) noexcept {
  const sys::Fd probe(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return !probe.valid() || ::connect(probe.get(), address.get(), address.length) == 0 ||
         errno != ECONNREFUSED;
}

Result<void> clear_the_way(const std::string& path, const UnixAddress& address, int type) {
  struct stat s {};
  if (::lstat(path.c_str(), &s) != 0) {
    return errno == ENOENT ? Result<void>() : sys::errno_error(fmt::format("cannot look at {}", path));
  }
  if (!S_ISSOCK(s.st_mode)) {
    return sys::plain_error(fmt::format("{} exists and is not a socket", path));
  }
  if (s.st_uid != ::geteuid()) {
    return sys::plain_error(fmt::format("{} is a socket of another user", path));
  }
  if (somebody_listens(address, type)) {
    return sys::plain_error(fmt::format("another process listens on {}", path));
  }
  if (::unlink(path.c_str()) != 0) {
    return sys::errno_error(fmt::format("cannot replace {}", path));
  }
  return {};
}

// With the mode from the first moment on: a chmod() would come too late for somebody who watches.
int bind_for_owner(int fd, const UnixAddress& address) noexcept {
  const mode_t before = ::umask(kOnlyOwner);
  const int outcome = ::bind(fd, address.get(), address.length);
  const int code = errno;
  ::umask(before);
  errno = code;
  return outcome;
}

// The same file for another process, which has other descriptors (/proc/self/fd/N/socket) and another working
// directory.
std::string path_for_all(const std::string& path) {
  std::error_code code;
  const auto absolute = std::filesystem::absolute(path, code);
  const auto directory = std::filesystem::canonical(absolute.parent_path(), code);
  return (code ? absolute : directory / absolute.filename()).string();
}

Result<SocketFile> identify(const std::string& path) {
  SocketFile file;
  file.path = path_for_all(path);
  struct stat s {};
  if (::lstat(path.c_str(), &s) != 0) {
    return sys::errno_error(fmt::format("cannot look at {}", path));
  }
  file.device = s.st_dev;
  file.inode = s.st_ino;
  return file;
}

bool still_there(const SocketFile& file) noexcept {
  struct stat s {};
  return ::lstat(file.path.c_str(), &s) == 0 && S_ISSOCK(s.st_mode) && s.st_dev == file.device &&
         s.st_ino == file.inode;
}

}  // namespace

void remove_socket_file(const SocketFile& file) noexcept {
  if (!still_there(file)) {
    return;
  }
  // A file system may give the number of a removed file to the next one: to the socket of another run, say,
  // which has replaced ours. That one has a listener, and a probe of any type tells.
  const auto address = unix_address(file.path);
  if (address && somebody_listens(*address, SOCK_STREAM)) {
    return;
  }
  ::unlink(file.path.c_str());
}

Result<UnixListener> UnixListener::listen(const std::string& path, int type) {
  const auto address = unix_address(path);
  if (!address) {
    return sys::errno_error(ENAMETOOLONG, fmt::format("cannot listen on {}", path));
  }
  if (auto cleared = clear_the_way(path, *address, type); !cleared) {
    return cleared.error();
  }
  sys::Fd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid() || bind_for_owner(fd.get(), *address) != 0) {
    return sys::errno_error(fmt::format("cannot listen on {}", path));
  }
  auto file = identify(path);
  if (!file) {
    return file.error();
  }
  UnixListener listener(std::move(fd), *std::move(file));
  if (::listen(listener.fd(), kBacklog) != 0) {
    return sys::errno_error(fmt::format("cannot listen on {}", path));
  }
  return listener;
}

UnixListener::~UnixListener() {
  if (!file_.path.empty()) {
    fd_.reset();  // first: a socket with a listener is not removed
    if (removes_file_) {
      remove_socket_file(file_);
    }
  }
}

}  // namespace l4n::netns
