// Parsers for the values of single options. Errors carry the exact text for stderr (without a newline).
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "netns/sys/ip_address.hpp"
#include "netns/sys/result.hpp"
#include "stack/mac_address.hpp"

namespace l4n::cli {

// Where connections to the outside start: exactly one of `address` and `interface_name` is set.
struct OutboundSource {
  std::string text;  // as given
  std::optional<sys::IpAddress> address;
  std::string interface_name;
};

// fd00::/64
inline constexpr sys::Ipv6Network kDefaultPrefix6{{{0xfd}}, 64};

// A decimal number as strtol reads it (leading blanks and a '+' are allowed), in min..max; nothing else.
[[nodiscard]] std::optional<int> parse_integer(const std::string& text, int min, int max);

// Bytes, or with K, M or G behind them so many KiB, MiB or GiB; at least 1 MiB.
[[nodiscard]] sys::Result<std::size_t> parse_memory_limit(const std::string& text);

// A.B.C.D/N with N in 1..25, so that the addresses up to x.100 exist, and no host bits.
[[nodiscard]] sys::Result<sys::Ipv4Network> parse_cidr(const std::string& text);

// IPv6/N with N in 64..120, so that the addresses that are served and given exist, and no host bits. Not in
// ::/64, where the unspecified, the loopback and the IPv4-mapped addresses are; not multicast nor link-local.
[[nodiscard]] sys::Result<sys::Ipv6Network> parse_cidr6(const std::string& text);

// Six bytes, each one or two hexadecimal digits, separated by ':'.
[[nodiscard]] sys::Result<stack::MacAddress> parse_mac_address(const std::string& text);
// aa:bb:cc:dd:ee:ff
[[nodiscard]] std::string to_text(const stack::MacAddress& mac);

// An address of the family, or the name of an interface that exists now.
[[nodiscard]] sys::Result<OutboundSource> parse_outbound_addr(const std::string& text);
[[nodiscard]] sys::Result<OutboundSource> parse_outbound_addr6(const std::string& text);

}  // namespace l4n::cli
