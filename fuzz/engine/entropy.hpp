// Where the product's random numbers come from while it is fuzzed: getrandom(2) is replaced at link time.
#pragma once

namespace l4n::fuzz {

// Every execution sees the same random numbers.
void rewind_entropy() noexcept;

}  // namespace l4n::fuzz
