#include "cli/option_draft.hpp"

#include <fmt/format.h>
#include <sys/un.h>
#include <unistd.h>

#include <limits>
#include <utility>

#include "cli/version.hpp"
#include "netns/sys/result.hpp"

namespace l4n::cli {
namespace {

constexpr int kMaxInt = std::numeric_limits<int>::max();
constexpr int kMaxMtu = 65521;
constexpr int kMaxFlows = 1 << 20;
constexpr int kMinMtu = 68;                                            // RFC 791
constexpr int kMinMtuIpv6 = 1280;                                      // RFC 8200
constexpr std::size_t kMaxSocketPath = sizeof(sockaddr_un::sun_path);  // with the closing zero

void warn_deprecated(Draft& draft, std::string_view old_name, std::string_view new_name) {
  warn(draft,
       fmt::format("--{} is deprecated and will be removed in future releases, please use --{} instead.",
                   old_name, new_name));
}

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

Check take_count(std::size_t& into, std::string_view name, const std::string& value) {
  const std::optional<int> count = parse_integer(value, 1, kMaxFlows);
  if (!count) {
    return complaint(fmt::format("{} must be a number from 1 to {}, not {}", name, kMaxFlows, value));
  }
  into = static_cast<std::size_t>(*count);
  return kFine;
}

Check take_keepalive(sys::Duration& into, const std::string& value) {
  const std::optional<int> seconds = parse_integer(value, 0, kMaxInt);
  if (!seconds) {
    return complaint(fmt::format("tcp-keepalive must be a number of seconds, 0 for never, not {}", value));
  }
  into = std::chrono::seconds(*seconds);
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
    case OptionId::cidr6:
      draft.cidr6 = value;
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
    case OptionId::max_tcp_flows:
      return take_count(options.limits.tcp_flows, "max-tcp-flows", value);
    case OptionId::max_tcp_attempts:
      return take_count(options.limits.tcp_attempts, "max-tcp-attempts", value);
    case OptionId::max_udp_flows:
      return take_count(options.limits.udp_flows, "max-udp-flows", value);
    case OptionId::memory_limit:
      draft.memory_limit = value;
      break;
    case OptionId::tcp_keepalive:
      return take_keepalive(options.limits.tcp_keepalive, value);
    case OptionId::help:
      return only_usage(EXIT_SUCCESS);
    case OptionId::version:
      return Ending{.exit_code = EXIT_SUCCESS, .out = version_text(draft.argv0)};
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

}  // namespace

Ending complaint(std::string_view line) { return {.err = fmt::format("{}\n", line)}; }
Ending complaint_with_usage(std::string_view line) {
  return {.err = fmt::format("{}\n", line), .usage = true};
}
Ending only_usage(int exit_code) { return {.exit_code = exit_code, .usage = true}; }

void warn(Draft& draft, std::string_view text) { draft.warnings += fmt::format("WARNING: {}\n", text); }

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

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

Check take_values(Draft& draft) {
  Check ending = parse_given(draft.cidr, parse_cidr, draft.options.cidr);
  ending = ending ? ending : parse_given(draft.cidr6, parse_cidr6, draft.options.cidr6);
  ending =
      ending ? ending : parse_given(draft.outbound_addr, parse_outbound_addr, draft.options.outbound_addr);
  ending =
      ending ? ending : parse_given(draft.outbound_addr6, parse_outbound_addr6, draft.options.outbound_addr6);
  ending = ending ? ending : parse_given(draft.memory_limit, parse_memory_limit, draft.options.limits.memory);
  return ending ? ending : parse_given(draft.macaddress, parse_mac_address, draft.options.macaddress);
}

}  // namespace l4n::cli
