// --outbound-addr, from the command line's words to what the host's sockets take.
#pragma once

#include <optional>
#include <string>

#include "cli/options.hpp"
#include "nat/outbound.hpp"
#include "netns/interface_addresses.hpp"
#include "netns/sys/result.hpp"

namespace l4n::cli {

// The interface to follow; empty: none.
[[nodiscard]] std::string outbound_interface(const Options& options);

// The address that was given, if this host does not have it at present. It may get it later.
[[nodiscard]] std::optional<std::string> missing_outbound_address(const Options& options);

// What an interface means at present.
[[nodiscard]] nat::Outbound to_outbound(const netns::InterfaceAddresses& addresses);

// What the options mean at present.
[[nodiscard]] sys::Result<nat::Outbound> outbound(const Options& options);

}  // namespace l4n::cli
