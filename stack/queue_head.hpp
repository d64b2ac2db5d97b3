// A queue that is kept as a vector and an index of its first element.
#pragma once

#include <cstddef>
#include <vector>

namespace l4n::stack {

// Forgets the consumed head, and the memory of a queue that has grown.
template <class T>
void drop_head(std::vector<T>& queue, std::size_t& first) {
  constexpr std::size_t kIdleCapacity = 16;
  if (first == queue.size()) {
    queue.clear();
    first = 0;
    if (queue.capacity() > kIdleCapacity) {
      std::vector<T>().swap(queue);
    }
  } else if (first > kIdleCapacity && first * 2 > queue.size()) {
    queue.erase(queue.begin(), queue.begin() + static_cast<std::ptrdiff_t>(first));
    first = 0;
  }
}

}  // namespace l4n::stack
