// lwIP's memory between the runs: nothing of one run may be seen by the next.
#pragma once

#include <cstddef>

namespace l4n::fuzz {

// Puts all static variables of lwIP back to what they were when the process began. lwIP must not be in use.
void rewind_lwip() noexcept;

}  // namespace l4n::fuzz
