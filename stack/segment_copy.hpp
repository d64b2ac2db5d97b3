// A pbuf of exact size with its own memory, which is charged to an account for as long as the pbuf lives,
// wherever lwIP keeps it.
#pragma once

#include <cstddef>

#include "netns/sys/bytes.hpp"
#include "stack/memory_budget.hpp"

struct pbuf;

namespace l4n::stack {

// What `size` bytes cost in this form.
[[nodiscard]] std::size_t copy_cost(std::size_t size) noexcept;

// `bytes`: at most 65,535. The account outlives the pbuf. Null without memory.
[[nodiscard]] pbuf* copy_to_pbuf(sys::Bytes bytes, MemoryAccount& account) noexcept;

}  // namespace l4n::stack
