#include "cli/startup_text.hpp"

#include <fmt/format.h>

#include <string_view>

namespace l4n::cli {
namespace {

// Offsets of the fixed addresses from the network address.
constexpr std::uint32_t kGateway = 2;
constexpr std::uint32_t kDns = 3;
constexpr std::uint32_t kDhcpBegin = 15;
constexpr std::uint32_t kDhcpEnd = 30;
constexpr std::uint32_t kRecommended = 100;

// Values start in column 20.
std::string line(std::string_view name, std::string_view value) {
  return fmt::format("* {:<17}{}\n", fmt::format("{}:", name), value);
}

std::string address_lines(const sys::Ipv4Network& network) {
  const auto host = [&network](std::uint32_t n) { return sys::to_string(network.host(n)); };
  return line("Network", host(0)) + line("Netmask", sys::to_string(sys::Ipv4Address{network.mask()})) +
         line("Gateway", host(kGateway)) + line("DNS", host(kDns)) + line("DHCP begin", host(kDhcpBegin)) +
         line("DHCP end", host(kDhcpEnd)) + line("Recommended IP", host(kRecommended));
}

std::string optional_lines(const Options& options) {
  std::string text;
  if (options.api_socket) {
    text += line("API Socket", *options.api_socket);
  }
  if (options.outbound_addr) {
    text += line("Outbound IPv4", options.outbound_addr->text);
  }
  if (options.outbound_addr6) {
    text += line("Outbound IPv6", options.outbound_addr6->text);
  }
  if (options.macaddress) {
    text += line("MAC address", to_text(*options.macaddress));
  }
  return text;
}

std::string loopback_warning(const Options& options) {
  if (options.disable_host_loopback) {
    return {};
  }
  return fmt::format(
      "WARNING: 127.0.0.1:* on the host is accessible as {} "
      "(set --disable-host-loopback to prohibit connecting to 127.0.0.1:*)\n",
      sys::to_string(options.cidr.host(kGateway)));
}

}  // namespace

std::string startup_text(const Options& options) {
  return "Starting slirp\n" + line("MTU", fmt::format("{}", options.mtu)) + address_lines(options.cidr) +
         optional_lines(options) + loopback_warning(options);
}

}  // namespace l4n::cli
