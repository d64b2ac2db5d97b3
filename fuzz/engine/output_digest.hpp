// What an execution has put out, as one number: two executions of one input must give the same.
//
// Harnesses that produce bytes note them; the runners compare. Between the two executions the runner changes
// the order of the inputs and the byte that fresh memory is filled with, so a difference also tells of memory
// that was read before it was written.
#pragma once

#include <cstdint>

#include "netns/sys/bytes.hpp"

namespace l4n::fuzz {

void note_output(sys::Bytes bytes) noexcept;
// The digest of what was noted since the last call.
[[nodiscard]] std::uint64_t take_output_digest() noexcept;

}  // namespace l4n::fuzz
