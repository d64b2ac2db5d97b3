#include "cli/run_options.hpp"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "cli/option_draft.hpp"
#include "netns/execute.hpp"

namespace l4n::cli {
namespace {

constexpr char kTapName[] = "tap0";

Check take_command(std::vector<std::string>& command, const OptionScanner& scanner) {
  command = scanner.positionals();
  return command.empty() ? complaint_with_usage(fmt::format("{}: no command given", scanner.argv0()))
                         : Check();
}

Check parse(Draft& draft, std::vector<std::string>& command, OptionScanner& scanner) {
  Check ending = collect(draft, scanner);
  ending = ending ? ending : check_mtu(draft.options);
  ending = ending ? ending : take_values(draft);
  ending = ending ? ending : check_api_socket(draft.options);
  return ending ? ending : take_command(command, scanner);
}

}  // namespace

bool is_run(std::span<const char* const> argv) noexcept {
  return argv.size() > 1 && std::string_view(argv[1]) == "run";
}

RunParseOutcome parse_run_options(std::span<const char* const> argv) {
  const std::string name = fmt::format("{} {}", argv[0], argv[1]);
  std::vector<const char*> words(argv.begin() + 1, argv.end());
  words.front() = name.c_str();
  OptionScanner scanner(words, Command::run);
  Draft draft(scanner.argv0());
  draft.options.configure = true;
  draft.options.tapname = kTapName;
  std::vector<std::string> command;
  Check ending = parse(draft, command, scanner);
  if (!ending) {
    return {.options = RunOptions{std::move(draft.options), std::move(command)}};
  }
  // A status of the command's own must not be mistaken for ours.
  const int exit_code = ending->exit_code == EXIT_SUCCESS ? EXIT_SUCCESS : netns::kStartFailed;
  std::string out = ending->out + (ending->usage ? usage_text(draft.argv0, Command::run) : "");
  return {.exit_code = exit_code, .out = std::move(out), .err = std::move(ending->err)};
}

}  // namespace l4n::cli
