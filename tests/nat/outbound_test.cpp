#include "nat/outbound.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <string>
#include <vector>

namespace l4n::nat {
namespace {

const sys::IpAddress kSource = sys::make_ipv4(192, 0, 2, 7);
const sys::IpAddress kOther = sys::make_ipv4(198, 51, 100, 1);
const sys::IpAddress kSource6 = *sys::parse_ip("2001:db8:1::7");
const sys::IpAddress kOther6 = *sys::parse_ip("2001:db8:2::1");
constexpr unsigned kIndex = 5;
constexpr unsigned kIndex6 = 6;

const Outbound kUnwanted{};
const Outbound kByAddress{.v4 = {.wanted = true, .address = kSource}};
const Outbound kByAddress6{.v6 = {.wanted = true, .address = kSource6}};
// Each family by its own interface.
const Outbound kByInterface{
    .v4 = {.wanted = true, .address = kSource, .interface_index = kIndex, .own = {kSource, kOther}},
    .v6 = {.wanted = true, .address = kSource6, .interface_index = kIndex6, .own = {kSource6, kOther6}}};
const Outbound kWithoutAddress{
    .v4 = {.wanted = true, .interface_index = kIndex, .own = {kOther}},
    .v6 = {.wanted = true, .address = sys::Ipv6Address{}, .interface_index = kIndex6, .own = {kOther6}}};

const OutboundChoice kSystems{};
const OutboundChoice kImpossible{.possible = false};

struct Row {
  std::string what;
  Outbound outbound;
  const char* destination;
  OutboundChoice expected;
};

TEST_CASE("outbound: how to leave, row by row") {
  const std::vector<Row> rows = {
      {"nothing asked for", kUnwanted, "203.0.113.1", kSystems},
      {"by address", kByAddress, "203.0.113.1", {.source = kSource}},
      {"by address, to a host address", kByAddress, "198.51.100.1", {.source = kSource}},
      {"by address, loopback", kByAddress, "127.0.0.1", kSystems},
      {"by address, the end of the loopback", kByAddress, "127.255.255.254", kSystems},
      {"by address, just behind it", kByAddress, "128.0.0.1", {.source = kSource}},
      {"by an IPv4 address, IPv6", kByAddress, "2001:db8::1", kSystems},
      {"by an IPv6 address", kByAddress6, "2001:db8::1", {.source = kSource6}},
      {"by an IPv6 address, to a host address", kByAddress6, "2001:db8:2::1", {.source = kSource6}},
      {"by an IPv6 address, loopback", kByAddress6, "::1", kSystems},
      {"by an IPv6 address, IPv4", kByAddress6, "203.0.113.1", kSystems},
      {"by interface", kByInterface, "203.0.113.1", {.source = kSource, .interface_index = kIndex}},
      {"by interface, its own address", kByInterface, "192.0.2.7", {.source = kSource}},
      {"by interface, another of the host", kByInterface, "198.51.100.1", {.source = kSource}},
      {"by interface, loopback", kByInterface, "127.0.0.53", kSystems},
      {"by interface, IPv6", kByInterface, "2001:db8::1", {.source = kSource6, .interface_index = kIndex6}},
      {"by interface, its own IPv6 address", kByInterface, "2001:db8:1::7", {.source = kSource6}},
      {"by interface, another IPv6 one of the host", kByInterface, "2001:db8:2::1", {.source = kSource6}},
      {"by interface, IPv6 loopback", kByInterface, "::1", kSystems},
      {"no address, outside", kWithoutAddress, "203.0.113.1", kImpossible},
      {"no address, the host itself", kWithoutAddress, "198.51.100.1", kImpossible},
      {"no address, loopback", kWithoutAddress, "127.0.0.1", kSystems},
      {"no IPv6 address, outside", kWithoutAddress, "2001:db8::1", kImpossible},
      {"no IPv6 address, the host itself", kWithoutAddress, "2001:db8:2::1", kImpossible},
      {"no IPv6 address, loopback", kWithoutAddress, "::1", kSystems},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK((choose_outbound(row.outbound, *sys::parse_ip(row.destination)) == row.expected));
  }
}

TEST_CASE("outbound: an address or interface that is gone is an unreachable network") {
  for (const OutboundChoice& chosen : {OutboundChoice{.source = kSource}, {.source = kSource6}}) {
    for (const int error : {EADDRNOTAVAIL, EINVAL, ENODEV}) {
      CAPTURE(error);
      CHECK(outbound_error(chosen, error) == ENETUNREACH);
      CHECK(outbound_error(kSystems, error) == error);
      CHECK(outbound_error({.source = sys::Ipv6Address{}}, error) == error);
    }
    CHECK(outbound_error(chosen, ECONNREFUSED) == ECONNREFUSED);
    CHECK(outbound_error(chosen, 0) == 0);
  }
}

}  // namespace
}  // namespace l4n::nat
