// Leaves the input behind that ended the process: in ./crash-input, as libFuzzer does in ./crash-….
#pragma once

#include "netns/sys/bytes.hpp"

namespace l4n::fuzz {

// From now on a process that aborts or faults writes the current input first.
void keep_crash_input() noexcept;
// `input` must stay valid until the next call.
void set_current_input(sys::Bytes input) noexcept;

}  // namespace l4n::fuzz
