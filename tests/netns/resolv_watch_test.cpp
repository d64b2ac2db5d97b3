// With real inotify and a real clock: what is tested is how the kernel reports changes.
#include "netns/resolv_watch.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "tests/netns/temporary_directory.hpp"

namespace l4n::netns {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using testing::TemporaryDirectory;
using testing::write_text;

constexpr milliseconds kNoticed(1000);  // what is promised

class Fixture {
 public:
  TemporaryDirectory directory;

  void start(const std::string& path, ResolvWatch::Method method = ResolvWatch::Method::inotify) {
    watch_ = std::make_unique<ResolvWatch>(*loop_, path, [this](const ResolvConf&) { ++changes; });
    watch_->start(method);
  }

  // The only server in force, "" for none.
  [[nodiscard]] std::string server() const {
    const auto& servers = watch_->current().nameservers;
    return servers.empty() ? "" : to_string(servers.front().address);
  }

  // Turns the loop until `wanted` is in force.
  bool becomes(const std::string& wanted, milliseconds limit = kNoticed) {
    const sys::Time deadline = clock_.now() + limit;
    while (server() != wanted && clock_.now() < deadline) {
      REQUIRE(loop_->turn(deadline - clock_.now()));
    }
    return server() == wanted;
  }

  void run_for(milliseconds time) {
    const sys::Time deadline = clock_.now() + time;
    while (clock_.now() < deadline) {
      REQUIRE(loop_->turn(deadline - clock_.now()));
    }
  }

  [[nodiscard]] std::string file(const std::string& name) const { return directory.file(name); }
  void write(const std::string& name, const std::string& address) const {
    write_text(file(name), "nameserver " + address + "\n");
  }
  void link(const std::string& target, const std::string& name) const {
    fs::create_symlink(target, file(name));
  }
  // As resolvconf tools do it: the new link is renamed over the old one.
  void retarget(const std::string& target, const std::string& name) const {
    link(target, "new-link");
    fs::rename(file("new-link"), file(name));
  }

  int changes = 0;

 private:
  sys::SystemClock clock_;
  std::unique_ptr<sys::EventLoop> loop_ = std::move(*sys::EventLoop::create(clock_));
  std::unique_ptr<ResolvWatch> watch_;
};

TEST_CASE_FIXTURE(Fixture, "a plain file: written in place, replaced, deleted, created") {
  write("resolv.conf", "1.0.0.1");
  start(file("resolv.conf"));
  CHECK(server() == "1.0.0.1");

  write("resolv.conf", "1.0.0.2");
  CHECK(becomes("1.0.0.2"));
  write("other", "1.0.0.3");
  fs::rename(file("other"), file("resolv.conf"));
  CHECK(becomes("1.0.0.3"));
  write("resolv.conf", "1.0.0.4");  // the new file is watched too
  CHECK(becomes("1.0.0.4"));
  fs::remove(file("resolv.conf"));
  CHECK(becomes(""));
  write("resolv.conf", "1.0.0.5");
  CHECK(becomes("1.0.0.5"));
  fs::rename(file("resolv.conf"), file("away"));
  CHECK(becomes(""));
  fs::rename(file("away"), file("resolv.conf"));
  CHECK(becomes("1.0.0.5"));
}

TEST_CASE_FIXTURE(Fixture, "a file that is written through another name") {
  write("hidden", "1.0.0.1");
  fs::create_hard_link(file("hidden"), file("resolv.conf"));
  start(file("resolv.conf"));
  write("hidden", "1.0.0.2");
  CHECK(becomes("1.0.0.2"));
}

TEST_CASE_FIXTURE(Fixture, "a chain of links") {
  fs::create_directories(file("run/resolved"));
  fs::create_directories(file("etc"));
  write("run/resolved/stub", "1.0.0.1");
  write("run/resolved/full", "1.0.0.2");
  link("../run/resolved/stub", "run/middle");
  fs::remove(file("run/middle"));
  link("resolved/stub", "run/middle");
  link("../run/./middle", "etc/resolv.conf");
  start(file("etc/resolv.conf"));
  CHECK(server() == "1.0.0.1");

  SUBCASE("the middle link is retargeted") {
    retarget("resolved/full", "run/middle");
    CHECK(becomes("1.0.0.2"));
  }
  SUBCASE("the first link is retargeted") {
    retarget(file("run/resolved/full"), "etc/resolv.conf");
    CHECK(becomes("1.0.0.2"));
  }
  SUBCASE("the first link becomes a file") {
    write("new", "1.0.0.3");
    fs::rename(file("new"), file("etc/resolv.conf"));
    CHECK(becomes("1.0.0.3"));
  }
  SUBCASE("the file at the end is written in place") {
    write("run/resolved/stub", "1.0.0.4");
    CHECK(becomes("1.0.0.4"));
  }
  SUBCASE("the file at the end is replaced") {
    write("new", "1.0.0.5");
    fs::rename(file("new"), file("run/resolved/stub"));
    CHECK(becomes("1.0.0.5"));
  }
  SUBCASE("a directory on the way is replaced") {
    fs::create_directories(file("run/fresh"));
    write("run/fresh/stub", "1.0.0.6");
    fs::rename(file("run/resolved"), file("run/old"));
    fs::rename(file("run/fresh"), file("run/resolved"));
    CHECK(becomes("1.0.0.6"));
    write("run/resolved/stub", "1.0.0.7");
    CHECK(becomes("1.0.0.7"));
  }
  SUBCASE("a directory on the way goes and comes back") {
    fs::remove_all(file("run/resolved"));
    CHECK(becomes(""));
    fs::create_directories(file("run/resolved"));
    write("run/resolved/stub", "1.0.0.8");
    CHECK(becomes("1.0.0.8"));
  }
}

TEST_CASE_FIXTURE(Fixture, "a link that is a directory is retargeted") {
  fs::create_directories(file("a"));
  fs::create_directories(file("b"));
  write("a/resolv.conf", "1.0.0.1");
  write("b/resolv.conf", "1.0.0.2");
  link("a", "current");
  start(file("current/resolv.conf"));
  CHECK(server() == "1.0.0.1");
  retarget("b", "current");
  CHECK(becomes("1.0.0.2"));
}

TEST_CASE_FIXTURE(Fixture, "what is missing at the start is noticed when it appears") {
  link("run/deep/resolv.conf", "resolv.conf");
  start(file("resolv.conf"));
  CHECK(server().empty());
  fs::create_directories(file("run/deep"));
  write("run/deep/resolv.conf", "1.0.0.1");
  CHECK(becomes("1.0.0.1"));
}

TEST_CASE_FIXTURE(Fixture, "a loop of links is survived and left again") {
  link("b", "a");
  link("a", "b");
  start(file("a"));
  CHECK(server().empty());
  write("file", "1.0.0.1");
  retarget("file", "b");
  CHECK(becomes("1.0.0.1"));
}

TEST_CASE_FIXTURE(Fixture, "only a change of meaning is told") {
  write("resolv.conf", "1.0.0.1");
  start(file("resolv.conf"));
  CHECK(changes == 0);
  write_text(file("resolv.conf"), "# the same\nnameserver 1.0.0.1\n");
  write("unrelated", "1.0.0.9");
  run_for(milliseconds(200));
  CHECK(changes == 0);
  write("resolv.conf", "1.0.0.2");
  run_for(milliseconds(200));
  CHECK(changes == 1);
}

TEST_CASE_FIXTURE(Fixture, "a file that can no longer be used leaves the earlier servers in force") {
  write("resolv.conf", "1.0.0.1");
  start(file("resolv.conf"));
  write_text(file("resolv.conf"), std::string(kMaxResolvConfSize + 1, '#'));
  run_for(milliseconds(200));
  CHECK(server() == "1.0.0.1");
  fs::remove(file("resolv.conf"));
  REQUIRE(::mkfifo(file("resolv.conf").c_str(), 0600) == 0);
  run_for(milliseconds(200));
  // The FIFO may have been seen before or after the gap in which nothing was there.
  CHECK((server() == "1.0.0.1" || server().empty()));
  fs::remove(file("resolv.conf"));
  write("resolv.conf", "1.0.0.2");
  CHECK(becomes("1.0.0.2"));
}

TEST_CASE_FIXTURE(Fixture, "a file that is written to without end does not hide its changes") {
  write("resolv.conf", "1.0.0.1");
  start(file("resolv.conf"));
  const sys::SystemClock clock;
  const sys::Time end = clock.now() + milliseconds(500);
  int seen_at_half = 0;
  for (int i = 0; clock.now() < end; ++i) {
    write_text(file("resolv.conf"), "nameserver 1.0.1." + std::to_string(i % 250) + "\n");
    run_for(milliseconds(5));
    seen_at_half = changes;
  }
  CHECK(seen_at_half >= 3);
}

TEST_CASE_FIXTURE(Fixture, "a hundred replacements in a row end with the last") {
  write("resolv.conf", "1.0.0.1");
  start(file("resolv.conf"));
  for (int i = 0; i < 100; ++i) {
    write("new", "1.0.2." + std::to_string(i));
    fs::rename(file("new"), file("resolv.conf"));
    if (i % 10 == 0) {
      run_for(milliseconds(30));
    }
  }
  CHECK(becomes("1.0.2.99"));
}

TEST_CASE_FIXTURE(Fixture, "without inotify the file is polled") {
  write("resolv.conf", "1.0.0.1");
  start(file("resolv.conf"), ResolvWatch::Method::polling);
  CHECK(server() == "1.0.0.1");
  write("new", "1.0.0.2");
  fs::rename(file("new"), file("resolv.conf"));
  CHECK(becomes("1.0.0.2", milliseconds(1500)));
}

}  // namespace
}  // namespace l4n::netns
