// DHCP requests read once more, by walking through the message with an index (RFC 2131 2, RFC 2132, RFC
// 3396).
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "nat/dhcp_message.hpp"
#include "netns/sys/bytes.hpp"

namespace l4n::fuzz {

// The options of all fields, parts of one code put together. Nothing when one is cut off, or when the field
// that says where there are more makes no sense.
using DhcpOptions = std::map<unsigned, std::vector<std::byte>>;
[[nodiscard]] std::optional<DhcpOptions> read_dhcp_options(sys::Bytes message);

// What nat::decode_dhcp_request() must say.
[[nodiscard]] std::optional<nat::DhcpRequest> expected_dhcp_request(sys::Bytes message);

}  // namespace l4n::fuzz
