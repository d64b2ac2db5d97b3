// Slab: owns objects and names them by generation-checked handles, so that a name that outlives its object
// is recognised instead of being followed.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace l4n::nat {

struct Handle {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;

  friend bool operator==(const Handle&, const Handle&) = default;
};

template <class T>
class Slab {
 public:
  // Reserves a name; the object is put in with set().
  [[nodiscard]] Handle reserve() {
    if (free_.empty()) {
      slots_.emplace_back();
      return {static_cast<std::uint32_t>(slots_.size() - 1), slots_.back().generation};
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    return {index, slots_[index].generation};
  }
  T& set(Handle handle, std::unique_ptr<T> object) {
    slots_[handle.index].object = std::move(object);
    ++size_;
    return *slots_[handle.index].object;
  }
  // Null when the object is gone.
  [[nodiscard]] T* get(Handle handle) const noexcept {
    const Slot& slot = slots_[handle.index];
    return slot.generation == handle.generation ? slot.object.get() : nullptr;
  }
  // The object now at an index that a table of live objects holds.
  [[nodiscard]] T& at(std::uint32_t index) const noexcept { return *slots_[index].object; }
  [[nodiscard]] std::unique_ptr<T> take(Handle handle) noexcept {
    Slot& slot = slots_[handle.index];
    ++slot.generation;
    --size_;
    free_.push_back(handle.index);
    return std::move(slot.object);
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  template <class F>
  void for_each(F&& f) const {
    for (const Slot& slot : slots_) {
      if (slot.object) {
        f(*slot.object);
      }
    }
  }

 private:
  struct Slot {
    std::unique_ptr<T> object;
    std::uint32_t generation = 1;
  };

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::size_t size_ = 0;
};

}  // namespace l4n::nat
