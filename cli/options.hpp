// The command line: everything that can be decided before anything is opened. The result is either a complete
// set of options or an exit status; texts are returned, not printed, so that tests can read them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "cli/option_values.hpp"
#include "nat/limits.hpp"
#include "netns/sys/ip_address.hpp"
#include "stack/mac_address.hpp"

namespace l4n::cli {

// What the first positional is.
enum class NetnsType : std::uint8_t { pid, path, tapfd };
// What is served: a TAP in a network namespace, or a Unix socket that carries Ethernet frames.
enum class TargetType : std::uint8_t { netns, bess };

struct Options {
  nat::Limits limits;
  bool configure = false;
  std::optional<int> exit_fd;   // >= 0
  std::optional<int> ready_fd;  // >= 0
  int mtu = 1500;               // 68 (1280 with enable_ipv6) .. 65521
  bool enable_ipv6 = false;
  std::optional<std::string> api_socket;  // fits sockaddr_un
  sys::Ipv4Network cidr{sys::make_ipv4(10, 0, 2, 0), 24};
  sys::Ipv6Network cidr6 = kDefaultPrefix6;  // means something with enable_ipv6 only
  bool disable_host_loopback = false;
  NetnsType netns_type = NetnsType::pid;
  std::optional<std::string> userns_path;  // existed when it was checked
  bool enable_sandbox = false;
  bool enable_seccomp = false;
  std::optional<OutboundSource> outbound_addr;
  std::optional<OutboundSource> outbound_addr6;
  bool disable_dns = false;
  std::optional<stack::MacAddress> macaddress;  // only with configure
  TargetType target_type = TargetType::netns;

  // Positionals. Exactly one of these four, as netns_type and target_type say:
  pid_t pid = 0;            // > 0
  std::string netns_path;   // existed when it was checked
  int tapfd = -1;           // >= 0
  std::string bess_socket;  // fits sockaddr_un
  // pid and path only: 1 to 15 bytes.
  std::string tapname;
};

struct ParseOutcome {
  std::optional<Options> options{};  // run with these …
  int exit_code = 0;                 // … or, when there are none, end with this
  std::string out{};                 // for stdout, in either case: warnings, usage, version
  std::string err{};                 // for stderr
};

// `argv` as main() gets it. Looks at the file system (paths that must exist) and at the interfaces, changes
// nothing. Not reentrant: getopt has global state.
[[nodiscard]] ParseOutcome parse_options(std::span<const char* const> argv);

}  // namespace l4n::cli
