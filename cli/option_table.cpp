#include "cli/option_table.hpp"

#include <fmt/format.h>
#include <getopt.h>

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
    {OptionId::mtu, "mtu", 'm', "MTU", "MTU of the interface (default 1500, at most 65521)"},
    {OptionId::enable_ipv6, "enable-ipv6", '6', "", "offer IPv6 as well"},
    {OptionId::api_socket, "api-socket", 'a', "PATH", "accept API requests on this Unix socket"},
    {OptionId::cidr, "cidr", 0, "CIDR", "IPv4 network of the namespace (default 10.0.2.0/24)"},
    {OptionId::disable_host_loopback, "disable-host-loopback", 0, "", "no access to the host's 127.0.0.1"},
    {OptionId::no_host_loopback, "no-host-loopback", 0, "", ""},
    {OptionId::netns_type, "netns-type", 0, "TYPE", "what names the namespace: pid (default), path or tapfd"},
    {OptionId::userns_path, "userns-path", 0, "PATH", "user namespace to join first"},
    {OptionId::enable_sandbox, "enable-sandbox", 0, "", "refuse to run without the file system sandbox"},
    {OptionId::create_sandbox, "create-sandbox", 0, "", ""},
    {OptionId::enable_seccomp, "enable-seccomp", 0, "", "refuse to run without the system call filter"},
    {OptionId::outbound_addr, "outbound-addr", 0, "IPv4|IFNAME", "source of IPv4 connections to the outside"},
    {OptionId::outbound_addr6, "outbound-addr6", 0, "IPv6|IFNAME",
     "source of IPv6 connections to the outside"},
    {OptionId::disable_dns, "disable-dns", 0, "", "do not serve DNS in the namespace"},
    {OptionId::macaddress, "macaddress", 0, "MAC", "MAC address of the interface (only with --configure)"},
    {OptionId::target_type, "target-type", 0, "TYPE",
     "what to serve: netns (default) or bess (a Unix socket)"},
    {OptionId::help, "help", 'h', "", "show this help and exit"},
    {OptionId::version, "version", 'v', "", "show version and exit"},
});

// getopt returns kLongBase + row for a long option, so that its result tells the two forms apart and no
// letter can be taken for a long option.
constexpr int kLongBase = 256;

constexpr std::string_view kIntroduction =
    "Connects a network namespace to the host's network, without privileges.\n";

constexpr std::string_view kPositionals =
    "PID, PATH and FD name the target as --netns-type says; FD is an open TAP and takes no TAPNAME.\n"
    "With --target-type=bess the only argument is the PATH of the socket to listen on.\n";

// A leading ':' makes getopt tell a missing argument from an unknown option.
std::string short_options() {
  std::string text = ":";
  for (const OptionSpec& spec : kOptions) {
    if (spec.letter != 0) {
      text += spec.letter;
      text += spec.argument.empty() ? "" : ":";
    }
  }
  return text;
}

std::vector<option> long_options() {
  std::vector<option> rows;
  int value = kLongBase;
  for (const OptionSpec& spec : kOptions) {
    rows.push_back({spec.name, spec.argument.empty() ? no_argument : required_argument, nullptr, value});
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
std::string unknown_long_option(std::string_view argv0, std::string_view word) {
  const std::string_view name = word.substr(2, word.find('=') - 2);
  std::string possibilities;
  for (const OptionSpec& spec : kOptions) {
    if (std::string_view(spec.name).starts_with(name)) {
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

std::string usage_text(std::string_view argv0) {
  std::string text = fmt::format("Usage: {} [OPTION]... PID|PATH|FD [TAPNAME]\n{}\n", argv0, kIntroduction);
  for (const OptionSpec& spec : kOptions) {
    if (!spec.help.empty()) {
      text += fmt::format("{:<36}{}\n", help_column(spec), spec.help);
    }
  }
  return fmt::format("{}\n{}", text, kPositionals);
}

OptionScanner::OptionScanner(std::span<const char* const> argv) : words_(argv.begin(), argv.end()) {
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
  static const std::string letters = short_options();
  static const std::vector<option> names = long_options();
  const int result =
      ::getopt_long(static_cast<int>(words_.size()), argv_.data(), letters.c_str(), names.data(), nullptr);
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
    return unknown_long_option(argv0(), argv_.at(static_cast<std::size_t>(optind) - 1));
  }
  const char* const what = result == ':' ? "requires an argument" : "doesn't allow an argument";
  return fmt::format("{}: option '--{}' {}\n", argv0(), row->name, what);
}

std::vector<std::string> OptionScanner::positionals() const {
  return {argv_.begin() + optind, argv_.end() - 1};
}

}  // namespace l4n::cli
