#include "stack/time_wait.hpp"

namespace l4n::stack {

void TimeWaitTable::add(const FlowKey& key, std::uint32_t rcv_nxt, std::uint32_t snd_nxt, sys::Time now) {
  expire(now);
  if (entries_.size() >= kMost) {
    pop_oldest();
  }
  table_.erase(key);
  table_.insert(key, static_cast<FlowTable::Index>(first_ + entries_.size()));
  entries_.push_back({key, rcv_nxt, snd_nxt, now + kTime});
}

std::optional<TimeWaitEntry> TimeWaitTable::find(const FlowKey& key, sys::Time now) {
  expire(now);
  if (entries_.empty()) {
    return std::nullopt;
  }
  const auto index = table_.find(key);
  if (!index) {
    return std::nullopt;
  }
  return entries_[static_cast<FlowTable::Index>(*index - first_)];
}

void TimeWaitTable::expire(sys::Time now) noexcept {
  while (!entries_.empty() && entries_.front().until <= now) {
    pop_oldest();
  }
}

void TimeWaitTable::pop_oldest() noexcept {
  // The key may have been erased, or be in the table again for a later entry.
  const auto index = table_.find(entries_.front().key);
  if (index && *index == first_) {
    table_.erase(entries_.front().key);
  }
  entries_.pop_front();
  ++first_;
}

}  // namespace l4n::stack
