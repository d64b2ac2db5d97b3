#include "netns/sys/timers.hpp"

#include "netns/sys/spare_room.hpp"

namespace l4n::sys {

void Timer::arm(Duration after) {
  cancel();
  queue_.insert(*this, queue_.now() + after);
}

void Timer::cancel() noexcept {
  if (armed()) {
    queue_.remove(*this);
  }
}

std::optional<Time> TimerQueue::next_deadline() const noexcept {
  if (heap_.empty()) {
    return std::nullopt;
  }
  return heap_.front()->deadline_;
}

void TimerQueue::run_due() noexcept {
  const Time now = clock_.now();
  while (!heap_.empty() && heap_.front()->deadline_ <= now) {
    Timer& timer = *heap_.front();
    remove(timer);
    timer.handler_.on_timer();
  }
}

void TimerQueue::insert(Timer& timer, Time deadline) {
  // Strictly after `now`, so that run_due() ends even when a handler arms a timer with no delay.
  timer.deadline_ = deadline > clock_.now() ? deadline : clock_.now() + Duration(1);
  heap_.push_back(&timer);
  timer.index_ = heap_.size() - 1;
  sift_up(timer.index_);
}

void TimerQueue::remove(Timer& timer) noexcept {
  const std::size_t index = timer.index_;
  timer.index_ = Timer::kIdle;
  Timer* last = heap_.back();
  heap_.pop_back();
  give_back_spare_room(heap_);
  if (last == &timer) {
    return;
  }
  place(index, last);
  sift_up(index);
  sift_down(last->index_);
}

void TimerQueue::place(std::size_t index, Timer* timer) noexcept {
  heap_[index] = timer;
  timer->index_ = index;
}

void TimerQueue::sift_up(std::size_t index) noexcept {
  Timer* moving = heap_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (heap_[parent]->deadline_ <= moving->deadline_) {
      break;
    }
    place(index, heap_[parent]);
    index = parent;
  }
  place(index, moving);
}

void TimerQueue::sift_down(std::size_t index) noexcept {
  Timer* moving = heap_[index];
  const std::size_t size = heap_.size();
  while (2 * index + 1 < size) {
    std::size_t child = 2 * index + 1;
    if (child + 1 < size && heap_[child + 1]->deadline_ < heap_[child]->deadline_) {
      ++child;
    }
    if (moving->deadline_ <= heap_[child]->deadline_) {
      break;
    }
    place(index, heap_[child]);
    index = child;
  }
  place(index, moving);
}

}  // namespace l4n::sys
