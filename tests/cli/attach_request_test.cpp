#include "cli/attach_request.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/cli/command_line.hpp"

namespace l4n::cli {
namespace {

// "ADDRESS/PREFIX ... via GATEWAY ..."; empty when the interface is not to be configured.
std::string configuration(const std::string& line) {
  const ParseOutcome outcome = test::parse_line(line);
  const netns::AttachRequest request = attach_request(outcome.options.value());
  if (!request.configure) {
    return "";
  }
  std::string text;
  for (const netns::InterfaceAddress& a : request.configure->addresses) {
    text += to_string(a.address) + "/" + std::to_string(a.prefix) + " ";
  }
  text += "via";
  for (const sys::IpAddress& gateway : request.configure->gateways) {
    text += " " + to_string(gateway);
  }
  return text;
}

}  // namespace

TEST_CASE("attach request: addresses and default routes") {
  const struct {
    std::string line;
    std::string configuration;
  } rows[] = {
      {"prog -6 1 t", ""},
      {"prog -c 1 t", "10.0.2.100/24 via 10.0.2.2"},
      {"prog -c --cidr6=fd01::/64 1 t", "10.0.2.100/24 via 10.0.2.2"},
      {"prog -c -6 1 t", "10.0.2.100/24 fd00::100/64 via 10.0.2.2 fe80::2"},
      {"prog -c -6 --cidr=10.1.0.128/25 --cidr6=fd01::200/119 1 t",
       "10.1.0.228/25 fd01::300/119 via 10.1.0.130 fe80::2"},
      {"prog -c -6 --cidr6=fd01::100/120 1 t", "10.0.2.100/24 fd01::164/120 via 10.0.2.2 fe80::2"},
      {"prog -c -6 --cidr6=fd01::200/120 1 t", "10.0.2.100/24 fd01::264/120 via 10.0.2.2 fe80::2"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.line);
    CHECK(configuration(row.line) == row.configuration);
  }
}

TEST_CASE("attach request: the link") {
  const ParseOutcome outcome = test::parse_line("prog -c -m 9000 --macaddress=2:0:0:0:0:1 1 t");
  const netns::AttachRequest request = attach_request(outcome.options.value());
  REQUIRE(request.configure.has_value());
  CHECK(request.configure->mtu == 9000);
  CHECK(request.configure->mac == stack::MacAddress{2, 0, 0, 0, 0, 1});
  CHECK(request.tap_name == "t");
}

}  // namespace l4n::cli
