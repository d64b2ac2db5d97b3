// The target's end, with real processes. Needs root.
#include "netns/target_watch.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tests/netns/child_process.hpp"
#include "tests/netns/temporary_directory.hpp"

namespace l4n::netns {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::TargetProcess;

bool join(const TargetProcess& target) {
  const sys::Fd fd(::open(target.netns_file().c_str(), O_RDONLY | O_CLOEXEC));
  return ::setns(fd.get(), CLONE_NEWNET) == 0;
}

class Fixture {
 public:
  void watch(WatchedTarget target) {
    watch_ = std::make_unique<TargetWatch>(*loop_, std::move(target), [this] { ++gone; });
    watch_->start();
  }
  void run_for(sys::Duration time) {
    const sys::Time deadline = clock_.now() + time;
    while (gone == 0 && clock_.now() < deadline) {
      REQUIRE(loop_->turn(deadline - clock_.now()));
    }
  }
  int gone = 0;

  WatchedTarget by_pid(const TargetProcess& target) {
    Target named;
    named.pid = target.pid();
    return open(named);
  }
  WatchedTarget by_path(const std::string& path) {
    Target named;
    named.kind = Target::Kind::path;
    named.netns_path = path;
    return open(named);
  }

 private:
  WatchedTarget open(const Target& named) {
    auto opened = open_target(named);
    REQUIRE(opened);
    kept_alive_ = std::move(opened->netns);
    return std::move(opened->watched);
  }

  // In the place of the TAP: an identity holds only while its namespace lives, and is soon given again.
  sys::Fd kept_alive_;
  sys::SystemClock clock_;
  std::unique_ptr<sys::EventLoop> loop_ = std::move(*sys::EventLoop::create(clock_));
  std::unique_ptr<TargetWatch> watch_;
};

TEST_CASE_FIXTURE(Fixture, "by PID, with and without a pidfd") {
  TargetProcess target;
  REQUIRE(target.ready());
  WatchedTarget watched = by_pid(target);
  REQUIRE(watched.pidfd.valid());
  SUBCASE("pidfd") {}
  SUBCASE("polling") { watched.pidfd.reset(); }
  watch(std::move(watched));
  run_for(milliseconds(1500));
  CHECK(gone == 0);
  target.end();
  run_for(seconds(5));
  CHECK(gone == 1);
}

TEST_CASE_FIXTURE(Fixture, "others may go on using the namespace after the first one died") {
  TargetProcess target;
  REQUIRE(target.ready());
  testing::IdleProcess joiner([&target] { return join(target); });
  REQUIRE(joiner.ready());
  watch(by_pid(target));
  target.end();
  run_for(milliseconds(2500));
  CHECK(gone == 0);
  joiner.end();
  run_for(seconds(5));
  CHECK(gone == 1);
}

TEST_CASE_FIXTURE(Fixture, "by path: the mount goes, then the last process") {
  const testing::TemporaryDirectory directory;
  const std::string path = directory.file("netns");
  testing::write_text(path, "");
  TargetProcess target;
  REQUIRE(target.ready());
  REQUIRE(::mount(target.netns_file().c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0);
  watch(by_path(path));

  SUBCASE("the process ends, the path stays") {
    target.end();
    run_for(milliseconds(2500));
    CHECK(gone == 0);
    REQUIRE(::umount2(path.c_str(), MNT_DETACH) == 0);
    run_for(seconds(5));
    CHECK(gone == 1);
  }
  SUBCASE("the path goes, the process stays") {
    REQUIRE(::umount2(path.c_str(), MNT_DETACH) == 0);  // the plain file underneath is not the namespace
    run_for(milliseconds(2500));
    CHECK(gone == 0);
    target.end();
    run_for(seconds(5));
    CHECK(gone == 1);
  }
}

TEST_CASE_FIXTURE(Fixture, "by a path that only we can use: after a process was seen") {
  TargetProcess target;
  REQUIRE(target.ready());
  sys::Fd fd(::open(target.netns_file().c_str(), O_RDONLY | O_CLOEXEC));
  WatchedTarget watched = by_path("/proc/self/fd/" + std::to_string(fd.get()));
  fd.reset();  // as in the monitor, which holds nothing of the sort
  SUBCASE("a process lives there") {
    watch(std::move(watched));
    run_for(milliseconds(1500));
    CHECK(gone == 0);
    target.end();
    run_for(seconds(5));
    CHECK(gone == 1);
  }
  SUBCASE("a process that lives there ends soon after the start") {
    watch(std::move(watched));
    target.end();
    run_for(seconds(5));
    CHECK(gone == 1);
  }
  SUBCASE("nobody was ever seen there") {
    target.end();
    watch(std::move(watched));
    run_for(milliseconds(3500));
    CHECK(gone == 0);
  }
}

TEST_CASE_FIXTURE(Fixture, "a look through /proc finds the processes of a namespace") {
  TargetProcess target;
  REQUIRE(target.ready());
  const WatchedTarget watched = by_pid(target);
  CHECK(netns_has_processes(watched.netns));
  CHECK_FALSE(netns_has_processes(NetnsIdentity{watched.netns.dev, 1}));
  target.end();
  CHECK_FALSE(netns_has_processes(watched.netns));
}

}  // namespace
}  // namespace l4n::netns
