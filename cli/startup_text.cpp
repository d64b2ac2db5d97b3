#include "cli/startup_text.hpp"

#include <fmt/format.h>

#include <string_view>

#include "nat/guest_addresses.hpp"

namespace l4n::cli {
namespace {

// Offsets of the fixed addresses from the network address.
constexpr std::uint16_t kGateway = 2;
constexpr std::uint16_t kDns = 3;
constexpr std::uint32_t kDhcpBegin = 15;
constexpr std::uint32_t kDhcpEnd = 30;

// Values start in column 20.
std::string line(std::string_view name, std::string_view value) {
  return fmt::format("* {:<17}{}\n", fmt::format("{}:", name), value);
}

std::string address_lines(const sys::Ipv4Network& network) {
  const auto host = [&network](std::uint32_t n) { return sys::to_string(network.host(n)); };
  return line("Network", host(0)) + line("Netmask", sys::to_string(sys::Ipv4Address{network.mask()})) +
         line("Gateway", host(kGateway)) + line("DNS", host(kDns)) + line("DHCP begin", host(kDhcpBegin)) +
         line("DHCP end", host(kDhcpEnd)) +
         line("Recommended IP", sys::to_string(nat::guest_address(network)));
}

std::string address6_lines(const sys::Ipv6Network& network) {
  const auto host = [&network](std::uint16_t n) { return sys::to_string(network.host(n)); };
  return line("IPv6 Prefix", fmt::format("{}/{}", host(0), network.prefix)) +
         line("IPv6 Gateway", host(kGateway)) + line("IPv6 DNS", host(kDns)) +
         line("IPv6 Guest", sys::to_string(nat::guest_address(network)));
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

std::string loopback_warning(std::string_view loopback, std::string_view gateway) {
  return fmt::format(
      "WARNING: {0}:* on the host is accessible as {1} "
      "(set --disable-host-loopback to prohibit connecting to {0}:*)\n",
      loopback, gateway);
}

std::string loopback_warnings(const Options& options) {
  if (options.disable_host_loopback) {
    return {};
  }
  const std::string gateway = sys::to_string(options.cidr.host(kGateway));
  const std::string gateway6 = sys::to_string(options.cidr6.host(kGateway));
  return loopback_warning("127.0.0.1", gateway) +
         (options.enable_ipv6 ? loopback_warning("[::1]", gateway6) : "");
}

}  // namespace

std::string startup_text(const Options& options) {
  return "Starting slirp\n" + line("MTU", fmt::format("{}", options.mtu)) + address_lines(options.cidr) +
         (options.enable_ipv6 ? address6_lines(options.cidr6) : "") + optional_lines(options) +
         loopback_warnings(options);
}

}  // namespace l4n::cli
