// Three steps: collect() reads the options, checks judge those that depend on others, take_target() reads the
// positionals. The order in which things are checked is what callers of slirp4netns see.
#include "cli/options.hpp"

#include <fmt/format.h>
#include <net/if.h>
#include <sys/un.h>
#include <unistd.h>

#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/option_draft.hpp"
#include "netns/sys/result.hpp"

namespace l4n::cli {
namespace {

constexpr int kMaxInt = std::numeric_limits<int>::max();
constexpr std::size_t kMaxSocketPath = sizeof(sockaddr_un::sun_path);  // with the closing zero
constexpr std::size_t kMaxInterfaceName = IF_NAMESIZE - 1;

Check check_mac_is_configured(const Draft& draft) {
  if (draft.macaddress && !draft.options.configure) {
    return complaint_with_usage("--macaddr cannot be specified when --configure or -c is not specified");
  }
  return kFine;
}

Check take_target_type(Draft& draft) {
  if (!draft.target_type || *draft.target_type == "netns") {
    draft.options.target_type = TargetType::netns;
  } else if (*draft.target_type == "bess") {
    draft.options.target_type = TargetType::bess;
  } else {
    return complaint_with_usage("--target-type must be either \"netns\" or \"bess\"");
  }
  return kFine;
}

Check take_netns_type(Draft& draft) {
  if (!draft.netns_type || *draft.netns_type == "pid") {
    draft.options.netns_type = NetnsType::pid;
  } else if (*draft.netns_type == "path") {
    draft.options.netns_type = NetnsType::path;
  } else if (*draft.netns_type == "tapfd") {
    draft.options.netns_type = NetnsType::tapfd;
  } else {
    return complaint_with_usage("--netns-type must be \"pid\", \"path\" or \"tapfd\"");
  }
  return kFine;
}

Check take_pid(Options& options, const std::string& word) {
  const std::optional<int> pid = parse_integer(word, 1, kMaxInt);
  if (!pid) {
    return complaint_with_usage("PID must be a positive integer");
  }
  options.pid = *pid;
  return kFine;
}

Check take_netns_path(Options& options, const std::string& word) {
  if (!exists(word)) {
    return complaint_with_usage(sys::errno_error("existing path expected when --netns-type=path").message());
  }
  options.netns_path = word;
  return kFine;
}

Check take_tapfd(Options& options, const std::string& word) {
  const std::optional<int> fd = parse_integer(word, 0, kMaxInt);
  if (!fd) {
    return complaint_with_usage("TAPFD must a file descriptor");
  }
  options.tapfd = *fd;
  return kFine;
}

// The kernel would cut a longer name and choose one for an empty one: never what was asked for.
Check take_tapname(Options& options, const std::string& word) {
  if (word.empty() || word.size() > kMaxInterfaceName) {
    return complaint(fmt::format("TAPNAME must have 1 to {} characters: {}", kMaxInterfaceName, word));
  }
  options.tapname = word;
  return kFine;
}

Check take_namespace(Draft& draft, const std::vector<std::string>& words) {
  if (Check ending = take_netns_type(draft)) {
    return ending;
  }
  Options& options = draft.options;
  const bool named = options.netns_type != NetnsType::tapfd;  // the TAP is still to be found by its name
  const std::size_t expected = named ? 2 : 1;
  if (words.size() < expected) {
    return only_usage(EXIT_FAILURE);
  }
  if (words.size() > expected) {
    warn(draft, "too many arguments");
  }
  if (!named) {
    return take_tapfd(options, words[0]);
  }
  Check ending =
      options.netns_type == NetnsType::pid ? take_pid(options, words[0]) : take_netns_path(options, words[0]);
  return ending ? ending : take_tapname(options, words[1]);
}

Check check_bess_conflicts(const Draft& draft) {
  const struct {
    std::string_view option;
    bool given;
  } conflicts[] = {
      {"--configure", draft.options.configure},
      {"--netns-type", draft.netns_type.has_value()},
      {"--userns-path", draft.options.userns_path.has_value()},
  };
  for (const auto& [option, given] : conflicts) {
    if (given) {
      return complaint_with_usage(fmt::format("{} conflicts with --target-type=bess", option));
    }
  }
  return kFine;
}

Check take_bess_socket(Draft& draft, const std::vector<std::string>& words) {
  if (words.empty()) {
    return only_usage(EXIT_FAILURE);
  }
  if (words.size() > 1) {
    return complaint_with_usage("too many arguments");
  }
  if (Check ending = check_bess_conflicts(draft)) {
    return ending;
  }
  if (words[0].empty() || words[0].size() >= kMaxSocketPath) {
    return complaint(fmt::format("the path of the BESS socket must have 1 to {} bytes", kMaxSocketPath - 1));
  }
  draft.options.bess_socket = words[0];
  return kFine;
}

Check take_target(Draft& draft, const std::vector<std::string>& words) {
  return draft.options.target_type == TargetType::bess ? take_bess_socket(draft, words)
                                                       : take_namespace(draft, words);
}

Check parse(Draft& draft, OptionScanner& scanner) {
  Check ending = collect(draft, scanner);
  ending = ending ? ending : check_mtu(draft.options);
  ending = ending ? ending : check_mac_is_configured(draft);
  ending = ending ? ending : take_target_type(draft);
  ending = ending ? ending : take_target(draft, scanner.positionals());
  ending = ending ? ending : take_values(draft);
  return ending ? ending : check_api_socket(draft.options);
}

}  // namespace

ParseOutcome parse_options(std::span<const char* const> argv) {
  OptionScanner scanner(argv);
  Draft draft(scanner.argv0());
  Check ending = parse(draft, scanner);
  if (!ending) {
    return {.options = std::move(draft.options), .out = std::move(draft.warnings)};
  }
  std::string out = draft.warnings + ending->out + (ending->usage ? usage_text(draft.argv0) : "");
  return {.exit_code = ending->exit_code, .out = std::move(out), .err = std::move(ending->err)};
}

}  // namespace l4n::cli
