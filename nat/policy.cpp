#include "nat/policy.hpp"

#include <algorithm>

namespace l4n::nat {
namespace {

constexpr std::uint16_t kDnsPort = 53;

using sys::Ipv4Address;
using sys::Ipv4Network;
using sys::Ipv6Address;
using sys::is_link_local;
using sys::is_loopback;
using sys::is_multicast;
using sys::make_ipv4;

bool in(Ipv4Address address, Ipv4Address network, unsigned prefix) noexcept {
  return Ipv4Network{network, prefix}.contains(address);
}

bool is_this_network(Ipv4Address a) noexcept { return in(a, make_ipv4(0, 0, 0, 0), 8); }
bool is_link_local(Ipv4Address a) noexcept { return in(a, make_ipv4(169, 254, 0, 0), 16); }
// 224/4 multicast, 240/4 reserved with the limited broadcast in it
bool is_multicast_or_reserved(Ipv4Address a) noexcept { return in(a, make_ipv4(224, 0, 0, 0), 3); }

bool zero_until(const Ipv6Address& a, std::size_t n) noexcept {
  return std::all_of(a.bytes.begin(), a.bytes.begin() + static_cast<std::ptrdiff_t>(n),
                     [](std::uint8_t b) { return b == 0; });
}
// ::/96 holds ::, ::1 and the IPv4-compatible addresses; ::ffff:0:0/96 the IPv4-mapped ones.
bool is_embedded_v4(const Ipv6Address& a) noexcept {
  return zero_until(a, 12) || (zero_until(a, 10) && a.bytes[10] == 0xff && a.bytes[11] == 0xff);
}
Ipv6Address v6_loopback() noexcept {
  Ipv6Address a;
  a.bytes[15] = 1;
  return a;
}

// The two addresses that we serve, the same for both families.
Decision to_gateway(const PolicyConfig& config, Protocol protocol, const sys::Endpoint& loopback) noexcept {
  if (protocol == Protocol::echo) {
    return {Verdict::answer_echo, {}};
  }
  if (!config.host_loopback) {
    return {Verdict::unreachable, {}};
  }
  return {Verdict::allow, loopback};
}

Decision to_dns_server(Protocol protocol, std::uint16_t port) noexcept {
  if (protocol == Protocol::echo) {
    return {Verdict::answer_echo, {}};
  }
  return {port == kDnsPort ? Verdict::dns : Verdict::unreachable, {}};
}

Decision decide_v4(const PolicyConfig& config, Protocol protocol, Ipv4Address to,
                   std::uint16_t port) noexcept {
  if (to == config.gateway()) {
    return to_gateway(config, protocol, {make_ipv4(127, 0, 0, 1), port});
  }
  if (config.dns && to == config.dns_server()) {
    return to_dns_server(protocol, port);
  }
  if (is_group_address(config, to) || is_loopback(to) || is_this_network(to)) {
    return {Verdict::drop, {}};
  }
  if (config.network.contains(to)) {
    return {Verdict::unreachable, {}};
  }
  if (is_link_local(to) && !config.link_local) {
    return {Verdict::drop, {}};
  }
  return {Verdict::allow, {to, port}};
}

Decision decide_v6(const PolicyConfig& config, Protocol protocol, const Ipv6Address& to,
                   std::uint16_t port) noexcept {
  if (!config.network6) {
    return {Verdict::drop, {}};
  }
  if (to == config.network6->host(2)) {
    return to_gateway(config, protocol, {v6_loopback(), port});
  }
  if (config.dns && to == config.network6->host(3)) {
    return to_dns_server(protocol, port);
  }
  if (to == kRouterAddress) {
    return {protocol == Protocol::echo ? Verdict::answer_echo : Verdict::drop, {}};
  }
  if (is_embedded_v4(to) || is_multicast(to)) {
    return {Verdict::drop, {}};
  }
  if (config.network6->contains(to)) {
    return {Verdict::unreachable, {}};
  }
  if (is_link_local(to) && !config.link_local) {
    return {Verdict::drop, {}};
  }
  return {Verdict::allow, {to, port}};
}

}  // namespace

Decision decide(const PolicyConfig& config, Protocol protocol, const sys::Endpoint& destination) noexcept {
  const std::uint16_t port = protocol == Protocol::echo ? std::uint16_t{0} : destination.port;
  if (protocol != Protocol::echo && port == 0) {
    return {Verdict::drop, {}};  // no socket can carry it
  }
  return destination.address.is_v4() ? decide_v4(config, protocol, destination.address.v4(), port)
                                     : decide_v6(config, protocol, destination.address.v6(), port);
}

bool source_allowed(const PolicyConfig& config, const sys::IpAddress& source) noexcept {
  if (source.is_v4()) {
    const Ipv4Address from = source.v4();
    return from != config.gateway() && from != config.dns_server() && !is_group_address(config, from) &&
           !is_loopback(from) && !is_this_network(from);
  }
  const Ipv6Address& from = source.v6();
  return config.network6 && from != config.network6->host(2) && from != config.network6->host(3) &&
         from != kRouterAddress && !is_embedded_v4(from) && !is_multicast(from);
}

sys::Endpoint forward_source(const PolicyConfig& config, const sys::Endpoint& client,
                             const sys::IpAddress& guest) noexcept {
  const sys::Endpoint gateway{config.gateway_for(guest), client.port};
  if (client.address.is_v4() != guest.is_v4() || !source_allowed(config, client.address)) {
    return gateway;
  }
  if (client.address.is_v4()) {
    return config.network.contains(client.address.v4()) ? gateway : client;
  }
  const Ipv6Address& from = client.address.v6();
  return config.network6->contains(from) || is_link_local(from) ? gateway : client;
}

sys::Endpoint next_source(sys::Endpoint source) noexcept {
  constexpr std::uint16_t kFirstPort = 1024;
  constexpr std::uint16_t kStep = 7919;  // a prime, so that all ports come up
  const auto port = static_cast<std::uint16_t>(source.port + kStep);
  source.port = port < kFirstPort ? static_cast<std::uint16_t>(port + kFirstPort) : port;
  return source;
}

bool is_group_address(const PolicyConfig& config, const sys::IpAddress& address) noexcept {
  if (!address.is_v4()) {
    return is_multicast(address.v6());
  }
  return address.v4() == config.network.broadcast() || is_multicast_or_reserved(address.v4());
}

bool is_served(const PolicyConfig& config, const sys::IpAddress& address) noexcept {
  if (address.is_v4()) {
    return address.v4() == config.gateway() || (config.dns && address.v4() == config.dns_server());
  }
  const sys::Ipv6Address& v6 = address.v6();
  return config.network6 && (v6 == kRouterAddress || v6 == config.network6->host(2) ||
                             (config.dns && v6 == config.network6->host(3)));
}

}  // namespace l4n::nat
