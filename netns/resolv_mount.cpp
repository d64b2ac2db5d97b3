// Theory of operation.
//
// Only a file of a mounted file system can be bound over another one, so ours is in a tmpfs that stays
// mounted but cannot be seen: on /etc, and covered by /etc itself. From then on everything is done through
// descriptors, and each change is one mount(2): nobody ever sees a half-made /etc.
#include "netns/resolv_mount.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <memory>
#include <string_view>

namespace l4n::netns {
namespace {

using sys::Fd;
using sys::Result;

constexpr char kEtc[] = "/etc";
constexpr char kFile[] = "/etc/resolv.conf";
constexpr char kName[] = "resolv.conf";
constexpr char kCopy[] = "etc";  // in our file system: what covers /etc where nothing else helps

struct DirectoryCloser {
  void operator()(DIR* d) const noexcept { ::closedir(d); }
};
using Directory = std::unique_ptr<DIR, DirectoryCloser>;

// The name by which mount(2) can be told a descriptor.
std::string path_of(const Fd& fd) { return fmt::format("/proc/self/fd/{}", fd.get()); }

Result<void> bind(const std::string& source, const std::string& target, unsigned long recursive = 0) {
  if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND | recursive, nullptr) != 0) {
    return sys::errno_error(fmt::format("cannot mount over {}", target));
  }
  return {};
}

Result<Fd> open_path(const char* path, int flags) {
  Fd fd(::open(path, O_PATH | O_CLOEXEC | flags));
  if (!fd.valid()) {
    return sys::errno_error(fmt::format("cannot open {}", path));
  }
  return fd;
}

Result<void> write_file(const char* path, std::string_view text) {
  const Fd fd(::open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!fd.valid() || ::fchmod(fd.get(), 0644) != 0 ||
      ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return sys::errno_error(fmt::format("cannot write {}", path));
  }
  return {};
}

// Gives `copy` an entry `name` that is the same as the one in `original`. One that cannot be had is left out:
// the command has more use for an /etc that lacks a file than for none.
void repeat_entry(const Fd& original, const Fd& copy, const dirent& entry) {
  const char* const name = entry.d_name;
  struct stat s {};
  if (::fstatat(original.get(), name, &s, AT_SYMLINK_NOFOLLOW) != 0) {
    return;
  }
  if (S_ISLNK(s.st_mode)) {
    std::array<char, PATH_MAX + 1> target{};
    if (::readlinkat(original.get(), name, target.data(), target.size() - 1) > 0) {
      static_cast<void>(::symlinkat(target.data(), copy.get(), name));
    }
    return;
  }
  if (S_ISDIR(s.st_mode)) {
    static_cast<void>(::mkdirat(copy.get(), name, 0755));
  } else {
    const Fd placeholder(::openat(copy.get(), name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  }
  const std::string source = fmt::format("{}/{}", path_of(original), name);
  if (!bind(source, fmt::format("{}/{}", path_of(copy), name), MS_REC)) {
    static_cast<void>(::unlinkat(copy.get(), name, S_ISDIR(s.st_mode) ? AT_REMOVEDIR : 0));
  }
}

Result<void> repeat_entries(const Fd& original, const Fd& copy) {
  Fd readable(::open(kEtc, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const Directory directory(readable.valid() ? ::fdopendir(readable.get()) : nullptr);
  if (directory == nullptr) {
    return sys::errno_error(fmt::format("cannot read {}", kEtc));
  }
  static_cast<void>(readable.release());  // the directory's now
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != ".." && name != kName) {
      repeat_entry(original, copy, *entry);
    }
  }
  return {};
}

// Binds `etc`, which is beneath our file system `ours` on /etc, over it, with all that is mounted within: an
// unprivileged user may not uncover what the host has covered. Our own file system is among that.
Result<void> cover_with(const Fd& etc, dev_t ours) {
  if (auto bound = bind(path_of(etc), kEtc, MS_REC); !bound) {
    return bound;
  }
  struct stat top {};
  if (::stat(kEtc, &top) == 0 && top.st_dev == ours && ::umount2(kEtc, MNT_DETACH) != 0) {
    return sys::errno_error(fmt::format("cannot uncover {}", kEtc));
  }
  return {};
}

}  // namespace

Result<ResolvMount> ResolvMount::create(const std::string& text) {
  auto etc = open_path(kEtc, O_DIRECTORY);
  if (!etc) {
    return etc.error();
  }
  if (::mount("lwip4netns", kEtc, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") != 0) {
    return sys::errno_error(fmt::format("cannot mount a tmpfs on {}", kEtc));
  }
  // /etc is the tmpfs until the last step.
  if (auto written = write_file(kFile, text); !written) {
    return written.error();
  }
  auto root = open_path(kEtc, O_DIRECTORY);
  auto file = open_path(kFile, O_NOFOLLOW);
  struct stat s {};
  if (!root || !file || ::fstat(file->get(), &s) != 0) {
    return sys::errno_error(fmt::format("cannot open {}", kFile));
  }
  if (auto covered = cover_with(*etc, s.st_dev); !covered) {
    return covered.error();
  }
  return ResolvMount(std::move(*root), std::move(*file), s.st_dev, s.st_ino);
}

Result<void> ResolvMount::put_in_place() const {
  if (auto target = open_path(kFile, 0)) {
    struct stat s {};
    const bool is_file = ::fstat(target->get(), &s) == 0 && S_ISREG(s.st_mode);
    if (is_file && bind(path_of(file_), path_of(*target))) {
      return {};
    }
  }
  return cover_etc();
}

Result<void> ResolvMount::cover_etc() const {
  auto etc = open_path(kEtc, O_DIRECTORY);
  if (!etc) {
    return etc.error();
  }
  static_cast<void>(::mkdirat(root_.get(), kCopy, 0755));
  const Fd copy(::openat(root_.get(), kCopy, O_PATH | O_DIRECTORY | O_CLOEXEC));
  const Fd placeholder(::openat(copy.get(), kName, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!copy.valid() || !placeholder.valid()) {
    return sys::errno_error("cannot make another /etc");
  }
  if (auto repeated = repeat_entries(*etc, copy); !repeated) {
    return repeated;
  }
  if (auto bound = bind(path_of(file_), fmt::format("{}/{}", path_of(copy), kName)); !bound) {
    return bound;
  }
  return bind(path_of(copy), kEtc, MS_REC);
}

bool ResolvMount::in_place() const {
  struct stat s {};
  return ::stat(kFile, &s) == 0 && s.st_dev == dev_ && s.st_ino == ino_;
}

}  // namespace l4n::netns
