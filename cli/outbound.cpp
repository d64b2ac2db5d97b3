#include "cli/outbound.hpp"

#include <algorithm>

namespace l4n::cli {
namespace {

const std::optional<OutboundSource>& source_of(const Options& options, bool is_v4) {
  return is_v4 ? options.outbound_addr : options.outbound_addr6;
}

bool may_be_ours(const sys::IpAddress& wanted) {
  const auto host = netns::read_interface_addresses({}, wanted.is_v4());
  return !host || host->own.size() >= netns::kMaxOwnAddresses || sys::is_loopback(wanted) ||
         std::find(host->own.begin(), host->own.end(), wanted) != host->own.end();
}

}  // namespace

std::string outbound_interface(const Options& options, bool is_v4) {
  const auto& source = source_of(options, is_v4);
  return source ? source->interface_name : std::string();
}

std::vector<std::string> missing_outbound_addresses(const Options& options) {
  std::vector<std::string> missing;
  for (const bool is_v4 : {true, false}) {
    const auto& source = source_of(options, is_v4);
    if (source && source->address && !may_be_ours(*source->address)) {
      missing.push_back(source->text);
    }
  }
  return missing;
}

nat::OutboundFamily to_outbound(const netns::InterfaceAddresses& addresses) {
  return {
      .wanted = true, .address = addresses.address, .interface_index = addresses.index, .own = addresses.own};
}

sys::Result<nat::OutboundFamily> outbound(const Options& options, bool is_v4) {
  const auto& source = source_of(options, is_v4);
  if (!source) {
    return nat::OutboundFamily{};
  }
  if (source->address) {
    return nat::OutboundFamily{.wanted = true, .address = *source->address};
  }
  auto addresses = netns::read_interface_addresses(source->interface_name, is_v4);
  if (!addresses) {
    return addresses.error();
  }
  return to_outbound(*addresses);
}

}  // namespace l4n::cli
