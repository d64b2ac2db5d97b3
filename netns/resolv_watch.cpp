#include "netns/resolv_watch.hpp"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <deque>
#include <filesystem>
#include <system_error>
#include <utility>

namespace l4n::netns {
namespace {

// Long enough for a file that is being rewritten to be complete, far below what anyone notices.
constexpr sys::Duration kDebounce = std::chrono::milliseconds(50);
constexpr sys::Duration kPoll = std::chrono::seconds(1);
// What inotify does not tell: a file mounted over ours, changes made by another host on a network file
// system.
constexpr sys::Duration kSafetyPoll = std::chrono::seconds(30);

constexpr std::uint32_t kDirectoryEvents = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
                                           IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK;
constexpr std::uint32_t kFileEvents =
    IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF | IN_DONT_FOLLOW;
constexpr std::uint32_t kWatchLost = IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT;

constexpr int kMaxLinks = 40;  // as the kernel, which then says ELOOP

using Components = std::deque<std::string>;

// Puts the components of `path` in front of `rest`.
void prepend(Components& rest, const std::string& path) {
  Components front;
  for (const auto& part : std::filesystem::path(path).relative_path()) {
    front.push_back(part.string());
  }
  rest.insert(rest.begin(), front.begin(), front.end());
}

std::string parent_of(const std::string& directory) { return directory.substr(0, directory.rfind('/')); }

bool is_missing(int code) { return code == ENOENT || code == ENOTDIR; }

}  // namespace

ResolvWatch::ResolvWatch(sys::EventLoop& loop, std::string path, Callback changed)
    : loop_(loop), path_(std::move(path)), changed_(std::move(changed)), timer_(loop.timers(), *this) {}

ResolvWatch::~ResolvWatch() {
  if (inotify_.valid()) {
    loop_.remove(inotify_.get());
  }
}

void ResolvWatch::start(Method method) {
  if (method == Method::inotify) {
    inotify_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (inotify_.valid() && !loop_.add(inotify_.get(), EPOLLIN, *this)) {
      inotify_.reset();
    }
  }
  static_cast<void>(reload());
}

void ResolvWatch::on_timer() noexcept {
  if (reload()) {
    changed_(current_);
  }
}

// Watches first, then reads: a change in between shows as an event.
bool ResolvWatch::reload() {
  settling_ = false;
  if (inotify_.valid()) {
    arm_watches();
  }
  timer_.arm(inotify_.valid() && complete_ ? kSafetyPoll : kPoll);

  auto loaded = load_resolv_conf(path_);
  if (!loaded && !is_missing(loaded.error().code)) {
    return false;
  }
  ResolvConf now = loaded ? std::move(*loaded) : ResolvConf{};
  if (now == current_) {
    return false;
  }
  current_ = std::move(now);
  return true;
}

void ResolvWatch::arm_watches() {
  const auto earlier = std::exchange(names_, {});
  complete_ = true;
  walk();
  for (const auto& [wd, names] : earlier) {
    if (!names_.contains(wd)) {
      ::inotify_rm_watch(inotify_.get(), wd);
    }
  }
}

// Looks the path up as the kernel does. `at` never contains a link, so ".." is a matter of text.
void ResolvWatch::walk() {
  Components rest;
  prepend(rest, path_);
  std::string at;  // empty: the root
  int links = 0;
  while (!rest.empty()) {
    const std::string name = std::exchange(rest.front(), {});
    rest.pop_front();
    if (name.empty() || name == ".") {
      continue;
    }
    if (name == "..") {
      at = parent_of(at);
      continue;
    }
    watch_name(at.empty() ? "/" : at, name);
    std::string full = at;
    full.append("/").append(name);
    struct stat s {};
    if (::lstat(full.c_str(), &s) != 0) {
      return;  // missing so far: its creation will show
    }
    if (S_ISLNK(s.st_mode)) {
      std::error_code error;
      const auto target = std::filesystem::read_symlink(full, error);
      if (error || ++links > kMaxLinks) {
        return;
      }
      at = target.is_absolute() ? std::string() : at;
      prepend(rest, target.string());
    } else if (S_ISDIR(s.st_mode)) {
      at = full;
    } else {
      add_watch(full, kFileEvents);
      return;
    }
  }
}

void ResolvWatch::watch_name(const std::string& directory, const std::string& name) {
  if (const int wd = add_watch(directory, kDirectoryEvents); wd >= 0) {
    names_[wd].insert(name);
  }
}

int ResolvWatch::add_watch(const std::string& path, std::uint32_t events) {
  const int wd = ::inotify_add_watch(inotify_.get(), path.c_str(), events);
  if (wd >= 0) {
    names_.try_emplace(wd);
  } else if (!is_missing(errno)) {
    complete_ = false;  // no permission, too many watches: polling must do
  }
  return wd;
}

void ResolvWatch::on_event(std::uint32_t /*events*/) noexcept {
  alignas(inotify_event) std::array<char, 4096> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  for (;;) {
    const ssize_t size = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (size <= 0) {
      return;
    }
    for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
      inotify_event event{};
      std::memcpy(&event, &buffer[at], sizeof event);
      const char* name = event.len > 0 ? &buffer[at + sizeof event] : "";
      if (is_relevant(event.wd, event.mask, name)) {
        settle();
      }
      at += sizeof event + event.len;
    }
  }
}

bool ResolvWatch::is_relevant(int wd, std::uint32_t mask, const char* name) const {
  if ((mask & IN_Q_OVERFLOW) != 0) {
    return true;
  }
  const auto watched = names_.find(wd);
  if (watched == names_.end()) {
    return false;  // of a watch that was given up
  }
  const auto& names = watched->second;
  return (mask & kWatchLost) != 0 || names.empty() || names.contains(name);
}

// Not put off by further events: a file that is written to for ever must not hide its changes for ever.
void ResolvWatch::settle() {
  if (!settling_) {
    settling_ = true;
    timer_.arm(kDebounce);
  }
}

}  // namespace l4n::netns
