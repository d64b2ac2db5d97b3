#include "netns/sys/event_loop.hpp"

#include <doctest/doctest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/sys/pipe.hpp"

namespace l4n::sys {
namespace {

using namespace std::chrono_literals;
using test::Pipe;

using Names = std::vector<std::string>;

class CallingHandler final : public EventHandler {
 public:
  explicit CallingHandler(std::function<void(std::uint32_t)> action) : action_(std::move(action)) {}
  void on_event(std::uint32_t events) noexcept override {
    ++calls;
    action_(events);
  }
  int calls = 0;

 private:
  std::function<void(std::uint32_t)> action_;
};

class CallingHook final : public TurnHook {
 public:
  explicit CallingHook(std::function<bool()> action) : action_(std::move(action)) {}
  bool on_turn_end() noexcept override { return action_(); }

 private:
  std::function<bool()> action_;
};

class CallingTimer final : public TimerHandler {
 public:
  explicit CallingTimer(std::function<void()> action) : action_(std::move(action)) {}
  void on_timer() noexcept override { action_(); }

 private:
  std::function<void()> action_;
};

class CallingCorpse final : public Buried {
 public:
  explicit CallingCorpse(std::function<void()> action) : action_(std::move(action)) {}
  CallingCorpse(const CallingCorpse&) = delete;
  CallingCorpse& operator=(const CallingCorpse&) = delete;
  ~CallingCorpse() override { action_(); }

 private:
  std::function<void()> action_;
};

struct Fixture {
  SystemClock clock;
  std::unique_ptr<EventLoop> loop;

  Fixture() {
    auto created = EventLoop::create(clock);
    REQUIRE(created);
    loop = *std::move(created);
  }
  void turn(Duration limit = 0ms) const { REQUIRE(loop->turn(limit)); }
};

// How long `action` takes on the wall.
template <class Action>
Duration time_of(Action action) {
  const auto start = std::chrono::steady_clock::now();
  action();
  return std::chrono::steady_clock::now() - start;
}

TEST_CASE_FIXTURE(Fixture, "event loop: hands out events while they last") {
  const Pipe pipe;
  std::uint32_t seen = 0;
  CallingHandler handler([&](std::uint32_t events) { seen = events; });
  REQUIRE(loop->add(pipe.reader.get(), EPOLLIN, handler));
  turn();
  CHECK(handler.calls == 0);
  pipe.put("x");
  turn(10s);
  CHECK(handler.calls == 1);
  CHECK(seen == EPOLLIN);
  turn(10s);
  CHECK(handler.calls == 2);
  CHECK(pipe.take() == "x");
  turn();
  CHECK(handler.calls == 2);
}

TEST_CASE_FIXTURE(Fixture, "event loop: edge-triggered descriptors are told once") {
  const Pipe pipe;
  CallingHandler handler([](std::uint32_t) {});
  REQUIRE(loop->add(pipe.reader.get(), EPOLLIN | EPOLLET, handler));
  pipe.put("x");
  turn(10s);
  turn();
  CHECK(handler.calls == 1);
}

TEST_CASE_FIXTURE(Fixture, "event loop: a hang-up is told without being asked for") {
  Pipe pipe;
  std::uint32_t seen = 0;
  CallingHandler handler([&](std::uint32_t events) { seen = events; });
  REQUIRE(loop->add(pipe.reader.get(), 0, handler));
  pipe.writer.reset();
  turn(10s);
  CHECK((seen & EPOLLHUP) != 0);
}

TEST_CASE_FIXTURE(Fixture, "event loop: modify changes what is watched") {
  const Pipe pipe;
  CallingHandler handler([](std::uint32_t) {});
  REQUIRE(loop->add(pipe.writer.get(), 0, handler));
  turn();
  CHECK(handler.calls == 0);
  REQUIRE(loop->modify(pipe.writer.get(), EPOLLOUT));
  turn(10s);
  CHECK(handler.calls == 1);
  REQUIRE(loop->modify(pipe.writer.get(), 0));
  turn();
  CHECK(handler.calls == 1);
}

TEST_CASE_FIXTURE(Fixture, "event loop: what epoll does not take is an error") {
  CallingHandler handler([](std::uint32_t) {});
  const Fd file(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
  REQUIRE(file.valid());
  const auto added = loop->add(file.get(), EPOLLIN, handler);
  REQUIRE_FALSE(added);
  CHECK(added.error().code == EPERM);
  const Pipe pipe;
  REQUIRE(loop->add(pipe.reader.get(), EPOLLIN, handler));
  loop->remove(pipe.reader.get());
  const auto modified = loop->modify(pipe.reader.get(), EPOLLIN);
  REQUIRE_FALSE(modified);
  CHECK(modified.error().code == ENOENT);
}

TEST_CASE_FIXTURE(Fixture, "event loop: adding twice is refused and the first owner keeps its events") {
  const Pipe pipe;
  CallingHandler first([](std::uint32_t) {});
  CallingHandler second([](std::uint32_t) {});
  REQUIRE(loop->add(pipe.reader.get(), EPOLLIN, first));
  const auto again = loop->add(pipe.reader.get(), EPOLLIN, second);
  REQUIRE_FALSE(again);
  CHECK(again.error().code == EEXIST);
  pipe.put("x");
  turn();
  CHECK(first.calls == 1);
  CHECK(second.calls == 0);
}

TEST_CASE_FIXTURE(Fixture, "event loop: removed descriptors are silent") {
  const Pipe pipe;
  CallingHandler handler([](std::uint32_t) {});
  REQUIRE(loop->add(pipe.reader.get(), EPOLLIN, handler));
  loop->remove(pipe.reader.get());
  pipe.put("x");
  turn();
  CHECK(handler.calls == 0);
  REQUIRE(loop->add(pipe.reader.get(), EPOLLIN, handler));
  turn();
  CHECK(handler.calls == 1);
  loop->remove(12345);  // never seen
}

TEST_CASE_FIXTURE(Fixture, "event loop: the event of a descriptor removed in the same turn is dropped") {
  const Pipe a;
  const Pipe b;
  CallingHandler on_a([&](std::uint32_t) { loop->remove(b.reader.get()); });
  CallingHandler on_b([&](std::uint32_t) { loop->remove(a.reader.get()); });
  REQUIRE(loop->add(a.reader.get(), EPOLLIN, on_a));
  REQUIRE(loop->add(b.reader.get(), EPOLLIN, on_b));
  a.put("x");
  b.put("x");
  turn();
  CHECK(on_a.calls + on_b.calls == 1);
}

// The handler of whichever event comes first closes the other descriptor; a new pipe takes its number at
// once. The event that is queued for the old owner of the number must not reach the new one.
TEST_CASE_FIXTURE(Fixture, "event loop: a number that is used again does not get its predecessor's event") {
  std::vector<Pipe> pipes(2);
  Pipe fresh;
  CallingHandler on_fresh([](std::uint32_t) {});
  int reused = -1;
  const auto replace = [&](Pipe& victim) {
    reused = victim.reader.get();
    loop->forget(reused);
    victim.reader.reset();
    REQUIRE(::fcntl(fresh.reader.get(), F_DUPFD_CLOEXEC, reused) == reused);
    victim.reader.reset(reused);
    REQUIRE(loop->add(reused, EPOLLIN, on_fresh));
  };
  CallingHandler on_first([&](std::uint32_t) { replace(pipes[1]); });
  CallingHandler on_second([&](std::uint32_t) { replace(pipes[0]); });
  REQUIRE(loop->add(pipes[0].reader.get(), EPOLLIN, on_first));
  REQUIRE(loop->add(pipes[1].reader.get(), EPOLLIN, on_second));
  pipes[0].put("x");
  pipes[1].put("x");
  turn();
  CHECK(on_first.calls + on_second.calls == 1);
  CHECK(on_fresh.calls == 0);
  fresh.put("x");
  loop->remove(pipes[reused == pipes[0].reader.get() ? 1 : 0].reader.get());
  turn();
  CHECK(on_fresh.calls == 1);
}

TEST_CASE_FIXTURE(Fixture, "event loop: a handler may add so many descriptors that the table grows") {
  std::vector<Fd> added;
  CallingHandler quiet([](std::uint32_t) {});
  const Pipe pipe;
  CallingHandler growing([&](std::uint32_t) {
    for (int i = 0; i < 300; ++i) {
      added.emplace_back(::eventfd(0, EFD_CLOEXEC));
      REQUIRE(loop->add(added.back().get(), EPOLLIN, quiet));
    }
  });
  REQUIRE(loop->add(pipe.reader.get(), EPOLLIN | EPOLLET, growing));
  pipe.put("x");
  turn();
  CHECK(growing.calls == 1);
  for (const Fd& fd : added) {
    REQUIRE(::eventfd_write(fd.get(), 1) == 0);
  }
  turn();
  turn();  // more than one turn's worth
  CHECK(quiet.calls >= 300);
}

TEST_CASE_FIXTURE(Fixture, "event loop: events of descriptors that a handler has removed are dropped") {
  std::vector<Fd> ready;
  CallingHandler other([](std::uint32_t) {});
  CallingHandler first([&](std::uint32_t) {
    for (const Fd& fd : ready) {
      loop->remove(fd.get());
    }
    // One of them again, as somebody else's.
    REQUIRE(loop->add(ready.front().get(), EPOLLOUT | EPOLLET, other));
  });
  for (int i = 0; i < 100; ++i) {
    ready.emplace_back(::eventfd(1, EFD_CLOEXEC));
    REQUIRE(loop->add(ready.back().get(), EPOLLIN, first));
  }
  turn();
  CHECK(first.calls == 1);
  CHECK(loop->watched() == 1);
  loop->remove(ready.front().get());
  CHECK(loop->watched() == 0);
}

TEST_CASE_FIXTURE(Fixture, "event loop: sleeps no longer than told, and until the next timer") {
  CHECK(time_of([&] { turn(20ms); }) >= 20ms);
  bool fired = false;
  CallingTimer handler([&] { fired = true; });
  Timer timer(loop->timers(), handler);
  timer.arm(10ms);
  CHECK(time_of([&] {
          while (!fired) {
            turn(1h);
          }
        }) >= 10ms);
}

TEST_CASE_FIXTURE(Fixture, "event loop: a hook with work left is asked again without sleeping") {
  int calls = 0;
  CallingHook busy([&] { return ++calls < 4; });
  CallingHook idle([] { return false; });
  loop->add_turn_hook(busy);
  loop->add_turn_hook(idle);
  const Duration took = time_of([&] {
    turn();
    turn(1h);
    turn(1h);
    turn(1h);
  });
  CHECK(calls == 4);
  CHECK(took < 10min);
  CHECK(time_of([&] { turn(20ms); }) >= 20ms);  // no work left: sleeps again
  CHECK(calls == 5);
}

TEST_CASE_FIXTURE(Fixture, "event loop: every hook runs, also after one that is busy") {
  Names order;
  CallingHook first([&] {
    order.emplace_back("first");
    return true;
  });
  CallingHook second([&] {
    order.emplace_back("second");
    return false;
  });
  loop->add_turn_hook(first);
  loop->add_turn_hook(second);
  turn();
  CHECK(order == Names{"first", "second"});
}

TEST_CASE_FIXTURE(Fixture, "event loop: events, then timers, then hooks, then burials") {
  Names order;
  const Pipe pipe;
  CallingHandler on_pipe([&](std::uint32_t) {
    order.emplace_back("event");
    loop->graveyard().bury(std::make_unique<CallingCorpse>([&] { order.emplace_back("destroyed"); }));
  });
  CallingTimer on_timer([&] { order.emplace_back("timer"); });
  CallingHook hook([&] {
    order.emplace_back("hook");
    return false;
  });
  Timer timer(loop->timers(), on_timer);
  timer.arm(0ms);
  REQUIRE(loop->add(pipe.reader.get(), EPOLLIN, on_pipe));
  loop->add_turn_hook(hook);
  pipe.put("x");
  turn(10s);
  CHECK(order == Names{"event", "timer", "hook", "destroyed"});
}

TEST_CASE("graveyard: the first buried goes first; what a destructor buries goes after them") {
  Graveyard graveyard;
  Names order;
  const auto name = [&](const char* text) { return [&order, text] { order.emplace_back(text); }; };
  graveyard.bury(std::make_unique<CallingCorpse>([&] {
    order.emplace_back("a");
    graveyard.bury(std::make_unique<CallingCorpse>([&] {
      order.emplace_back("c");
      graveyard.bury(std::make_unique<CallingCorpse>(name("d")));
    }));
  }));
  graveyard.bury(std::make_unique<CallingCorpse>(name("b")));
  CHECK(order.empty());
  graveyard.clear();
  CHECK(order == Names{"a", "b", "c", "d"});
  graveyard.clear();
  CHECK(order.size() == 4);
}

TEST_CASE_FIXTURE(Fixture, "event loop: runs until it is stopped") {
  int turns = 0;
  CallingHook hook([&] {
    if (++turns == 3) {
      loop->stop();
    }
    return true;
  });
  loop->add_turn_hook(hook);
  CallingTimer quiet([] {});
  Timer first(loop->timers(), quiet);
  first.arm(0ms);  // the first turn ends
  CHECK_FALSE(loop->stopped());
  REQUIRE(loop->run());
  CHECK(turns == 3);
  CHECK(loop->stopped());
}

}  // namespace
}  // namespace l4n::sys
