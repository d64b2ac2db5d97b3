// Real sockets in a directory of the test's own. Needs root for the part with another user.
#include "netns/unix_listener.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "tests/netns/temporary_directory.hpp"

namespace l4n::netns {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryDirectory;
using testing::write_text;

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return address;
}

// 0 or errno.
int connect_to(const std::string& path, int type = SOCK_STREAM) {
  const sockaddr_un address = address_of(path);
  const sys::Fd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

sys::Fd bound_socket(const std::string& path, int type = SOCK_STREAM) {
  const sockaddr_un address = address_of(path);
  sys::Fd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

// As a run that was killed leaves it.
void leave_stale_socket(const std::string& path) { bound_socket(path); }

std::string listen_error(const std::string& path) {
  auto listener = UnixListener::listen(path, SOCK_STREAM);
  return listener ? "" : listener.error().message();
}

// Device and inode are what identifies a file.
bool is_same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

struct stat look_at(const std::string& path) {
  struct stat s {};
  REQUIRE(::lstat(path.c_str(), &s) == 0);
  return s;
}

TEST_CASE("a listener is for its owner only, and its file goes with it") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("socket");
  const mode_t before = ::umask(0);
  {
    auto listener = UnixListener::listen(path, SOCK_STREAM);
    REQUIRE(listener);
    const struct stat s = look_at(path);
    CHECK(S_ISSOCK(s.st_mode));
    CHECK((s.st_mode & 07777) == 0600);
    CHECK(connect_to(path) == 0);
    CHECK(listener->file().path == path);
  }
  CHECK_FALSE(fs::exists(fs::symlink_status(path)));
  CHECK(::umask(before) == 0);
}

TEST_CASE("the listener's type is what was asked for") {
  const TemporaryDirectory directory;
  auto listener = UnixListener::listen(directory.file("socket"), SOCK_SEQPACKET);
  REQUIRE(listener);
  CHECK(connect_to(directory.file("socket"), SOCK_SEQPACKET) == 0);
  CHECK(connect_to(directory.file("socket"), SOCK_STREAM) == EPROTOTYPE);
}

TEST_CASE("a moved listener removes its file once, at its end") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("socket");
  std::optional<UnixListener> kept;
  {
    auto listener = UnixListener::listen(path, SOCK_STREAM);
    REQUIRE(listener);
    kept.emplace(*std::move(listener));
  }
  CHECK(connect_to(path) == 0);
  kept.reset();
  CHECK_FALSE(fs::exists(path));
}

TEST_CASE("a socket that nobody listens on is replaced") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("socket");
  leave_stale_socket(path);
  CHECK(connect_to(path) == ECONNREFUSED);
  auto listener = UnixListener::listen(path, SOCK_STREAM);
  REQUIRE(listener);
  CHECK(connect_to(path) == 0);
}

TEST_CASE("a socket that somebody listens on stays") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("socket");
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET}) {
    const sys::Fd other = bound_socket(path, type);
    REQUIRE(::listen(other.get(), 0) == 0);
    CHECK(listen_error(path) == "another process listens on " + path);
    CHECK(connect_to(path, type) != ECONNREFUSED);
    fs::remove(path);
  }
  const sys::Fd datagrams = bound_socket(path, SOCK_DGRAM);
  CHECK(listen_error(path) == "another process listens on " + path);
}

TEST_CASE("a listener whose queue is full is a listener") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("socket");
  const sys::Fd other = bound_socket(path);
  REQUIRE(::listen(other.get(), 0) == 0);
  const sockaddr_un address = address_of(path);
  const sys::Fd waiting(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(waiting.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(connect_to(path) == EAGAIN);
  CHECK(listen_error(path) == "another process listens on " + path);
}

TEST_CASE("what is no socket is never replaced") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("socket");
  const std::string refused = path + " exists and is not a socket";
  SUBCASE("a file") {
    write_text(path, "precious");
    CHECK(listen_error(path) == refused);
    CHECK(fs::file_size(path) == 8);
  }
  SUBCASE("a directory") {
    fs::create_directory(path);
    CHECK(listen_error(path) == refused);
    CHECK(fs::is_directory(path));
  }
  SUBCASE("a symbolic link to a file") {
    write_text(directory.file("target"), "precious");
    fs::create_symlink(directory.file("target"), path);
    CHECK(listen_error(path) == refused);
    CHECK(fs::file_size(directory.file("target")) == 8);
    CHECK(fs::is_symlink(path));
  }
  SUBCASE("a symbolic link to a stale socket") {
    leave_stale_socket(directory.file("target"));
    fs::create_symlink(directory.file("target"), path);
    CHECK(listen_error(path) == refused);
    CHECK(fs::is_socket(directory.file("target")));
  }
  SUBCASE("a symbolic link to nothing") {
    fs::create_symlink(directory.file("target"), path);
    CHECK(listen_error(path) == refused);
    CHECK_FALSE(fs::exists(directory.file("target")));
  }
}

TEST_CASE("another user's socket is never replaced") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("socket");
  leave_stale_socket(path);
  REQUIRE(::chown(path.c_str(), 65534, 65534) == 0);
  CHECK(listen_error(path) == path + " is a socket of another user");
  CHECK(fs::is_socket(path));
}

TEST_CASE("paths that cannot be listened on") {
  const TemporaryDirectory directory;
  CHECK(listen_error("/nonexistent/socket") ==
        "cannot listen on /nonexistent/socket: No such file or directory");
  const std::string longest(107, 'a');
  CHECK(listen_error(longest + "a") == "cannot listen on " + longest + "a: File name too long");
  write_text(directory.file("file"), "");
  CHECK(listen_error(directory.file("file/socket")) ==
        "cannot look at " + directory.file("file/socket") + ": Not a directory");
}

TEST_CASE("the file is removed from another working directory too") {
  const TemporaryDirectory directory;
  const fs::path before = fs::current_path();
  fs::current_path(directory.file("."));
  {
    auto listener = UnixListener::listen("socket", SOCK_STREAM);
    fs::current_path(before);
    REQUIRE(listener);
    CHECK(fs::is_socket(directory.file("socket")));
  }
  CHECK_FALSE(fs::exists(directory.file("socket")));
}

TEST_CASE("the file is removed without the descriptor or the link by which it was named") {
  const TemporaryDirectory directory;
  sys::Fd fd(::open(directory.file(".").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  REQUIRE(fd.valid());
  fs::create_directory_symlink(directory.file("."), directory.file("link"));
  for (const std::string& way : {"/proc/self/fd/" + std::to_string(fd.get()), directory.file("link")}) {
    CAPTURE(way);
    auto made = UnixListener::listen(way + "/socket", SOCK_STREAM);
    REQUIRE(made);
    std::optional<UnixListener> listener(*std::move(made));
    CHECK(fs::is_socket(directory.file("socket")));
    CHECK(listener->file().path == fs::canonical(directory.file("socket")).string());
    fd.reset();
    fs::remove(directory.file("link"));
    listener.reset();
    CHECK_FALSE(fs::exists(directory.file("socket")));
    fs::create_directory_symlink(directory.file("."), directory.file("link"));
  }
}

TEST_CASE("what has taken the place of the socket is left alone") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("socket");
  auto made = UnixListener::listen(path, SOCK_STREAM);
  REQUIRE(made);
  std::optional<UnixListener> listener(*std::move(made));
  SUBCASE("a file") {
    fs::remove(path);
    write_text(path, "precious");
    listener.reset();
    CHECK(fs::file_size(path) == 8);
  }
  SUBCASE("the same socket by way of a symbolic link") {
    fs::rename(path, directory.file("moved"));
    fs::create_symlink(directory.file("moved"), path);
    listener.reset();
    CHECK(fs::is_symlink(path));
  }
  SUBCASE("another socket") {
    fs::rename(path, directory.file("moved"));  // its number stays in use
    leave_stale_socket(path);
    const struct stat other = look_at(path);
    listener.reset();
    CHECK(is_same(look_at(path), other));
  }
  SUBCASE("a listener that was given the number of our file") {
    fs::remove(path);
    auto other = UnixListener::listen(path, SOCK_STREAM);
    REQUIRE(other);
    remove_socket_file(other->file());
    CHECK(connect_to(path) == 0);
  }
}

}  // namespace
}  // namespace l4n::netns
