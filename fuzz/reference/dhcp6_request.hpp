// DHCPv6 messages of clients read once more (RFC 8415 8, 21), over lists of options instead of a stream.
#pragma once

#include <optional>

#include "nat/dhcp6_message.hpp"
#include "netns/sys/bytes.hpp"

namespace l4n::fuzz {

// What nat::decode_dhcp6_request() must say.
[[nodiscard]] std::optional<nat::Dhcp6Request> expected_dhcp6_request(sys::Bytes message);

}  // namespace l4n::fuzz
