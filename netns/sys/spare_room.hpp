// A table that has grown in a burst of flows is small again when they are gone.
#pragma once

#include <cstddef>
#include <vector>

namespace l4n::sys {

// Gives back the room of a vector that is not more than a quarter full. It stays where it is when there is no
// memory for the smaller one. Elements move, so this invalidates iterators and references.
template <class T>
void give_back_spare_room(std::vector<T>& table) noexcept {
  constexpr std::size_t kSmall = 256;  // elements; not worth the trouble
  if (table.capacity() > kSmall && table.size() <= table.capacity() / 4) {
    table.shrink_to_fit();
  }
}

}  // namespace l4n::sys
