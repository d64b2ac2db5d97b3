// Slab: owns objects and names them by generation-checked handles, so that a name that outlives its object
// is recognised instead of being followed.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "netns/sys/spare_room.hpp"

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
    const std::uint32_t generation = next_generation();
    if (free_.empty()) {
      slots_.push_back({nullptr, generation});
      return {static_cast<std::uint32_t>(slots_.size() - 1), generation};
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    slots_[index].generation = generation;
    return {index, generation};
  }
  T& set(Handle handle, std::unique_ptr<T> object) {
    slots_[handle.index].object = std::move(object);
    ++size_;
    return *slots_[handle.index].object;
  }
  // Null when the object is gone.
  [[nodiscard]] T* get(Handle handle) const noexcept {
    if (handle.index >= slots_.size() || slots_[handle.index].generation != handle.generation) {
      return nullptr;
    }
    return slots_[handle.index].object.get();
  }
  // The object now at an index that a table of live objects holds.
  [[nodiscard]] T& at(std::uint32_t index) const noexcept { return *slots_[index].object; }
  [[nodiscard]] std::unique_ptr<T> take(Handle handle) noexcept {
    std::unique_ptr<T> object = std::move(slots_[handle.index].object);
    --size_;
    free_.push_back(handle.index);
    if (free_.size() == slots_.size()) {
      forget_slots();
    }
    return object;
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
    std::uint32_t generation;
  };

  // 0 is a default handle's.
  [[nodiscard]] std::uint32_t next_generation() noexcept {
    if (++generation_ == 0) {
      ++generation_;
    }
    return generation_;
  }

  // None is in use.
  void forget_slots() noexcept {
    slots_.clear();
    free_.clear();
    sys::give_back_spare_room(slots_);
    sys::give_back_spare_room(free_);
  }

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::uint32_t generation_ = 0;  // of the newest name
  std::size_t size_ = 0;
};

}  // namespace l4n::nat
