#include <algorithm>
#include <array>

#include "fuzz/world/injected_fault.hpp"
#include "fuzz/world/world.hpp"

namespace l4n::fuzz {
namespace {

struct Range {
  const char* network;
  unsigned bits;
};

// Never the address of a host socket, whatever the options are; but for what is asked before.
constexpr std::array<Range, 8> kNever{{
    {"0.0.0.0", 8},
    {"10.0.2.0", 24},  // the guest's own
    {"127.0.0.0", 8},
    {"224.0.0.0", 3},  // multicast, reserved, broadcast
    {"::", 96},        // unspecified, IPv4-compatible
    {"::ffff:0.0.0.0", 96},
    {"fd00::", 64},  // the guest's own
    {"ff00::", 8},
}};

std::array<std::uint8_t, 16> octets(const sys::IpAddress& address) {
  if (!address.is_v4()) {
    return address.v6().bytes;
  }
  const std::uint32_t value = address.v4().value;
  return {static_cast<std::uint8_t>(value >> 24U), static_cast<std::uint8_t>(value >> 16U),
          static_cast<std::uint8_t>(value >> 8U), static_cast<std::uint8_t>(value)};
}

bool lies_in(const sys::IpAddress& address, const Range& range) {
  const sys::IpAddress network = sys::parse_ip(range.network).value();
  if (network.is_v4() != address.is_v4()) {
    return false;
  }
  const auto a = octets(address);
  const auto b = octets(network);
  for (unsigned bit = 0; bit < range.bits; ++bit) {
    if (((a.at(bit / 8) ^ b.at(bit / 8)) >> (7 - bit % 8) & 1) != 0) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool may_be_reached(const WorldOptions& options, const sys::IpAddress& address) {
  if (lies_in(address, {"127.0.0.1", 32}) || lies_in(address, {"::1", 128})) {
    return options.policy.host_loopback && !injected(InjectedFault::deny_loopback);
  }
  if (lies_in(address, {"169.254.0.0", 16}) || lies_in(address, {"fe80::", 10})) {
    return options.policy.link_local;
  }
  return std::none_of(kNever.begin(), kNever.end(),
                      [&](const Range& range) { return lies_in(address, range); });
}

}  // namespace l4n::fuzz
