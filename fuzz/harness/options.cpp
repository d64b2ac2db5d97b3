// Command lines, and the values of single options against rules of their own
// (fuzz/reference/option_text.hpp).
//
// Input: the words of a command line, separated by NUL bytes. What stands behind
// the first '=' of each, or all of it, is tried as the value of any option.
#include "cli/options.hpp"

#include <array>
#include <limits>

#include "cli/run_options.hpp"
#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/reference/option_text.hpp"
#include "fuzz/support/fault.hpp"
#include "fuzz/support/text.hpp"
#include "nat/limits.hpp"

namespace l4n::fuzz {
namespace {

using cli::NetnsType;
using cli::Options;
using cli::TargetType;

constexpr std::size_t kSocketPath = 108;  // sockaddr_un, its closing zero included

// --- one value ---

void check_integer(const std::string& word) {
  constexpr int kMost = std::numeric_limits<int>::max();
  for (const auto& [min, max] : {std::pair(0, kMost), std::pair(1, 65521)}) {
    const auto expected = expected_integer(word, min, max);
    const auto value = cli::parse_integer(word, min, max);
    FUZZ_REQUIRE(value == expected, "the number \"{}\" is read as {}", printable(word), value.value_or(-1));
  }
}

void check_cidr(const std::string& word) {
  const ExpectedCidr expected = expected_cidr(word);
  auto network = cli::parse_cidr(word);
  if (fault("options: prefix") && network) {
    ++network->prefix;
  }
  FUZZ_REQUIRE(network.has_value() == expected.network.has_value(), "the CIDR \"{}\" is {}", printable(word),
               network ? "taken" : "refused");
  if (network) {
    FUZZ_REQUIRE(*network == *expected.network, "the CIDR \"{}\" is read as {}/{}", printable(word),
                 sys::to_string(network->address), network->prefix);
  } else {
    FUZZ_REQUIRE(network.error().message().starts_with(expected.complaint), "about the CIDR \"{}\": {}",
                 printable(word), printable(network.error().message()));
  }
}

void check_cidr6(const std::string& word) {
  const auto expected = expected_cidr6(word);
  const auto network = cli::parse_cidr6(word);
  FUZZ_REQUIRE(network.has_value() == expected.has_value() && (!network || *network == *expected),
               "the IPv6 CIDR \"{}\" is {}", printable(word), network ? "taken" : "refused");
}

void check_mac(const std::string& word) {
  const auto expected = expected_mac(word);
  const auto mac = cli::parse_mac_address(word);
  FUZZ_REQUIRE(mac.has_value() == expected.has_value() && (!mac || *mac == *expected),
               "the MAC address \"{}\" is {}", printable(word), mac ? "taken" : "refused");
  if (!mac) {
    FUZZ_REQUIRE(mac.error().message().find('"' + word + '"') != std::string::npos,
                 "a complaint that does not name the MAC address \"{}\"", printable(word));
    return;
  }
  FUZZ_REQUIRE(cli::parse_mac_address(cli::to_text(*mac)), "a MAC address that is not read back");
}

void check_address(const std::string& word) {
  if (const auto address = sys::parse_ip(word)) {
    FUZZ_REQUIRE(sys::parse_ip(sys::to_string(*address)) == address, "the address \"{}\" is not read back",
                 printable(word));
  }
}

void check_value(const std::string& value) {
  check_integer(value);
  check_cidr(value);
  check_cidr6(value);
  check_mac(value);
  check_address(value);
}

// --- a whole command line ---

void check_network(const Options& o) {
  FUZZ_REQUIRE(o.mtu >= (o.enable_ipv6 ? 1280 : 68) && o.mtu <= 65521, "an MTU of {}", o.mtu);
  FUZZ_REQUIRE(o.cidr.prefix >= 1 && o.cidr.prefix <= 25 && o.cidr.host(0) == o.cidr.address,
               "the network {}/{}", sys::to_string(o.cidr.address), o.cidr.prefix);
  FUZZ_REQUIRE(o.cidr6.prefix >= 64 && o.cidr6.prefix <= 120, "an IPv6 prefix of {}", o.cidr6.prefix);
  FUZZ_REQUIRE(!o.api_socket || (!o.api_socket->empty() && o.api_socket->size() < kSocketPath),
               "an API socket of {} bytes", o.api_socket->size());
  FUZZ_REQUIRE(!o.macaddress || o.configure, "a MAC address without -c");
  FUZZ_REQUIRE(o.exit_fd.value_or(0) >= 0 && o.ready_fd.value_or(0) >= 0, "a negative descriptor");
  for (const auto& source : {o.outbound_addr, o.outbound_addr6}) {
    FUZZ_REQUIRE(!source || source->address.has_value() == source->interface_name.empty(),
                 "an outbound address that is none, or both");
  }
  FUZZ_REQUIRE(!o.outbound_addr || !o.outbound_addr->address || o.outbound_addr->address->is_v4(),
               "an outbound address of the other family");
  FUZZ_REQUIRE(!o.outbound_addr6 || !o.outbound_addr6->address || !o.outbound_addr6->address->is_v4(),
               "an outbound IPv6 address of the other family");
}

// What the limits become where descriptors are few: less, but never nothing, and no more than there are.
void check_limits(const nat::Limits& wanted) {
  constexpr auto kDescriptors = std::to_array<std::size_t>({64, 256, 1000, 4096, 20'000, 1'000'000});
  for (const std::size_t descriptors : kDescriptors) {
    nat::Limits limits = nat::within_descriptors(wanted, descriptors);
    if (fault("options: limits")) {
      limits.udp_flows = descriptors;
    }
    const auto pairs =
        std::to_array<std::pair<std::size_t, std::size_t>>({{limits.tcp_flows, wanted.tcp_flows},
                                                            {limits.tcp_attempts, wanted.tcp_attempts},
                                                            {limits.udp_flows, wanted.udp_flows},
                                                            {limits.ping_flows, wanted.ping_flows},
                                                            {limits.dns_questions, wanted.dns_questions},
                                                            {limits.dns_spare, wanted.dns_spare}});
    for (const auto& [limit, most] : pairs) {
      FUZZ_REQUIRE(limit <= most && (limit > 0 || most == 0), "a limit of {} for {}, with {} descriptors",
                   limit, most, descriptors);
    }
    const std::size_t all =
        limits.tcp_flows + limits.udp_flows + limits.ping_flows + limits.dns_questions + limits.dns_spare;
    FUZZ_REQUIRE(all <= descriptors && limits.tcp_attempts <= limits.tcp_flows,
                 "limits of {} in all, with {} descriptors", all, descriptors);
  }
}

// Exactly one target.
void check_target(const Options& o) {
  const bool bess = o.target_type == TargetType::bess;
  const auto is = [&o, bess](NetnsType type) { return !bess && o.netns_type == type; };
  FUZZ_REQUIRE((o.pid > 0) == is(NetnsType::pid), "a pid of {}", o.pid);
  FUZZ_REQUIRE(o.netns_path.empty() != is(NetnsType::path), "the path \"{}\"", printable(o.netns_path));
  FUZZ_REQUIRE((o.tapfd >= 0) == is(NetnsType::tapfd), "a TAP descriptor of {}", o.tapfd);
  FUZZ_REQUIRE(o.bess_socket.empty() != bess && o.bess_socket.size() < kSocketPath, "the socket \"{}\"",
               printable(o.bess_socket));
  const bool named = is(NetnsType::pid) || is(NetnsType::path);
  FUZZ_REQUIRE(o.tapname.empty() != named && o.tapname.size() <= 15, "the TAP \"{}\"", printable(o.tapname));
}

// Parses, or ends and says why. `Outcome`: of parse_options() or parse_run_options().
template <class Outcome>
void check_ending(const Outcome& outcome, int failure) {
  if (outcome.options) {
    FUZZ_REQUIRE(outcome.err.empty() && outcome.exit_code == 0, "both options and the error {}",
                 printable(outcome.err));
    return;
  }
  FUZZ_REQUIRE(outcome.exit_code == 0 || outcome.exit_code == failure, "the exit status {}",
               outcome.exit_code);
  FUZZ_REQUIRE(!outcome.out.empty() || !outcome.err.empty(), "an end without a word");
  FUZZ_REQUIRE(outcome.exit_code != 0 || outcome.err.empty(), "success with the error {}",
               printable(outcome.err));
  FUZZ_REQUIRE(outcome.err.empty() || outcome.err.ends_with('\n'), "the unfinished line {}",
               printable(outcome.err));
}

// A complaint about a value repeats it as it was given.
void check_named(const std::string& err, const std::vector<std::string>& words) {
  constexpr auto kComplaints = std::to_array<std::string_view>(
      {"invalid CIDR: ", "invalid network address: ", "invalid IPv6 CIDR: ", "userns path doesn't exist: "});
  for (const std::string_view complaint : kComplaints) {
    if (!err.starts_with(complaint)) {
      continue;
    }
    const std::string value = err.substr(complaint.size(), err.size() - complaint.size() - 1);
    bool given = false;
    for (const std::string& word : words) {
      given = given || word.find(value) != std::string::npos;
    }
    FUZZ_REQUIRE(given, "a complaint about \"{}\", which nobody has said", printable(value));
  }
}

// The words live as long as these pointers.
std::vector<const char*> pointers(const std::vector<std::string>& words) {
  std::vector<const char*> argv;
  argv.reserve(words.size());
  for (const std::string& word : words) {
    argv.push_back(word.c_str());
  }
  return argv;
}

void check_command_line(const std::vector<std::string>& words) {
  const std::vector<const char*> argv = pointers(words);
  cli::ParseOutcome outcome = cli::parse_options(argv);
  if (fault("options: both")) {
    outcome.options.emplace();
    outcome.err = "error\n";
  }
  check_ending(outcome, 1);
  check_named(outcome.err, words);
  if (outcome.options) {
    check_network(*outcome.options);
    check_target(*outcome.options);
    check_limits(outcome.options->limits);
  }
  // getopt keeps its state in variables of its own.
  const cli::ParseOutcome again = cli::parse_options(argv);
  FUZZ_REQUIRE(again.out == outcome.out && again.err == outcome.err &&
                   again.options.has_value() == outcome.options.has_value(),
               "the same command line means something else the second time");
}

void check_run(const std::vector<std::string>& words) {
  const std::vector<const char*> argv = pointers(words);
  if (!cli::is_run(argv)) {
    return;
  }
  const cli::RunParseOutcome outcome = cli::parse_run_options(argv);
  check_ending(outcome, 125);
  if (outcome.options) {
    check_network(outcome.options->network);
    FUZZ_REQUIRE(!outcome.options->command.empty(), "no command to run");
  }
}

void run(sys::Bytes input) {
  const std::vector<std::string> words = pieces(text(input), '\0');
  for (const std::string& word : words) {
    check_value(word.substr(word.find('=') + 1));
  }
  check_command_line(words);
  check_run(words);
}

std::string print(sys::Bytes input) {
  std::string out;
  for (const std::string& word : pieces(text(input), '\0')) {
    out += printable(word) + "\n";
  }
  return out;
}

}  // namespace

const Harness kHarness{run, print, mutate_bytes};

}  // namespace l4n::fuzz
