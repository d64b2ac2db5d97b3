#include "nat/outbound.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <string>
#include <vector>

namespace l4n::nat {
namespace {

constexpr sys::Ipv4Address kSource = sys::make_ipv4(192, 0, 2, 7);
constexpr sys::Ipv4Address kOther = sys::make_ipv4(198, 51, 100, 1);
constexpr unsigned kIndex = 5;

const Outbound kUnwanted{};
const Outbound kByAddress{.wanted = true, .address = kSource};
const Outbound kByInterface{
    .wanted = true, .address = kSource, .interface_index = kIndex, .own = {kSource, kOther}};
const Outbound kWithoutAddress{.wanted = true, .interface_index = kIndex, .own = {kOther}};

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
      {"by address, IPv6", kByAddress, "2001:db8::1", kSystems},
      {"by interface", kByInterface, "203.0.113.1", {.source = kSource, .interface_index = kIndex}},
      {"by interface, its own address", kByInterface, "192.0.2.7", {.source = kSource}},
      {"by interface, another of the host", kByInterface, "198.51.100.1", {.source = kSource}},
      {"by interface, loopback", kByInterface, "127.0.0.53", kSystems},
      {"by interface, IPv6", kByInterface, "::1", kSystems},
      {"no address, outside", kWithoutAddress, "203.0.113.1", kImpossible},
      {"no address, the host itself", kWithoutAddress, "198.51.100.1", kImpossible},
      {"no address, loopback", kWithoutAddress, "127.0.0.1", kSystems},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK((choose_outbound(row.outbound, *sys::parse_ip(row.destination)) == row.expected));
  }
}

TEST_CASE("outbound: an address or interface that is gone is an unreachable network") {
  const OutboundChoice chosen{.source = kSource};
  for (const int error : {EADDRNOTAVAIL, EINVAL, ENODEV}) {
    CAPTURE(error);
    CHECK(outbound_error(chosen, error) == ENETUNREACH);
    CHECK(outbound_error(kSystems, error) == error);
  }
  CHECK(outbound_error(chosen, ECONNREFUSED) == ECONNREFUSED);
  CHECK(outbound_error(chosen, 0) == 0);
}

}  // namespace
}  // namespace l4n::nat
