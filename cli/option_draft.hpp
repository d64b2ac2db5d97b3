// What all command lines have in common: options are collected into a draft one by one, in the order given,
// and those that stand for themselves are judged at once; then checks judge the rest. The first complaint
// ends it. Shared by options.cpp and run_options.cpp only.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "cli/option_table.hpp"
#include "cli/options.hpp"

namespace l4n::cli {

// Why and how the parsing ends early.
struct Ending {
  int exit_code = EXIT_FAILURE;
  std::string out{};
  std::string err{};
  bool usage = false;  // the usage follows on stdout
};
using Check = std::optional<Ending>;
inline constexpr std::nullopt_t kFine = std::nullopt;

[[nodiscard]] Ending complaint(std::string_view line);
[[nodiscard]] Ending complaint_with_usage(std::string_view line);
[[nodiscard]] Ending only_usage(int exit_code);

// What has been read so far. The texts are judged when all options are known.
struct Draft {
  explicit Draft(std::string_view program) : argv0(program) {}

  std::string_view argv0;
  Options options;
  std::string warnings;
  std::optional<std::string> cidr;
  std::optional<std::string> cidr6;
  std::optional<std::string> netns_type;
  std::optional<std::string> macaddress;
  std::optional<std::string> outbound_addr;
  std::optional<std::string> outbound_addr6;
  std::optional<std::string> target_type;
  std::optional<std::string> memory_limit;
};

void warn(Draft& draft, std::string_view text);

// Reads all options; positionals stay in the scanner.
[[nodiscard]] Check collect(Draft& draft, OptionScanner& scanner);

// Judged only when all options are known because --enable-ipv6 may follow --mtu.
[[nodiscard]] Check check_mtu(const Options& options);
[[nodiscard]] Check check_api_socket(const Options& options);
// --cidr, --cidr6, --outbound-addr, --outbound-addr6, --macaddress and --memory-limit.
[[nodiscard]] Check take_values(Draft& draft);

[[nodiscard]] bool exists(const std::string& path);

}  // namespace l4n::cli
