// The little of DNS messages (RFC 1035 4.1) that a forwarder needs to know.
#pragma once

#include <cstdint>
#include <vector>

#include "netns/sys/bytes.hpp"

namespace l4n::nat {

inline constexpr std::size_t kDnsHeaderSize = 12;

// A query: long enough for a header, and not a response.
[[nodiscard]] bool is_dns_query(sys::Bytes message) noexcept;
// A response to this query: same ID, response bit set.
[[nodiscard]] bool is_dns_response_to(sys::Bytes response, sys::Bytes query) noexcept;
// The answer "server failure" (RCODE 2) to a query, with its question.
[[nodiscard]] std::vector<std::byte> dns_server_failure(sys::Bytes query);

}  // namespace l4n::nat
