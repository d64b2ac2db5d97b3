// The memory that lwIP and the frame buffers ask the system for. The linker leads mem_malloc(), mem_free()
// and mmap() and munmap() of the product here (--wrap): what is not given back is counted, and a schedule
// makes calls fail.
//
// C++'s operator new is left alone. The product's containers grow on noexcept paths, where a failure ends the
// process by design: a limit keeps them small, and a machine that cannot give that little is lost anyway.
#pragma once

#include <cstddef>
#include <cstdint>

namespace l4n::fuzz {

// Each allocation is one step; step n fails when bit n % 64 is set. 0: none fails.
void set_allocation_failures(std::uint64_t pattern) noexcept;
// Pieces of memory that lwIP holds.
[[nodiscard]] std::size_t lwip_allocations() noexcept;
// Takes a piece for ever, as an injected fault.
void hold_lwip_memory() noexcept;
// Frame buffers that the product has mapped.
[[nodiscard]] std::size_t mapped_buffers() noexcept;
// Allocations that were made to fail, so far in this process.
[[nodiscard]] std::uint64_t failed_allocations() noexcept;

}  // namespace l4n::fuzz
