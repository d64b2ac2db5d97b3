#include "netns/sys/timers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace l4n::sys {
namespace {

using namespace std::chrono_literals;

// A timer that writes its name into a list, and may do more.
class NamedTimer final : private TimerHandler {
 public:
  NamedTimer(TimerQueue& queue, std::string name, std::vector<std::string>& fired)
      : timer(queue, *this), name_(std::move(name)), fired_(fired) {}

  Timer timer;
  std::function<void()> also;

 private:
  void on_timer() noexcept override {
    CHECK_FALSE(timer.armed());
    fired_.push_back(name_);
    if (also) {
      also();
    }
  }

  std::string name_;
  std::vector<std::string>& fired_;
};

struct Fixture {
  ManualClock clock;
  TimerQueue queue{clock};
  std::vector<std::string> fired;

  std::unique_ptr<NamedTimer> make(std::string name) {
    return std::make_unique<NamedTimer>(queue, std::move(name), fired);
  }
  std::vector<std::string> run() {
    fired.clear();
    queue.run_due();
    return fired;
  }
};

using Names = std::vector<std::string>;

TEST_CASE_FIXTURE(Fixture, "timers: an empty queue has no deadline") {
  CHECK_FALSE(queue.next_deadline().has_value());
  CHECK(queue.armed_count() == 0);
  CHECK(run().empty());
}

TEST_CASE_FIXTURE(Fixture, "timers: they run when they are due, earliest first") {
  struct Row {
    std::string description;
    Duration advance;
    Names due;
  };
  const auto a = make("a");
  const auto b = make("b");
  const auto c = make("c");
  a->timer.arm(30ms);
  b->timer.arm(10ms);
  c->timer.arm(20ms);
  CHECK(queue.next_deadline() == clock.now() + 10ms);
  const std::vector<Row> rows = {
      {"nothing yet", 0ms, {}},    {"a nanosecond early", 10ms - 1ns, {}}, {"just due", 1ns, {"b"}},
      {"no second time", 0ms, {}}, {"two at once", 1h, {"c", "a"}},        {"all gone", 1h, {}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    clock.advance(row.advance);
    CHECK(run() == row.due);
  }
  CHECK(queue.armed_count() == 0);
}

TEST_CASE_FIXTURE(Fixture, "timers: arming again moves the deadline both ways") {
  const auto a = make("a");
  a->timer.arm(10ms);
  a->timer.arm(50ms);
  CHECK(queue.armed_count() == 1);
  clock.advance(10ms);
  CHECK(run().empty());
  a->timer.arm(5ms);
  clock.advance(5ms);
  CHECK(run() == Names{"a"});
}

TEST_CASE_FIXTURE(Fixture, "timers: cancelled and destroyed ones do not run") {
  const auto a = make("a");
  auto b = make("b");
  const auto c = make("c");
  a->timer.arm(1ms);
  b->timer.arm(1ms);
  c->timer.arm(1ms);
  a->timer.cancel();
  a->timer.cancel();
  b.reset();
  CHECK_FALSE(a->timer.armed());
  CHECK(queue.armed_count() == 1);
  clock.advance(1ms);
  CHECK(run() == Names{"c"});
}

TEST_CASE_FIXTURE(Fixture, "timers: a handler may cancel one that is due in the same call") {
  const auto a = make("a");
  const auto b = make("b");
  const auto c = make("c");
  a->timer.arm(1ms);
  b->timer.arm(2ms);
  c->timer.arm(3ms);
  a->also = [&] { b->timer.cancel(); };
  clock.advance(5ms);
  CHECK(run() == Names{"a", "c"});
}

// Destroys itself, its timer with it, when it expires.
class Ephemeral final : private TimerHandler {
 public:
  Ephemeral(TimerQueue& queue, std::unique_ptr<Ephemeral>& self, std::unique_ptr<NamedTimer>& other)
      : timer(queue, *this), self_(self), other_(other) {}

  Timer timer;

 private:
  void on_timer() noexcept override {
    other_.reset();
    self_.reset();
  }

  std::unique_ptr<Ephemeral>& self_;
  std::unique_ptr<NamedTimer>& other_;
};

TEST_CASE_FIXTURE(Fixture, "timers: a handler may destroy its own timer and others") {
  auto other = make("other");
  const auto last = make("last");
  std::unique_ptr<Ephemeral> self;
  self = std::make_unique<Ephemeral>(queue, self, other);
  self->timer.arm(1ms);
  other->timer.arm(2ms);
  last->timer.arm(3ms);
  clock.advance(5ms);
  CHECK(run() == Names{"last"});
  CHECK(self == nullptr);
  CHECK(queue.armed_count() == 0);
}

TEST_CASE_FIXTURE(Fixture, "timers: one that is armed again from within waits for the next call") {
  const std::vector<Duration> delays = {-1h, 0ns, 1ns, 1ms};
  for (const Duration delay : delays) {
    CAPTURE(delay.count());
    const auto a = make("a");
    a->also = [&, timer = &a->timer] { timer->arm(delay); };
    a->timer.arm(0ns);
    clock.advance(1h);
    CHECK(run() == Names{"a"});
    CHECK(a->timer.armed());
    CHECK(run().empty());
    clock.advance(1ms);
    CHECK(run() == Names{"a"});
  }
}

TEST_CASE_FIXTURE(Fixture, "timers: another one that is armed from within waits too") {
  const auto a = make("a");
  const auto b = make("b");
  a->also = [&] { b->timer.arm(0ns); };
  a->timer.arm(1ms);
  clock.advance(1ms);
  CHECK(run() == Names{"a"});
  clock.advance(1ns);
  CHECK(run() == Names{"b"});
}

// Many timers, armed, moved, cancelled and run at random, against a plain list that is searched.
TEST_CASE("timers: many at random against a reference") {
  struct Reference {
    bool armed = false;
    Time deadline{};
  };
  constexpr std::size_t kTimers = 300;
  std::mt19937 random(1);
  Fixture f;
  std::vector<std::unique_ptr<NamedTimer>> timers;
  std::vector<Reference> reference(kTimers);
  for (std::size_t i = 0; i < kTimers; ++i) {
    timers.push_back(f.make(std::to_string(i)));
  }
  for (int step = 0; step < 20000; ++step) {
    const std::size_t i = random() % kTimers;
    const auto action = random() % 10;
    if (action < 6) {
      const Duration delay(1 + random() % 1000);
      timers[i]->timer.arm(delay);
      reference[i] = {true, f.clock.now() + delay};
    } else if (action < 8) {
      timers[i]->timer.cancel();
      reference[i].armed = false;
    } else {
      f.clock.advance(Duration(random() % 20));
      std::vector<std::pair<Time, std::string>> due;
      for (std::size_t k = 0; k < kTimers; ++k) {
        if (reference[k].armed && reference[k].deadline <= f.clock.now()) {
          due.emplace_back(reference[k].deadline, std::to_string(k));
          reference[k].armed = false;
        }
      }
      Names fired = f.run();
      REQUIRE(fired.size() == due.size());
      for (std::size_t k = 1; k < fired.size(); ++k) {
        const auto deadline_of = [&](const std::string& name) {
          return reference[std::stoul(name)].deadline;
        };
        REQUIRE(deadline_of(fired[k - 1]) <= deadline_of(fired[k]));
      }
      Names expected;
      for (const auto& entry : due) {
        expected.push_back(entry.second);
      }
      std::sort(expected.begin(), expected.end());
      std::sort(fired.begin(), fired.end());
      REQUIRE(fired == expected);
    }
    const auto armed =
        std::count_if(reference.begin(), reference.end(), [](const Reference& r) { return r.armed; });
    REQUIRE(f.queue.armed_count() == static_cast<std::size_t>(armed));
    REQUIRE(timers[i]->timer.armed() == reference[i].armed);
  }
}

}  // namespace
}  // namespace l4n::sys
