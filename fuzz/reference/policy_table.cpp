#include "fuzz/reference/policy_table.hpp"

namespace l4n::fuzz {
namespace {

using nat::Decision;
using nat::Protocol;
using nat::Verdict;
using sys::IpAddress;

IpAddress ip(std::string_view text) { return sys::parse_ip(text).value(); }

// The last address of a network: its first one with all bits behind the prefix set, one by one.
IpAddress last_of(sys::Ipv4Address first, unsigned prefix) {
  for (unsigned bit = prefix; bit < 32; ++bit) {
    first.value |= 1U << (31 - bit);
  }
  return first;
}
IpAddress last_of(sys::Ipv6Address first, unsigned prefix) {
  for (unsigned bit = prefix; bit < 128; ++bit) {
    first.bytes.at(bit / 8) |= static_cast<std::uint8_t>(1U << (7 - bit % 8));
  }
  return first;
}

IpAddress plus(sys::Ipv4Address first, std::uint32_t n) { return sys::Ipv4Address{first.value + n}; }
IpAddress plus(sys::Ipv6Address first, std::uint8_t n) {
  first.bytes[15] = n;
  return first;
}

Decision to_dns_server(Protocol protocol, std::uint16_t port) {
  if (protocol == Protocol::echo) {
    return {Verdict::answer_echo, {}};
  }
  return {port == 53 ? Verdict::dns : Verdict::unreachable, {}};
}

}  // namespace

PolicyTable::PolicyTable(const nat::PolicyConfig& config) : config_(config) {
  add_v4(config.network);
  if (config.network6) {
    add_v6(*config.network6);
  }
}

void PolicyTable::add(const IpAddress& first, const IpAddress& last, Place place) {
  rows_.push_back({first, last, place});
}

void PolicyTable::add(std::string_view first, std::string_view last, Place place) {
  add(ip(first), ip(last), place);
}

void PolicyTable::add_v4(const sys::Ipv4Network& network) {
  const sys::Ipv4Address x = network.address;
  const IpAddress last = last_of(x, network.prefix);
  add(plus(x, 2), plus(x, 2), Place::gateway);
  add(plus(x, 3), plus(x, 3), Place::dns_server);
  add(last, last, Place::group);
  add("0.0.0.0", "0.255.255.255", Place::nowhere);
  add("127.0.0.0", "127.255.255.255", Place::nowhere);
  add("224.0.0.0", "255.255.255.255", Place::group);
  add(x, last, Place::guest);
  add("169.254.0.0", "169.254.255.255", Place::link_local);
  add("0.0.0.0", "255.255.255.255", Place::outside);
}

void PolicyTable::add_v6(const sys::Ipv6Network& network) {
  const sys::Ipv6Address x = network.address;
  add(plus(x, 2), plus(x, 2), Place::gateway);
  add(plus(x, 3), plus(x, 3), Place::dns_server);
  add("fe80::2", "fe80::2", Place::router);
  add("::", "::ffff:ffff", Place::nowhere);
  add("::ffff:0:0", "::ffff:ffff:ffff", Place::nowhere);
  add("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Place::group);
  add(x, last_of(x, network.prefix), Place::guest);
  add("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Place::link_local);
  add("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Place::outside);
}

// Addresses of one family are ordered as numbers. Nothing of IPv6 is anywhere while there is none.
Place PolicyTable::place_of(const IpAddress& address, bool dns_is_special) const {
  for (const Row& row : rows_) {
    const bool holds = address.is_v4() == row.first.is_v4() && row.first <= address && address <= row.last;
    if (holds && (row.place != Place::dns_server || dns_is_special)) {
      return row.place;
    }
  }
  return Place::nowhere;
}

Decision PolicyTable::to_gateway(Protocol protocol, const sys::Endpoint& to) const {
  if (protocol == Protocol::echo) {
    return {Verdict::answer_echo, {}};
  }
  const IpAddress loopback = ip(to.address.is_v4() ? "127.0.0.1" : "::1");
  return config_.host_loopback ? Decision{Verdict::allow, {loopback, to.port}}
                               : Decision{Verdict::unreachable, {}};
}

Decision PolicyTable::decision(Protocol protocol, const sys::Endpoint& destination) const {
  const bool ping = protocol == Protocol::echo;
  if (destination.port == 0 && !ping) {
    return {Verdict::drop, {}};
  }
  const sys::Endpoint to{destination.address, ping ? std::uint16_t{0} : destination.port};
  switch (place_of(to.address, config_.dns)) {
    case Place::gateway:
      return to_gateway(protocol, to);
    case Place::dns_server:
      return to_dns_server(protocol, to.port);
    case Place::router:
      return {ping ? Verdict::answer_echo : Verdict::drop, {}};
    case Place::nowhere:
    case Place::group:
      return {Verdict::drop, {}};
    case Place::guest:
      return {Verdict::unreachable, {}};
    case Place::link_local:
      return config_.link_local ? Decision{Verdict::allow, to} : Decision{Verdict::drop, {}};
    case Place::outside:
      return {Verdict::allow, to};
  }
  return {};
}

bool PolicyTable::source_allowed(const IpAddress& source) const {
  const Place place = place_of(source, true);
  return place == Place::guest || place == Place::link_local || place == Place::outside;
}

bool PolicyTable::reachable(const IpAddress& target) const {
  if (target == ip("127.0.0.1") || target == ip("::1")) {
    return config_.host_loopback;
  }
  const Place place = place_of(target, config_.dns);
  return place == Place::outside || (place == Place::link_local && config_.link_local);
}

}  // namespace l4n::fuzz
