// The last step of a child that becomes a command.
#pragma once

#include <string>
#include <vector>

namespace l4n::netns {

// Exit statuses as env(1), timeout(1) and the shells have them.
inline constexpr int kStartFailed = 125;
inline constexpr int kCannotExecute = 126;
inline constexpr int kNotFound = 127;

// Becomes `command` (at least one word, searched for in PATH), or says on stderr why not and ends with
// kCannotExecute or kNotFound.
[[noreturn]] void execute(const std::vector<std::string>& command);

}  // namespace l4n::netns
