#include "stack/flow_table.hpp"

namespace l4n::stack {

std::uint32_t FlowTable::hash_of(const FlowKey& key) const noexcept {
  const auto hash = static_cast<std::uint32_t>(sys::siphash(hash_key_, key.bytes()));
  return hash == 0 ? 1 : hash;
}

// The slot that holds the key, or the empty one where the search ended. The table is never full.
std::size_t FlowTable::locate(const FlowKey& key, std::uint32_t hash) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash & mask;
  while (slots_[at].hash != 0 && !(slots_[at].hash == hash && slots_[at].key == key)) {
    at = (at + 1) & mask;
  }
  return at;
}

std::optional<FlowTable::Index> FlowTable::find(const FlowKey& key) const noexcept {
  ++lookups_;
  const Slot& slot = slots_[locate(key, hash_of(key))];
  if (slot.hash == 0) {
    return std::nullopt;
  }
  return slot.index;
}

void FlowTable::place(const Slot& slot) noexcept { slots_[locate(slot.key, slot.hash)] = slot; }

void FlowTable::insert(const FlowKey& key, Index index) {
  if ((size_ + 1) * 4 > slots_.size() * 3) {
    resize(slots_.size() * 2);
  }
  place({key, index, hash_of(key)});
  ++size_;
}

void FlowTable::erase(const FlowKey& key) noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t hole = locate(key, hash_of(key));
  if (slots_[hole].hash == 0) {
    return;
  }
  --size_;
  // Move back every entry of the run whose home does not lie between the hole and where it stands.
  for (std::size_t at = (hole + 1) & mask; slots_[at].hash != 0; at = (at + 1) & mask) {
    const std::size_t home = slots_[at].hash & mask;
    if (((at - home) & mask) >= ((at - hole) & mask)) {
      slots_[hole] = slots_[at];
      hole = at;
    }
  }
  slots_[hole] = Slot{};
  if (slots_.size() > kSmallest && size_ * 8 < slots_.size()) {
    resize(slots_.size() / 2);
  }
}

void FlowTable::resize(std::size_t slots) {
  std::vector<Slot> old(slots);
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.hash != 0) {
      place(slot);
    }
  }
}

}  // namespace l4n::stack
