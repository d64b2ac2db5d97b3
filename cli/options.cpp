// Three steps: collect() reads the options one by one, in the order given, and judges those that stand for
// themselves; check_options() judges those that depend on others; take_target() reads the positionals. The
// first complaint ends it. The order in which things are checked is what callers of slirp4netns see.
#include "cli/options.hpp"

#include <fmt/format.h>
#include <net/if.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/option_table.hpp"
#include "cli/version.hpp"
#include "netns/sys/result.hpp"

namespace l4n::cli {
namespace {

constexpr int kMaxInt = std::numeric_limits<int>::max();
constexpr int kMaxMtu = 65521;
constexpr int kMinMtu = 68;                                            // RFC 791
constexpr int kMinMtuIpv6 = 1280;                                      // RFC 8200
constexpr std::size_t kMaxSocketPath = sizeof(sockaddr_un::sun_path);  // with the closing zero
constexpr std::size_t kMaxInterfaceName = IF_NAMESIZE - 1;

// Why and how the parsing ends early.
struct Ending {
  int exit_code = EXIT_FAILURE;
  std::string out{};
  std::string err{};
  bool usage = false;  // the usage follows on stdout
};
using Check = std::optional<Ending>;
constexpr std::nullopt_t kFine = std::nullopt;

Ending complaint(std::string_view line) { return {.err = fmt::format("{}\n", line)}; }
Ending complaint_with_usage(std::string_view line) {
  return {.err = fmt::format("{}\n", line), .usage = true};
}
Ending only_usage(int exit_code) { return {.exit_code = exit_code, .usage = true}; }

// What has been read so far. The texts are judged when all options are known.
struct Draft {
  explicit Draft(std::string_view program) : argv0(program) {}

  std::string_view argv0;
  Options options;
  std::string warnings;
  std::optional<std::string> cidr;
  std::optional<std::string> netns_type;
  std::optional<std::string> macaddress;
  std::optional<std::string> outbound_addr;
  std::optional<std::string> outbound_addr6;
  std::optional<std::string> target_type;
};

void warn(Draft& draft, std::string_view text) { draft.warnings += fmt::format("WARNING: {}\n", text); }

void warn_deprecated(Draft& draft, std::string_view old_name, std::string_view new_name) {
  warn(draft,
       fmt::format("--{} is deprecated and will be removed in future releases, please use --{} instead.",
                   old_name, new_name));
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Check take_descriptor(std::optional<int>& into, std::string_view name, const std::string& value) {
  into = parse_integer(value, 0, kMaxInt);
  return into ? Check(kFine) : complaint_with_usage(fmt::format("{} must be a non-negative integer", name));
}

Check take_mtu(Options& options, const std::string& value) {
  const std::optional<int> mtu = parse_integer(value, 1, kMaxMtu);
  if (!mtu) {
    return complaint_with_usage("MTU must be a positive integer (< 65522)");
  }
  options.mtu = *mtu;
  return kFine;
}

Check take_userns_path(Options& options, const std::string& value) {
  if (!exists(value)) {
    return complaint_with_usage(fmt::format("userns path doesn't exist: {}", value));
  }
  options.userns_path = value;
  return kFine;
}

Check take_option(Draft& draft, OptionId id, const std::string& value) {
  Options& options = draft.options;
  switch (id) {
    case OptionId::configure:
      options.configure = true;
      break;
    case OptionId::exit_fd:
      return take_descriptor(options.exit_fd, "exit-fd", value);
    case OptionId::ready_fd:
      return take_descriptor(options.ready_fd, "ready-fd", value);
    case OptionId::mtu:
      return take_mtu(options, value);
    case OptionId::enable_ipv6:
      options.enable_ipv6 = true;
      break;
    case OptionId::api_socket:
      options.api_socket = value;
      break;
    case OptionId::cidr:
      draft.cidr = value;
      break;
    case OptionId::no_host_loopback:
      warn_deprecated(draft, "no-host-loopback", "disable-host-loopback");
      [[fallthrough]];
    case OptionId::disable_host_loopback:
      options.disable_host_loopback = true;
      break;
    case OptionId::netns_type:
      draft.netns_type = value;
      break;
    case OptionId::userns_path:
      return take_userns_path(options, value);
    case OptionId::create_sandbox:
      warn_deprecated(draft, "create-sandbox", "enable-sandbox");
      [[fallthrough]];
    case OptionId::enable_sandbox:
      options.enable_sandbox = true;
      break;
    case OptionId::enable_seccomp:
      options.enable_seccomp = true;
      break;
    case OptionId::outbound_addr:
      draft.outbound_addr = value;
      break;
    case OptionId::outbound_addr6:
      draft.outbound_addr6 = value;
      break;
    case OptionId::disable_dns:
      options.disable_dns = true;
      break;
    case OptionId::macaddress:
      draft.macaddress = value;
      break;
    case OptionId::target_type:
      draft.target_type = value;
      break;
    case OptionId::help:
      return only_usage(EXIT_SUCCESS);
    case OptionId::version:
      return Ending{.exit_code = EXIT_SUCCESS, .out = version_text(draft.argv0)};
  }
  return kFine;
}

Check collect(Draft& draft, OptionScanner& scanner) {
  for (Scanned found = scanner.next(); found.kind != Scanned::Kind::end; found = scanner.next()) {
    if (found.kind == Scanned::Kind::error) {
      return Ending{.err = found.message, .usage = true};
    }
    if (Check ending = take_option(draft, found.id, found.value)) {
      return ending;
    }
  }
  return kFine;
}

// Reads a text with one of the parsers of option_values.hpp, if it was given at all.
template <class Target, class Value>
Check parse_given(const std::optional<std::string>& text, sys::Result<Value> (*parse)(const std::string&),
                  Target& into) {
  if (!text) {
    return kFine;
  }
  sys::Result<Value> value = parse(*text);
  if (!value) {
    return complaint(value.error().message());
  }
  into = std::move(*value);
  return kFine;
}

// Judged only here because --enable-ipv6 may follow --mtu.
Check check_mtu(const Options& options) {
  if (options.mtu < kMinMtu) {
    return complaint_with_usage(fmt::format("MTU must be at least {}", kMinMtu));
  }
  if (options.enable_ipv6 && options.mtu < kMinMtuIpv6) {
    return complaint_with_usage(fmt::format("MTU must be at least {} with --enable-ipv6", kMinMtuIpv6));
  }
  return kFine;
}

Check check_api_socket(const Options& options) {
  if (options.api_socket && options.api_socket->empty()) {
    return complaint("the specified API socket path is empty");
  }
  if (options.api_socket && options.api_socket->size() >= kMaxSocketPath) {
    return complaint(fmt::format("the specified API socket path is too long (>= {})", kMaxSocketPath));
  }
  return kFine;
}

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

Check take_values(Draft& draft) {
  Check ending = parse_given(draft.cidr, parse_cidr, draft.options.cidr);
  ending =
      ending ? ending : parse_given(draft.outbound_addr, parse_outbound_addr, draft.options.outbound_addr);
  ending =
      ending ? ending : parse_given(draft.outbound_addr6, parse_outbound_addr6, draft.options.outbound_addr6);
  return ending ? ending : parse_given(draft.macaddress, parse_mac_address, draft.options.macaddress);
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
