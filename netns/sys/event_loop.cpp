#include "netns/sys/event_loop.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <array>

#include "netns/sys/spare_room.hpp"

namespace l4n::sys {
namespace {

constexpr int kEventsPerTurn = 256;

std::uint64_t event_data(int fd, std::uint32_t generation) {
  return (static_cast<std::uint64_t>(generation) << 32U) | static_cast<std::uint32_t>(fd);
}

}  // namespace

void Graveyard::clear() noexcept {
  // A destructor may bury something else, which then goes in the next round.
  while (!corpses_.empty()) {
    std::vector<std::unique_ptr<Buried>> now;
    now.swap(corpses_);
    now.clear();
    if (corpses_.empty()) {
      corpses_.swap(now);  // keep the capacity
      return;
    }
  }
}

Result<std::unique_ptr<EventLoop>> EventLoop::create(const Clock& clock) {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) {
    return errno_error("cannot create the epoll instance");
  }
  return std::unique_ptr<EventLoop>(new EventLoop(clock, std::move(epoll)));
}

Result<void> EventLoop::add(int fd, std::uint32_t events, EventHandler& handler) {
  const auto index = static_cast<std::size_t>(fd);
  if (index >= slots_.size()) {
    slots_.resize(index + 1);
  }
  Slot& slot = slots_[index];
  const std::uint32_t generation = ++last_generation_;
  epoll_event event{};
  event.events = events;
  event.data.u64 = event_data(fd, generation);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return errno_error("cannot watch a descriptor");
  }
  watched_ += slot.handler == nullptr ? 1 : 0;  // else its last owner has closed it without a word
  slot = {&handler, generation};
  return {};
}

Result<void> EventLoop::modify(int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = event_data(fd, slots_[static_cast<std::size_t>(fd)].generation);
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    return errno_error("cannot change how a descriptor is watched");
  }
  return {};
}

void EventLoop::remove(int fd) noexcept {
  forget(fd);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void EventLoop::forget(int fd) noexcept {
  const auto index = static_cast<std::size_t>(fd);
  if (index >= slots_.size() || slots_[index].handler == nullptr) {
    return;
  }
  --watched_;
  slots_[index].handler = nullptr;
  while (!slots_.empty() && slots_.back().handler == nullptr) {
    slots_.pop_back();
  }
  give_back_spare_room(slots_);
}

int EventLoop::sleep_ms(Duration limit) const noexcept {
  if (busy_) {
    return 0;
  }
  Duration wait = limit;
  if (const auto deadline = timers_.next_deadline()) {
    wait = std::min(wait, *deadline - clock_.now());
  }
  if (wait <= Duration::zero()) {
    return 0;
  }
  // Round up: waking a fraction of a millisecond early would only spin.
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(wait).count();
  constexpr std::int64_t kLongest = 60 * 60 * 1000;
  return static_cast<int>(std::min<std::int64_t>(ms, kLongest));
}

void EventLoop::dispatch(std::uint64_t data, std::uint32_t events) noexcept {
  const auto fd = static_cast<std::size_t>(data & 0xffffffffU);
  const auto generation = static_cast<std::uint32_t>(data >> 32U);
  if (fd < slots_.size() && slots_[fd].handler != nullptr && slots_[fd].generation == generation) {
    slots_[fd].handler->on_event(events);
  }
}

Result<void> EventLoop::turn(Duration limit) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): filled by the kernel
  std::array<epoll_event, kEventsPerTurn> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, sleep_ms(limit));
  if (count < 0 && errno != EINTR) {
    return errno_error("cannot wait for events");
  }
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    dispatch(event.data.u64, event.events);
  }
  timers_.run_due();
  busy_ = false;
  for (TurnHook* hook : hooks_) {
    busy_ = hook->on_turn_end() || busy_;
  }
  graveyard_.clear();
  return {};
}

Result<void> EventLoop::run() {
  while (!stopped_) {
    if (auto result = turn(Duration::max()); !result) {
      return result;
    }
  }
  return {};
}

}  // namespace l4n::sys
