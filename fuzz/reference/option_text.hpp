// What the texts of single options mean, by rules written down once more: regular and slow.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "netns/sys/ip_address.hpp"

namespace l4n::fuzz {

// As strtol reads it: blanks, a sign, decimal digits to the end; and within the bounds.
[[nodiscard]] std::optional<int> expected_integer(const std::string& text, int min, int max);

// A.B.C.D/N. Where there is none, what the complaint must begin with.
struct ExpectedCidr {
  std::optional<sys::Ipv4Network> network;
  std::string complaint;
};
[[nodiscard]] ExpectedCidr expected_cidr(const std::string& text);

// IPv6/N.
[[nodiscard]] std::optional<sys::Ipv6Network> expected_cidr6(const std::string& text);

[[nodiscard]] std::optional<std::array<std::uint8_t, 6>> expected_mac(const std::string& text);

}  // namespace l4n::fuzz
