// The system has no memory for frame buffers, for as long as a NoMemory lives. What was mapped before stays.
#pragma once

#include <cstddef>

namespace l4n::integration {

class NoMemory {
 public:
  NoMemory() noexcept;
  NoMemory(const NoMemory&) = delete;
  NoMemory& operator=(const NoMemory&) = delete;
  ~NoMemory();

  // How often it was asked for.
  [[nodiscard]] std::size_t refusals() const noexcept;
};

}  // namespace l4n::integration
