// --outbound-addr and --outbound-addr6, from the command line's words to what the host's sockets take.
#pragma once

#include <string>
#include <vector>

#include "cli/options.hpp"
#include "nat/outbound.hpp"
#include "netns/interface_addresses.hpp"
#include "netns/sys/result.hpp"

namespace l4n::cli {

// The interface to follow for the destinations of one family; empty: none.
[[nodiscard]] std::string outbound_interface(const Options& options, bool is_v4);

// The addresses that were given and that this host does not have at present. It may get them later.
[[nodiscard]] std::vector<std::string> missing_outbound_addresses(const Options& options);

// What an interface means at present.
[[nodiscard]] nat::OutboundFamily to_outbound(const netns::InterfaceAddresses& addresses);

// What the options mean at present for the destinations of one family.
[[nodiscard]] sys::Result<nat::OutboundFamily> outbound(const Options& options, bool is_v4);

}  // namespace l4n::cli
