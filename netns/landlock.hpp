// Landlock (Linux 5.13): a process gives up rights to the file system, which takes no privilege.
#pragma once

#include <cstdint>

#include "netns/sys/result.hpp"

namespace l4n::netns {

// The rights to files that a kernel knows which has this version of Landlock (0: none), as bits. It refuses
// others. Of versions after 5 no more than we know of.
[[nodiscard]] std::uint64_t file_rights(long version) noexcept;

// From now on the process opens, executes, makes, removes and renames no file, wherever it lies. Open
// descriptors stay as they are, devices included. Needs no_new_privs, and forbids mount(2) from then on.
//
// Where the kernel lacks Landlock, or has it switched off, nothing happens, which is no error. Errors:
// "sandbox: cannot …".
[[nodiscard]] sys::Result<void> deny_files();

}  // namespace l4n::netns
