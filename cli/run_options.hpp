// The command line of `lwip4netns run [OPTION]... [--] COMMAND [ARGUMENT]...`.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/options.hpp"

namespace l4n::cli {

struct RunOptions {
  Options network;                   // with configure and a TAP name; the target is still to be made
  std::vector<std::string> command;  // with its arguments; at least one word
};

struct RunParseOutcome {
  std::optional<RunOptions> options{};  // run with these …
  int exit_code = 0;                    // … or, when there are none, end with this
  std::string out{};                    // for stdout, in either case
  std::string err{};                    // for stderr
};

// Whether main()'s `argv` is a command line of `run`.
[[nodiscard]] bool is_run(std::span<const char* const> argv) noexcept;

// `argv` as main() gets it. Changes nothing; not reentrant, as parse_options().
[[nodiscard]] RunParseOutcome parse_run_options(std::span<const char* const> argv);

}  // namespace l4n::cli
