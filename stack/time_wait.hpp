// TIME-WAIT (RFC 9293 3.3.2) without a pcb: a small capped record of connections that ended with our end
// closing first. It acknowledges a repeated FIN, whose first acknowledgment was lost, and lets a new SYN
// through (RFC 9293 3.10.7.4, RFC 6191 in spirit: a higher sequence number).
#pragma once

#include <deque>
#include <optional>

#include "netns/sys/clock.hpp"
#include "stack/flow_table.hpp"

namespace l4n::stack {

struct TimeWaitEntry {
  FlowKey key;
  std::uint32_t rcv_nxt = 0;
  std::uint32_t snd_nxt = 0;
  sys::Time until{};
};

class TimeWaitTable {
 public:
  static constexpr std::size_t kMost = 4096;
  static constexpr sys::Duration kTime = std::chrono::seconds(5);

  explicit TimeWaitTable(const sys::HashKey& hash_key) : table_(hash_key) {}

  // The oldest entry makes room when the table is full.
  void add(const FlowKey& key, std::uint32_t rcv_nxt, std::uint32_t snd_nxt, sys::Time now);
  [[nodiscard]] std::optional<TimeWaitEntry> find(const FlowKey& key, sys::Time now);
  void erase(const FlowKey& key) noexcept { table_.erase(key); }
  [[nodiscard]] std::size_t size() const noexcept { return table_.size(); }

 private:
  void expire(sys::Time now) noexcept;
  void pop_oldest() noexcept;

  FlowTable table_;                    // key -> position in entries_, counted from the first entry ever
  std::deque<TimeWaitEntry> entries_;  // oldest first
  FlowTable::Index first_ = 0;         // the position of entries_.front()
};

}  // namespace l4n::stack
