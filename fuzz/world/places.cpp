#include "fuzz/world/places.hpp"

#include <array>
#include <cerrno>

namespace l4n::fuzz {
namespace {

constexpr std::array<const char*, 20> kPlaces{
    "192.0.2.1", "2001:db8::1",  "10.0.2.2",         "fd00::2",         "10.0.2.3",
    "fd00::3",   "198.51.100.1", "2001:db8::2",      "127.0.0.1",       "::1",
    "10.0.2.77", "fd00::77",     "169.254.169.254",  "fe80::77",        "224.0.0.1",
    "ff02::1",   "0.0.0.1",      "::ffff:192.0.2.1", "255.255.255.255", "fe80::2"};

constexpr std::array<int, 13> kErrors{ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT, EMFILE,
                                      ENFILE,       ENOBUFS,      ENOMEM,      EACCES,    EADDRNOTAVAIL,
                                      ECONNRESET,   EPIPE,        EMSGSIZE};

constexpr std::uint16_t kDnsPort = 53;

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

sys::Endpoint resolver() { return {sys::make_ipv4(198, 51, 100, 1), kDnsPort}; }

sys::Endpoint outside_of(const sys::Endpoint& remote) {
  if (is_any_of(remote.address, "10.0.2.2", "fd00::2")) {
    return {sys::parse_ip(remote.address.is_v4() ? "127.0.0.1" : "::1").value(), remote.port};
  }
  if (is_any_of(remote.address, "10.0.2.3", "fd00::3") && remote.port == kDnsPort) {
    return resolver();
  }
  return remote;
}

int error_number(std::size_t number) { return kErrors.at(number % kErrors.size()); }

}  // namespace l4n::fuzz
