#include "cli/option_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

namespace l4n::cli {
namespace {

constexpr auto kOptions = std::to_array<OptionSpec>({
    {OptionId::configure, "configure", 'c', "",
     "bring the interface up and give it address and default route"},
    {OptionId::exit_fd, "exit-fd", 'e', "FD", "end when this descriptor hangs up"},
    {OptionId::ready_fd, "ready-fd", 'r', "FD", "write \"1\" to this descriptor when the network works"},
    {OptionId::mtu, "mtu", 'm', "MTU", "MTU of the interface (default 1500, at most 65521)", true},
    {OptionId::enable_ipv6, "enable-ipv6", '6', "", "offer IPv6 as well", true},
    {OptionId::api_socket, "api-socket", 'a', "PATH", "accept API requests on this Unix socket", true},
    {OptionId::cidr, "cidr", 0, "CIDR", "IPv4 network of the namespace (default 10.0.2.0/24)", true},
    // What abbreviated --cidr before there was --cidr6.
    {OptionId::cidr, "cid", 0, "CIDR", "", true},
    {OptionId::cidr, "ci", 0, "CIDR", "", true},
    {OptionId::cidr6, "cidr6", 0, "CIDR", "IPv6 network of the namespace (default fd00::/64)", true},
    {OptionId::disable_host_loopback, "disable-host-loopback", 0, "", "no access to the host's 127.0.0.1",
     true},
    {OptionId::no_host_loopback, "no-host-loopback", 0, "", ""},
    {OptionId::netns_type, "netns-type", 0, "TYPE", "what names the namespace: pid (default), path or tapfd"},
    {OptionId::userns_path, "userns-path", 0, "PATH", "user namespace to join first"},
    {OptionId::enable_sandbox, "enable-sandbox", 0, "", "refuse to run without the file system sandbox",
     true},
    {OptionId::create_sandbox, "create-sandbox", 0, "", ""},
    {OptionId::enable_seccomp, "enable-seccomp", 0, "", "refuse to run without the system call filter", true},
    {OptionId::outbound_addr, "outbound-addr", 0, "IPv4|IFNAME", "source of IPv4 connections to the outside",
     true},
    {OptionId::outbound_addr6, "outbound-addr6", 0, "IPv6|IFNAME",
     "source of IPv6 connections to the outside", true},
    {OptionId::disable_dns, "disable-dns", 0, "", "do not serve DNS in the namespace", true},
    {OptionId::macaddress, "macaddress", 0, "MAC", "MAC address of the interface", true},
    {OptionId::target_type, "target-type", 0, "TYPE",
     "what to serve: netns (default) or bess (a Unix socket)"},
    {OptionId::max_tcp_flows, "max-tcp-flows", 0, "N", "most TCP connections at once (default 16384)", true},
    {OptionId::max_tcp_attempts, "max-tcp-attempts", 0, "N",
     "most of them that are not established yet (default 1024)", true},
    {OptionId::max_udp_flows, "max-udp-flows", 0, "N", "most UDP flows at once (default 4096)", true},
    {OptionId::memory_limit, "memory-limit", 0, "SIZE",
     "most memory of TCP connections, as in 192M (default)", true},
    {OptionId::tcp_keepalive, "tcp-keepalive", 0, "SECONDS",
     "silence after which a TCP peer is probed (default 7200, 0: never)", true},
    // What abbreviated --target-type before there was --tcp-keepalive.
    {OptionId::target_type, "t", 0, "TYPE", ""},
    // What abbreviated --macaddress before there was --max-tcp-flows.
    {OptionId::macaddress, "ma", 0, "MAC", "", true},
    {OptionId::help, "help", 'h', "", "show this help and exit", true},
    {OptionId::version, "version", 'v', "", "show version and exit", true},
});

// getopt returns kLongBase + row for a long option, so that its result tells the two forms apart and no
// letter can be taken for a long option.
constexpr int kLongBase = 256;

constexpr std::string_view kIntroduction =
    "Connects a network namespace to the host's network, without privileges.\n";
constexpr std::string_view kRunIntroduction =
    "Runs a command in a network namespace that is connected to the host's network, without privileges.\n";

constexpr std::string_view kPositionals =
    "PID, PATH and FD name the target as --netns-type says; FD is an open TAP and takes no TAPNAME.\n"
    "With --target-type=bess the only argument is the PATH of the socket to listen on.\n"
    "--macaddress needs --configure.\n"
    "To start a command in a namespace made for it: lwip4netns run [OPTION]... [--] COMMAND [ARGUMENT]...\n";
constexpr std::string_view kRunPositionals =
    "The command is root in user, network, mount and PID namespaces made for it; started by root, it keeps\n"
    "the user's ids. Its end is the end of everything that it has started.\n"
    "The host's 127.0.0.1 is reachable as the gateway, 10.0.2.2, unless --disable-host-loopback is given.\n"
    "Exit status: the command's, 128+n after signal n; 125 when the namespaces or the network could not be\n"
    "made, 126 when the command cannot be executed, 127 when it is not found.\n";

bool belongs_to(const OptionSpec& spec, Command command) { return command == Command::attach || spec.in_run; }

// A leading ':' makes getopt tell a missing argument from an unknown option, a '+' makes it stop at the first
// positional.
std::string short_options(Command command) {
  std::string text = command == Command::run ? "+:" : ":";
  for (const OptionSpec& spec : kOptions) {
    if (spec.letter != 0 && belongs_to(spec, command)) {
      text += spec.letter;
      text += spec.argument.empty() ? "" : ":";
    }
  }
  return text;
}

std::vector<option> long_options(Command command) {
  std::vector<option> rows;
  int value = kLongBase;
  for (const OptionSpec& spec : kOptions) {
    if (belongs_to(spec, command)) {
      rows.push_back({spec.name, spec.argument.empty() ? no_argument : required_argument, nullptr, value});
    }
    ++value;
  }
  rows.push_back({nullptr, 0, nullptr, 0});
  return rows;
}

// The row behind a getopt result (or optopt), or null.
const OptionSpec* find_row(int result) {
  if (result >= kLongBase) {
    const auto row = static_cast<std::size_t>(result - kLongBase);
    return row < kOptions.size() ? &kOptions.at(row) : nullptr;
  }
  const auto found = std::find_if(kOptions.begin(), kOptions.end(), [result](const OptionSpec& spec) {
    return spec.letter != 0 && spec.letter == result;
  });
  return found != kOptions.end() ? &*found : nullptr;
}

// `word` fits no long option, or more than one.
std::string unknown_long_option(std::string_view argv0, std::string_view word, Command command) {
  const std::string_view name = word.substr(2, word.find('=') - 2);
  std::string possibilities;
  for (const OptionSpec& spec : kOptions) {
    const bool fits = belongs_to(spec, command) && std::string_view(spec.name).starts_with(name);
    if (fits && !spec.help.empty()) {
      possibilities += fmt::format(" '--{}'", spec.name);
    }
  }
  if (possibilities.empty()) {
    return fmt::format("{}: unrecognized option '{}'\n", argv0, word);
  }
  return fmt::format("{}: option '{}' is ambiguous; possibilities:{}\n", argv0, word, possibilities);
}

std::string help_column(const OptionSpec& spec) {
  const std::string letter = spec.letter != 0 ? fmt::format("-{},", spec.letter) : std::string(3, ' ');
  const std::string_view equals = spec.argument.empty() ? "" : "=";
  return fmt::format("  {} --{}{}{}", letter, spec.name, equals, spec.argument);
}

}  // namespace

std::span<const OptionSpec> option_table() noexcept { return kOptions; }

std::string usage_text(std::string_view argv0, Command command) {
  const bool run = command == Command::run;
  std::string text = fmt::format("Usage: {} [OPTION]... {}\n{}\n", argv0,
                                 run ? "[--] COMMAND [ARGUMENT]..." : "PID|PATH|FD [TAPNAME]",
                                 run ? kRunIntroduction : kIntroduction);
  for (const OptionSpec& spec : kOptions) {
    if (!spec.help.empty() && belongs_to(spec, command)) {
      text += fmt::format("{:<36}{}\n", help_column(spec), spec.help);
    }
  }
  return fmt::format("{}\n{}", text, run ? kRunPositionals : kPositionals);
}

OptionScanner::OptionScanner(std::span<const char* const> argv, Command command)
    : command_(command),
      letters_(short_options(command)),
      names_(long_options(command)),
      words_(argv.begin(), argv.end()) {
  if (words_.empty()) {
    words_.emplace_back("lwip4netns");
  }
  for (std::string& word : words_) {
    argv_.push_back(word.data());
  }
  argv_.push_back(nullptr);
  optind = 0;  // makes glibc and musl forget an earlier scan
  opterr = 0;  // the messages are ours: the caller decides where they go
}

Scanned OptionScanner::next() {
  const int result =
      ::getopt_long(static_cast<int>(words_.size()), argv_.data(), letters_.c_str(), names_.data(), nullptr);
  if (result == -1) {
    return {};
  }
  const OptionSpec* const row = result == '?' || result == ':' ? nullptr : find_row(result);
  if (row == nullptr) {
    return {.kind = Scanned::Kind::error, .message = error_message(result)};
  }
  const bool has_value = !row->argument.empty() && optarg != nullptr;
  return {.kind = Scanned::Kind::option, .id = row->id, .value = has_value ? optarg : ""};
}

std::string OptionScanner::error_message(int result) const {
  const bool is_short = optopt != 0 && optopt < kLongBase;
  if (is_short) {
    const char* const what = result == ':' ? "option requires an argument" : "invalid option";
    return fmt::format("{}: {} -- '{}'\n", argv0(), what, static_cast<char>(optopt));
  }
  const OptionSpec* const row = find_row(optopt);
  if (row == nullptr) {
    return unknown_long_option(argv0(), argv_.at(static_cast<std::size_t>(optind) - 1), command_);
  }
  const char* const what = result == ':' ? "requires an argument" : "doesn't allow an argument";
  return fmt::format("{}: option '--{}' {}\n", argv0(), row->name, what);
}

std::vector<std::string> OptionScanner::positionals() const {
  return {argv_.begin() + optind, argv_.end() - 1};
}

}  // namespace l4n::cli
