// Domain names as DHCP and router advertisements carry them.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace l4n::stack {

// A name as length-prefixed labels without compression (RFC 1035 3.1), a dot at its end or not. Empty for
// the root and for what no host can be called: empty or long labels, other characters than letters,
// digits, '-' and '_'.
[[nodiscard]] std::vector<std::byte> encode_domain_name(std::string_view name);

// One name after the other, without those that encode to nothing. They are in the order of their importance,
// so the first with which there would be more than `limit` bytes ends the list.
[[nodiscard]] std::vector<std::byte> encode_search_list(std::span<const std::string> names,
                                                        std::size_t limit);

}  // namespace l4n::stack
