// What the worker may take of the system, whoever has control of it (getrlimit(2)).
#pragma once

#include "netns/sys/result.hpp"

namespace l4n::netns {

// All flows at once take some 21,000; the rest is for the ports of forwards.
constexpr unsigned kMostDescriptors = 32768;

// Raises the soft limit of open descriptors to the hard one, `most` at most, and never lowers it. Returns how
// many there may be, `most` at most.
[[nodiscard]] unsigned raise_descriptor_limit(unsigned most = kMostDescriptors) noexcept;

// For good, since the hard limits go down as well: no core file, which would show the guest's data; no
// further process or thread; no locked memory; `descriptors`, or fewer where the soft limit is lower. Writing
// to files stays unlimited, for stderr may be one.
//
// To be called after the last fork. Errors: "cannot limit …".
[[nodiscard]] sys::Result<void> limit_resources(unsigned descriptors = kMostDescriptors);

}  // namespace l4n::netns
