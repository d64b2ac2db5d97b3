// FlowTable: FlowKey -> index, by open addressing with a keyed hash (so that a guest cannot choose keys that
// collide) and backward-shift deletion (so that there are no tombstones and a look-up stays short for ever).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "netns/sys/keyed_hash.hpp"
#include "stack/flow_key.hpp"

namespace l4n::stack {

class FlowTable {
 public:
  using Index = std::uint32_t;

  explicit FlowTable(const sys::HashKey& hash_key) : hash_key_(hash_key), slots_(kSmallest) {}

  [[nodiscard]] std::optional<Index> find(const FlowKey& key) const noexcept;
  // The key must not be in the table.
  void insert(const FlowKey& key, Index index);
  void erase(const FlowKey& key) noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  // How many times find() was called: tests hold this against the number of packets.
  [[nodiscard]] std::uint64_t lookups() const noexcept { return lookups_; }

 private:
  static constexpr std::size_t kSmallest = 64;  // slots, a power of two

  struct Slot {
    FlowKey key;
    Index index = 0;
    std::uint32_t hash = 0;  // 0: empty
  };

  [[nodiscard]] std::uint32_t hash_of(const FlowKey& key) const noexcept;
  [[nodiscard]] std::size_t locate(const FlowKey& key, std::uint32_t hash) const noexcept;
  void place(const Slot& slot) noexcept;
  void resize(std::size_t slots);

  sys::HashKey hash_key_;
  std::vector<Slot> slots_;
  std::size_t size_ = 0;
  mutable std::uint64_t lookups_ = 0;
};

}  // namespace l4n::stack
