#include "cli/run_options.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "cli/option_table.hpp"
#include "tests/cli/command_line.hpp"

namespace l4n::cli {
namespace {

RunParseOutcome parse_words(const std::vector<std::string>& words) {
  std::vector<const char*> argv;
  argv.reserve(words.size());
  for (const std::string& word : words) {
    argv.push_back(word.c_str());
  }
  return parse_run_options(argv);
}

RunParseOutcome parse_line(std::string_view line) { return parse_words(test::split(line)); }

// The options of a command line that must be good and silent.
RunOptions good(std::string_view line) {
  CAPTURE(std::string(line));
  RunParseOutcome outcome = parse_line(line);
  CHECK(outcome.out.empty());
  CHECK(outcome.err.empty());
  REQUIRE(outcome.options.has_value());
  return *outcome.options;
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("run: told by the first word only") {
  CHECK(is_run(std::vector{"prog", "run"}));
  CHECK(is_run(std::vector{"prog", "run", "ls"}));
  CHECK_FALSE(is_run(std::vector{"prog"}));
  CHECK_FALSE(is_run(std::vector{"run"}));
  CHECK_FALSE(is_run(std::vector{"prog", "-c", "run"}));
  CHECK_FALSE(is_run(std::vector{"prog", "runs"}));
  CHECK_FALSE(is_run(std::vector<const char*>{}));
}

TEST_CASE("run: defaults") {
  const RunOptions o = good("prog run -- ls");
  CHECK(o.command == Words{"ls"});
  CHECK(o.network.configure);
  CHECK(o.network.tapname == "tap0");
  CHECK(o.network.mtu == 1500);
  CHECK(o.network.cidr == sys::Ipv4Network{sys::make_ipv4(10, 0, 2, 0), 24});
  CHECK_FALSE(o.network.disable_host_loopback);
  CHECK_FALSE(o.network.disable_dns);
  CHECK_FALSE(o.network.macaddress.has_value());
  CHECK(o.network.target_type == TargetType::netns);
}

TEST_CASE("run: options of the network") {
  const RunOptions o = good(
      "prog run -m 4000 --cidr=10.5.0.0/16 --cidr6 fd05::/96 --disable-host-loopback --disable-dns "
      "--macaddress 0e:d4:18:d9:38:fb -- ls -l");
  CHECK(o.network.mtu == 4000);
  CHECK(o.network.cidr == sys::Ipv4Network{sys::make_ipv4(10, 5, 0, 0), 16});
  CHECK(o.network.cidr6 == sys::Ipv6Network{sys::parse_ipv6("fd05::").value(), 96});
  CHECK(o.network.disable_host_loopback);
  CHECK(o.network.disable_dns);
  REQUIRE(o.network.macaddress.has_value());
  CHECK(to_text(*o.network.macaddress) == "0e:d4:18:d9:38:fb");
  CHECK(o.command == Words{"ls", "-l"});
}

TEST_CASE("run: options with arguments of every kind") {
  const RunOptions o = good(
      "prog run -6 -a /tmp/socket --enable-sandbox --enable-seccomp --outbound-addr=127.0.0.1 "
      "--outbound-addr6=::1 -- true");
  CHECK(o.network.enable_ipv6);
  CHECK(o.network.api_socket == "/tmp/socket");
  CHECK(o.network.enable_sandbox);
  CHECK(o.network.enable_seccomp);
  CHECK(o.network.outbound_addr.has_value());
  CHECK(o.network.outbound_addr6.has_value());
}

TEST_CASE("run: the command begins where the options end") {
  const struct {
    std::string line;
    Words command;
  } rows[] = {
      {"prog run ls -l --mtu 0", {"ls", "-l", "--mtu", "0"}},
      {"prog run -- ls -- -h", {"ls", "--", "-h"}},
      {"prog run ls -- -h", {"ls", "--", "-h"}},
      {"prog run -- -c", {"-c"}},
      {"prog run -m 4000 -- run -- ls", {"run", "--", "ls"}},
      {"prog run run", {"run"}},
      {"prog run --disable-d ls", {"ls"}},  // abbreviated, as everywhere
  };
  for (const auto& row : rows) {
    CHECK(good(row.line).command == row.command);
  }
}

TEST_CASE("run: words are kept as they are") {
  const RunParseOutcome outcome = parse_words({"prog", "run", "--", "", " a b ", "*"});
  REQUIRE(outcome.options.has_value());
  CHECK(outcome.options->command == Words{"", " a b ", "*"});
}

TEST_CASE("run: refused with the usage") {
  const struct {
    std::string line;
    std::string err;
  } rows[] = {
      {"prog run", "prog run: no command given"},
      {"prog run --", "prog run: no command given"},
      {"prog run -m 4000", "prog run: no command given"},
      {"prog run -m 0 ls", "MTU must be a positive integer (< 65522)"},
      {"prog run -m 67 ls", "MTU must be at least 68"},
      {"prog run -m 1279 -6 ls", "MTU must be at least 1280 with --enable-ipv6"},
      {"prog run -m", "prog run: option requires an argument -- 'm'"},
      {"prog run --cidr", "prog run: option '--cidr' requires an argument"},
      {"prog run --disable-dns=1 ls", "prog run: option '--disable-dns' doesn't allow an argument"},
      {"prog run --nonsense ls", "prog run: unrecognized option '--nonsense'"},
      {"prog run --disable ls",
       "prog run: option '--disable' is ambiguous; possibilities: '--disable-host-loopback' '--disable-dns'"},
      // What has no meaning here, because there is no target to be named and nobody to be told.
      {"prog run -c ls", "prog run: invalid option -- 'c'"},
      {"prog run --configure ls", "prog run: unrecognized option '--configure'"},
      {"prog run -e 3 ls", "prog run: invalid option -- 'e'"},
      {"prog run --exit-fd=3 ls", "prog run: unrecognized option '--exit-fd=3'"},
      {"prog run -r 3 ls", "prog run: invalid option -- 'r'"},
      {"prog run --ready-fd=3 ls", "prog run: unrecognized option '--ready-fd=3'"},
      {"prog run --netns-type=path ls", "prog run: unrecognized option '--netns-type=path'"},
      {"prog run --userns-path=/ ls", "prog run: unrecognized option '--userns-path=/'"},
      {"prog run --target-type=bess ls", "prog run: unrecognized option '--target-type=bess'"},
      {"prog run --no-host-loopback ls", "prog run: unrecognized option '--no-host-loopback'"},
      {"prog run --create-sandbox ls", "prog run: unrecognized option '--create-sandbox'"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.line);
    const RunParseOutcome outcome = parse_line(row.line);
    CHECK_FALSE(outcome.options.has_value());
    CHECK(outcome.exit_code == 125);
    CHECK(outcome.err == row.err + "\n");
    CHECK(outcome.out == usage_text("prog run", Command::run));
  }
}

TEST_CASE("run: refused without the usage") {
  const struct {
    std::string line;
    std::string err;
  } rows[] = {
      {"prog run --cidr=10.0.2.0 ls", "invalid CIDR: 10.0.2.0"},
      {"prog run --cidr6=fd00::/63 ls", "IPv6 prefix length needs to be 64-120"},
      {"prog run --cidr=10.0.2.0/26 ls", "prefix length needs to be 1-25"},
      {"prog run -a " + std::string(108, 'x') + " ls", "the specified API socket path is too long (>= 108)"},
      {"prog run --outbound-addr=no/such ls",
       "outbound-addr has to be valid ipv4 address or interface name."},
      {"prog run --macaddress=1 ls",
       "\"1\" is an invalid MAC address.\n"
       "macaddress has to be a valid MAC address (hex string, 6 bytes, each byte separated by a ':')."},
  };
  for (const auto& row : rows) {
    CAPTURE(row.line);
    const RunParseOutcome outcome = parse_line(row.line);
    CHECK_FALSE(outcome.options.has_value());
    CHECK(outcome.exit_code == 125);
    CHECK(outcome.err == row.err + "\n");
    CHECK(outcome.out.empty());
  }
}

TEST_CASE("run: help and version, before anything else is judged") {
  for (const std::string_view line :
       {"prog run --help", "prog run -h", "prog run -m 67 -h --", "prog run -h ls"}) {
    CAPTURE(std::string(line));
    const RunParseOutcome outcome = parse_line(line);
    CHECK_FALSE(outcome.options.has_value());
    CHECK(outcome.exit_code == 0);
    CHECK(outcome.err.empty());
    CHECK(outcome.out == usage_text("prog run", Command::run));
  }
  const RunParseOutcome version = parse_line("prog run -v");
  CHECK(version.exit_code == 0);
  CHECK(version.out.starts_with("lwip4netns version "));
}

TEST_CASE("run: the usage has the options of run and no others") {
  const std::string text = usage_text("prog run", Command::run);
  CHECK(text.starts_with("Usage: prog run [OPTION]... [--] COMMAND [ARGUMENT]...\n"));
  for (const OptionSpec& spec : option_table()) {
    CAPTURE(std::string(spec.name));
    const std::string row = fmt::format(" --{}{}", spec.name, spec.argument.empty() ? " " : "=");
    const bool shown = text.find(row) != std::string::npos;
    CHECK(shown == (spec.in_run && !spec.help.empty()));
  }
  CHECK(usage_text("prog").find("lwip4netns run") != std::string::npos);
}

}  // namespace l4n::cli
