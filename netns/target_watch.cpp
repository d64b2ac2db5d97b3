#include "netns/target_watch.hpp"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <utility>

namespace l4n::netns {
namespace {

constexpr sys::Duration kInterval = std::chrono::seconds(1);
// A process that forks and ends while /proc is being read can be missed once, not twice.
constexpr int kEmptyLooksNeeded = 2;

struct DirectoryCloser {
  void operator()(DIR* d) const noexcept { ::closedir(d); }
};
using Directory = std::unique_ptr<DIR, DirectoryCloser>;

bool is_number(const char* name) { return name[0] >= '1' && name[0] <= '9'; }

enum class Membership { inside, outside, leader_ended };

Membership membership(const std::string& task, const NetnsIdentity& netns) {
  struct stat s {};
  if (::stat((task + "/ns/net").c_str(), &s) != 0) {
    return errno == ENOENT ? Membership::leader_ended : Membership::outside;
  }
  return NetnsIdentity{s.st_dev, s.st_ino} == netns ? Membership::inside : Membership::outside;
}

// A process whose first thread has ended may live on in others.
bool any_thread_inside(const std::string& process, const NetnsIdentity& netns) {
  const std::string tasks = process + "/task";
  const Directory directory(::opendir(tasks.c_str()));
  while (const dirent* entry = directory != nullptr ? ::readdir(directory.get()) : nullptr) {
    if (is_number(entry->d_name) &&
        membership(fmt::format("{}/{}", tasks, entry->d_name), netns) == Membership::inside) {
      return true;
    }
  }
  return false;
}

bool lives_in(const std::string& process, const NetnsIdentity& netns) {
  switch (membership(process, netns)) {
    case Membership::inside:
      return true;
    case Membership::outside:
      return false;
    case Membership::leader_ended:
      return any_thread_inside(process, netns);
  }
  return false;
}

}  // namespace

bool netns_has_processes(const NetnsIdentity& netns, const std::string& proc) {
  const Directory directory(::opendir(proc.c_str()));
  if (directory == nullptr) {
    return true;  // out of descriptors, say: no reason to end
  }
  const std::string self = std::to_string(::getpid());
  const std::string parent = std::to_string(::getppid());
  while (const dirent* entry = ::readdir(directory.get())) {
    if (!is_number(entry->d_name) || self == entry->d_name || parent == entry->d_name) {
      continue;
    }
    if (lives_in(fmt::format("{}/{}", proc, entry->d_name), netns)) {
      return true;
    }
  }
  return false;
}

TargetWatch::TargetWatch(sys::EventLoop& loop, WatchedTarget target, std::function<void()> gone)
    : loop_(loop),
      target_(std::move(target)),
      gone_(std::move(gone)),
      timer_(loop.timers(), *this),
      seen_(target_.target.kind == Target::Kind::pid || target_.path_is_public) {}

TargetWatch::~TargetWatch() {
  if (target_.pidfd.valid()) {
    loop_.remove(target_.pidfd.get());
  }
}

void TargetWatch::start() {
  if (target_.pidfd.valid() && !loop_.add(target_.pidfd.get(), EPOLLIN, *this)) {
    target_.pidfd.reset();
  }
  if (target_.pidfd.valid()) {
    return;  // nothing to do until the process ends
  }
  seen_ = seen_ || netns_has_processes(target_.netns);  // now: its end may come before the first look
  timer_.arm(kInterval);
}

void TargetWatch::on_event(std::uint32_t /*events*/) noexcept {
  loop_.remove(target_.pidfd.get());
  target_.pidfd.reset();
  named_ended_ = true;
  check();
}

void TargetWatch::on_timer() noexcept { check(); }

// Whether what the command line named is still there and still means this namespace.
bool TargetWatch::named_target_exists() const {
  if (target_.target.kind == Target::Kind::pid) {
    const auto stat = read_process_stat(target_.target.pid);
    return stat && stat->start_time == target_.start_time && !stat->ended();
  }
  struct stat s {};
  return ::stat(target_.target.netns_path.c_str(), &s) == 0 &&
         NetnsIdentity{s.st_dev, s.st_ino} == target_.netns;
}

void TargetWatch::check() {
  // A process that ended stays ended; a path may come back, and is asked again.
  const bool by_pid = target_.target.kind == Target::Kind::pid;
  if (!(by_pid && named_ended_)) {
    named_ended_ = !named_target_exists();
  }
  const bool in_use = !named_ended_ || netns_has_processes(target_.netns);
  seen_ = seen_ || in_use;
  empty_looks_ = in_use ? 0 : empty_looks_ + 1;
  if (!seen_ || empty_looks_ < kEmptyLooksNeeded) {
    timer_.arm(kInterval);
    return;
  }
  // Once only, and the callback may destroy this object.
  const auto gone = std::move(gone_);
  gone();
}

}  // namespace l4n::netns
