#include "fuzz/world/places.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

namespace l4n::fuzz {
namespace {

constexpr std::array<const char*, 20> kPlaces{
    "192.0.2.1", "2001:db8::1",  "10.0.2.2",         "fd00::2",         "10.0.2.3",
    "fd00::3",   "198.51.100.1", "2001:db8::2",      "127.0.0.1",       "::1",
    "10.0.2.77", "fd00::77",     "169.254.169.254",  "fe80::77",        "224.0.0.1",
    "ff02::1",   "0.0.0.1",      "::ffff:192.0.2.1", "255.255.255.255", "fe80::2"};

constexpr std::array<int, 14> kErrors{ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT, EMFILE,
                                      ENFILE,       ENOBUFS,      ENOMEM,      EACCES,    EADDRNOTAVAIL,
                                      ECONNRESET,   EPIPE,        EMSGSIZE,    EAGAIN};

constexpr std::uint16_t kDnsPort = 53;
constexpr std::array<const char*, 3> kResolvers{"198.51.100.1", "2001:db8::53", "fe80::53"};
constexpr std::uint32_t kLink = 3;  // of the link-local one

bool is_any_of(const sys::IpAddress& address, const char* v4, const char* v6) {
  return address == sys::parse_ip(address.is_v4() ? v4 : v6).value();
}

}  // namespace

sys::IpAddress place(std::size_t number) {
  return sys::parse_ip(kPlaces.at(number % kPlaces.size())).value();
}

sys::IpAddress guest_address(const sys::IpAddress& peer) {
  return sys::parse_ip(peer.is_v4() ? "10.0.2.100" : "fd00::100").value();
}

bool leads_to(const sys::Endpoint& remote, const sys::Endpoint& outside) {
  if (is_any_of(remote.address, "10.0.2.2", "fd00::2")) {
    const char* loopback = remote.address.is_v4() ? "127.0.0.1" : "::1";
    return outside == sys::Endpoint{sys::parse_ip(loopback).value(), remote.port};
  }
  const bool service = is_any_of(remote.address, "10.0.2.3", "fd00::3") && remote.port == kDnsPort;
  return service ? is_resolver(outside) || outside == remote : outside == remote;
}

std::vector<nat::HostTarget> resolvers(std::size_t count) {
  std::vector<nat::HostTarget> servers;
  for (std::size_t i = 0; i < std::min(count, kResolvers.size()); ++i) {
    const sys::IpAddress address = sys::parse_ip(kResolvers.at(i)).value();
    const bool on_link = !address.is_v4() && sys::is_link_local(address.v6());
    servers.push_back({{address, kDnsPort}, on_link ? kLink : 0});
  }
  return servers;
}

bool is_resolver(const sys::Endpoint& endpoint) {
  const auto all = resolvers(kResolvers.size());
  return std::any_of(all.begin(), all.end(),
                     [&endpoint](const nat::HostTarget& one) { return one.endpoint == endpoint; });
}

int error_number(std::size_t number) { return kErrors.at(number % kErrors.size()); }

}  // namespace l4n::fuzz
