// /etc/resolv.conf as far as we use it: name servers and the search list (resolv.conf(5)).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "netns/sys/ip_address.hpp"
#include "netns/sys/result.hpp"

namespace l4n::netns {

inline constexpr std::size_t kMaxResolvConfSize = 64UL * 1024;
inline constexpr std::size_t kMaxNameserversPerFamily = 3;

struct Nameserver {
  sys::IpAddress address;
  std::string scope;  // the interface name or number after '%', IPv6 only

  friend bool operator==(const Nameserver&, const Nameserver&) = default;
};

struct ResolvConf {
  std::vector<Nameserver> nameservers;  // in the file's order, without repetitions, at most 3 per family
  std::vector<std::string> search;      // the last `search` or `domain` line

  friend bool operator==(const ResolvConf&, const ResolvConf&) = default;
};

// Never fails: lines that make no sense are skipped, as every resolver does. Text beyond
// kMaxResolvConfSize is not looked at.
[[nodiscard]] ResolvConf parse_resolv_conf(std::string_view text);

// The same file for a guest: `nameservers` instead of those of `text`, all other lines (search, options)
// kept.
[[nodiscard]] std::string with_nameservers(std::string_view text,
                                           std::span<const sys::IpAddress> nameservers);

// Reads a regular file of at most kMaxResolvConfSize bytes. Never blocks on a FIFO or device.
[[nodiscard]] sys::Result<std::string> read_resolv_conf(const std::string& path);
// Reads and parses it.
[[nodiscard]] sys::Result<ResolvConf> load_resolv_conf(const std::string& path);

// The interface index that a scope means on this host; 0 for an empty, unknown or malformed one.
[[nodiscard]] std::uint32_t resolve_scope(const std::string& scope) noexcept;

}  // namespace l4n::netns
