#include "stack/flow_key.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace l4n::stack {
namespace {

sys::Endpoint at(const std::string& address, std::uint16_t port) { return {*sys::parse_ip(address), port}; }

struct Row {
  std::string guest;
  std::uint16_t guest_port;
  std::string remote;
  std::uint16_t remote_port;
  std::string text;

  [[nodiscard]] FlowKey key() const { return {at(guest, guest_port), at(remote, remote_port)}; }
};

// All different from each other, several only in one field.
const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      {"0.0.0.0", 0, "0.0.0.0", 0, "0.0.0.0:0 -> 0.0.0.0:0"},
      {"10.0.2.100", 40000, "192.0.2.1", 80, "10.0.2.100:40000 -> 192.0.2.1:80"},
      {"10.0.2.101", 40000, "192.0.2.1", 80, "10.0.2.101:40000 -> 192.0.2.1:80"},
      {"10.0.2.100", 40001, "192.0.2.1", 80, "10.0.2.100:40001 -> 192.0.2.1:80"},
      {"10.0.2.100", 40000, "192.0.2.2", 80, "10.0.2.100:40000 -> 192.0.2.2:80"},
      {"10.0.2.100", 40000, "192.0.2.1", 81, "10.0.2.100:40000 -> 192.0.2.1:81"},
      {"192.0.2.1", 80, "10.0.2.100", 40000, "192.0.2.1:80 -> 10.0.2.100:40000"},
      {"255.255.255.255", 65535, "255.255.255.255", 65535, "255.255.255.255:65535 -> 255.255.255.255:65535"},
      {"::", 0, "::", 0, "[::]:0 -> [::]:0"},
      {"fd00::100", 40000, "2001:db8::1", 443, "[fd00::100]:40000 -> [2001:db8::1]:443"},
      {"fd00::100", 40000, "2001:db8::1", 444, "[fd00::100]:40000 -> [2001:db8::1]:444"},
  };
  return all;
}

TEST_CASE("flow key: gives back what it was made of") {
  for (const Row& row : rows()) {
    CAPTURE(row.text);
    const FlowKey key = row.key();
    CHECK(key.guest() == at(row.guest, row.guest_port));
    CHECK(key.remote() == at(row.remote, row.remote_port));
    CHECK(to_string(key) == row.text);
    CHECK(key.bytes().size() == 40);
  }
}

TEST_CASE("flow key: equal only to itself, family included") {
  for (const Row& a : rows()) {
    for (const Row& b : rows()) {
      CAPTURE(a.text);
      CAPTURE(b.text);
      CHECK((a.key() == b.key()) == (&a == &b));
    }
  }
}

}  // namespace
}  // namespace l4n::stack
