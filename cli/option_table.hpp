// The command line's one table: what getopt_long accepts and what the help shows are made from the same rows,
// so they cannot diverge. This file knows how options are written; what they mean is in options.cpp.
#pragma once

#include <getopt.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace l4n::cli {

enum class OptionId : std::uint8_t {
  configure,
  exit_fd,
  ready_fd,
  mtu,
  enable_ipv6,
  api_socket,
  cidr,
  cidr6,
  disable_host_loopback,
  no_host_loopback,
  netns_type,
  userns_path,
  enable_sandbox,
  create_sandbox,
  enable_seccomp,
  outbound_addr,
  outbound_addr6,
  disable_dns,
  macaddress,
  target_type,
  max_tcp_flows,
  max_tcp_attempts,
  max_udp_flows,
  memory_limit,
  tcp_keepalive,
  help,
  version,
};

// The command lines that there are.
enum class Command : std::uint8_t {
  attach,  // [OPTION]... PID|PATH|FD [TAPNAME], in any order
  run,     // [OPTION]... [--] COMMAND [ARGUMENT]..., whose options are its own
};

struct OptionSpec {
  OptionId id;
  const char* name;           // long form, without the dashes
  char letter;                // short form, 0 when there is none
  std::string_view argument;  // how the help calls the argument; empty when the option takes none
  std::string_view help;      // one line; empty for another name of an option, which is not shown
  bool in_run = false;        // an option of `run` as well
};

[[nodiscard]] std::span<const OptionSpec> option_table() noexcept;

// The whole help. Callers look for option names in it as whole words. For `run` argv0 includes that word.
[[nodiscard]] std::string usage_text(std::string_view argv0, Command command = Command::attach);

// What getopt_long found next.
struct Scanned {
  enum class Kind : std::uint8_t {
    option,  // `id`, and `value` when it takes an argument
    error,   // `message` is the line for stderr, as getopt itself would word it
    end,     // the rest are positionals
  };
  Kind kind = Kind::end;
  OptionId id = OptionId::help;
  std::string value{};
  std::string message{};
};

// getopt_long over a copy of the command line: it permutes what it reads. Positionals and options may be
// mixed, except for `run`, and long options may be abbreviated. getopt has global state, so only one scanner
// may be in use at a time.
class OptionScanner {
 public:
  // argv[0] is the program's name; an empty command line is allowed.
  explicit OptionScanner(std::span<const char* const> argv, Command command = Command::attach);
  OptionScanner(const OptionScanner&) = delete;
  OptionScanner& operator=(const OptionScanner&) = delete;
  ~OptionScanner() = default;

  [[nodiscard]] Scanned next();
  // Only after next() has said end.
  [[nodiscard]] std::vector<std::string> positionals() const;
  [[nodiscard]] const std::string& argv0() const noexcept { return words_.front(); }

 private:
  [[nodiscard]] std::string error_message(int result) const;

  Command command_;
  std::string letters_;        // the short options, as getopt wants them
  std::vector<option> names_;  // and the long ones
  std::vector<std::string> words_;
  std::vector<char*> argv_;  // into words_, in getopt's order, closed by a null pointer
};

}  // namespace l4n::cli
