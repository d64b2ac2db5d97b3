// Closes what was inherited.
#pragma once

#include <span>

namespace l4n::netns {

// Closes all descriptors but those in `keep` (any order; negative ones are ignored).
void close_descriptors_except(std::span<const int> keep) noexcept;

// Opens /dev/null in place of 0, 1 and 2.
void detach_stdio() noexcept;

}  // namespace l4n::netns
