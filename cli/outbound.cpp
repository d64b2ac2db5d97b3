#include "cli/outbound.hpp"

#include <algorithm>

namespace l4n::cli {

std::string outbound_interface(const Options& options) {
  return options.outbound_addr ? options.outbound_addr->interface_name : std::string();
}

std::optional<std::string> missing_outbound_address(const Options& options) {
  if (!options.outbound_addr || !options.outbound_addr->address) {
    return std::nullopt;
  }
  const auto host = netns::read_interface_addresses({});
  const sys::IpAddress& wanted = *options.outbound_addr->address;
  const bool may_be_ours = !host || host->own.size() >= netns::kMaxOwnAddresses ||
                           std::find(host->own.begin(), host->own.end(), wanted.v4()) != host->own.end() ||
                           sys::is_loopback(wanted);
  return may_be_ours ? std::nullopt : std::optional(options.outbound_addr->text);
}

nat::Outbound to_outbound(const netns::InterfaceAddresses& addresses) {
  return {.v4 = {.wanted = true,
                 .address = addresses.address,
                 .interface_index = addresses.index,
                 .own = {addresses.own.begin(), addresses.own.end()}}};
}

sys::Result<nat::Outbound> outbound(const Options& options) {
  if (!options.outbound_addr) {
    return nat::Outbound{};
  }
  if (options.outbound_addr->address) {
    return nat::Outbound{.v4 = {.wanted = true, .address = *options.outbound_addr->address}};
  }
  auto addresses = netns::read_interface_addresses(outbound_interface(options));
  if (!addresses) {
    return addresses.error();
  }
  return to_outbound(*addresses);
}

}  // namespace l4n::cli
