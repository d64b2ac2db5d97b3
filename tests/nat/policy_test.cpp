// The destination policy, said a second time: what the documentation promises, written out as addresses and
// verdicts, without any of the helpers that the code under test uses.
#include "nat/policy.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace l4n::nat {
namespace {

std::string text_of(const Decision& decision) {
  switch (decision.verdict) {
    case Verdict::allow:
      return "to " + to_string(decision.target);
    case Verdict::dns:
      return "dns";
    case Verdict::answer_echo:
      return "answer";
    case Verdict::unreachable:
      return "unreachable";
    case Verdict::drop:
      return "drop";
  }
  return "?";
}

sys::IpAddress ip(const std::string& text) {
  const auto address = sys::parse_ip(text);
  REQUIRE(address.has_value());
  return *address;
}

enum class Switch { none, disable_host_loopback, disable_dns, allow_link_local };

// What happens to a destination, and what changes when one switch is set. All other switches must not matter,
// alone or together: the table is run with each of the eight combinations.
struct Row {
  std::string destination;
  std::uint16_t port;
  std::string flow;  // TCP and UDP
  std::string echo;
  Switch matters = Switch::none;
  std::string flow_then{};
  std::string echo_then{};
};

constexpr auto kLoopback = Switch::disable_host_loopback;
constexpr auto kDns = Switch::disable_dns;
constexpr auto kLinkLocal = Switch::allow_link_local;

bool is_set(Switch which, unsigned combination) {
  return which != Switch::none && (combination >> (static_cast<unsigned>(which) - 1U) & 1U) != 0;
}

void check_row(const PolicyConfig& config, const Row& row, bool set) {
  const sys::Endpoint to{ip(row.destination), row.port};
  const std::string flow = set ? row.flow_then : row.flow;
  const std::string echo = set ? row.echo_then : row.echo;
  CHECK(text_of(decide(config, Protocol::tcp, to)) == flow);
  CHECK(text_of(decide(config, Protocol::udp, to)) == flow);
  CHECK(text_of(decide(config, Protocol::echo, to)) == echo);
}

void check_rows(PolicyConfig config, const std::vector<Row>& rows) {
  for (unsigned combination = 0; combination < 8; ++combination) {
    config.host_loopback = !is_set(kLoopback, combination);
    config.dns = !is_set(kDns, combination);
    config.link_local = is_set(kLinkLocal, combination);
    CAPTURE(combination);
    for (const Row& row : rows) {
      CAPTURE(row.destination);
      CAPTURE(row.port);
      check_row(config, row, is_set(row.matters, combination));
    }
  }
}

// The same for every network that does not hold them.
const std::vector<Row>& rows_of_the_world() {
  static const std::vector<Row> rows = {
      // The host's other addresses, and the rest of the world.
      {"192.0.2.1", 80, "to 192.0.2.1:80", "to 192.0.2.1:0"},
      {"8.8.8.8", 53, "to 8.8.8.8:53", "to 8.8.8.8:0"},
      {"1.0.0.0", 1, "to 1.0.0.0:1", "to 1.0.0.0:0"},
      {"10.200.0.1", 22, "to 10.200.0.1:22", "to 10.200.0.1:0"},
      {"172.16.0.1", 65535, "to 172.16.0.1:65535", "to 172.16.0.1:0"},
      {"192.168.1.255", 80, "to 192.168.1.255:80", "to 192.168.1.255:0"},
      {"100.64.0.1", 80, "to 100.64.0.1:80", "to 100.64.0.1:0"},
      {"126.255.255.255", 80, "to 126.255.255.255:80", "to 126.255.255.255:0"},
      {"128.0.0.0", 80, "to 128.0.0.0:80", "to 128.0.0.0:0"},
      {"169.253.255.255", 80, "to 169.253.255.255:80", "to 169.253.255.255:0"},
      {"169.255.0.0", 80, "to 169.255.0.0:80", "to 169.255.0.0:0"},
      {"223.255.255.255", 80, "to 223.255.255.255:80", "to 223.255.255.255:0"},
      // Port 0 has no socket.
      {"192.0.2.1", 0, "drop", "to 192.0.2.1:0"},
      // Loopback, this network.
      {"127.0.0.0", 80, "drop", "drop"},
      {"127.0.0.1", 80, "drop", "drop"},
      {"127.0.0.53", 53, "drop", "drop"},
      {"127.255.255.255", 80, "drop", "drop"},
      {"0.0.0.0", 80, "drop", "drop"},
      {"0.0.0.1", 80, "drop", "drop"},
      {"0.255.255.255", 80, "drop", "drop"},
      // Multicast, reserved, limited broadcast.
      {"224.0.0.0", 80, "drop", "drop"},
      {"224.0.0.251", 5353, "drop", "drop"},
      {"239.255.255.250", 1900, "drop", "drop"},
      {"240.0.0.0", 80, "drop", "drop"},
      {"255.255.255.254", 80, "drop", "drop"},
      {"255.255.255.255", 67, "drop", "drop"},
      // Link-local: cloud metadata lives there.
      {"169.254.0.0", 80, "drop", "drop", kLinkLocal, "to 169.254.0.0:80", "to 169.254.0.0:0"},
      {"169.254.169.254", 80, "drop", "drop", kLinkLocal, "to 169.254.169.254:80", "to 169.254.169.254:0"},
      {"169.254.255.255", 80, "drop", "drop", kLinkLocal, "to 169.254.255.255:80", "to 169.254.255.255:0"},
  };
  return rows;
}

TEST_CASE("policy: destinations outside the guest's network") {
  for (const unsigned prefix : {24U, 25U}) {
    PolicyConfig config;
    config.network.prefix = prefix;
    check_rows(config, rows_of_the_world());
  }
}

TEST_CASE("policy: the guest's own network, as by default") {
  const std::vector<Row> rows = {
      {"10.0.2.2", 80, "to 127.0.0.1:80", "answer", kLoopback, "unreachable", "answer"},
      {"10.0.2.2", 53, "to 127.0.0.1:53", "answer", kLoopback, "unreachable", "answer"},
      {"10.0.2.2", 65535, "to 127.0.0.1:65535", "answer", kLoopback, "unreachable", "answer"},
      {"10.0.2.2", 0, "drop", "answer"},
      {"10.0.2.3", 53, "dns", "answer", kDns, "unreachable", "unreachable"},
      {"10.0.2.3", 52, "unreachable", "answer", kDns, "unreachable", "unreachable"},
      {"10.0.2.3", 54, "unreachable", "answer", kDns, "unreachable", "unreachable"},
      {"10.0.2.3", 80, "unreachable", "answer", kDns, "unreachable", "unreachable"},
      {"10.0.2.3", 853, "unreachable", "answer", kDns, "unreachable", "unreachable"},
      {"10.0.2.0", 80, "unreachable", "unreachable"},
      {"10.0.2.1", 80, "unreachable", "unreachable"},
      {"10.0.2.4", 53, "unreachable", "unreachable"},
      {"10.0.2.15", 80, "unreachable", "unreachable"},
      {"10.0.2.100", 80, "unreachable", "unreachable"},
      {"10.0.2.254", 80, "unreachable", "unreachable"},
      {"10.0.2.255", 80, "drop", "drop"},
      {"10.0.1.255", 80, "to 10.0.1.255:80", "to 10.0.1.255:0"},
      {"10.0.3.0", 80, "to 10.0.3.0:80", "to 10.0.3.0:0"},
      {"10.0.3.2", 80, "to 10.0.3.2:80", "to 10.0.3.2:0"},
  };
  check_rows({}, rows);
}

TEST_CASE("policy: 10.9.0.0/16") {
  PolicyConfig config;
  config.network = {sys::make_ipv4(10, 9, 0, 0), 16};
  const std::vector<Row> rows = {
      {"10.9.0.2", 80, "to 127.0.0.1:80", "answer", kLoopback, "unreachable", "answer"},
      {"10.9.0.3", 53, "dns", "answer", kDns, "unreachable", "unreachable"},
      {"10.9.0.3", 80, "unreachable", "answer", kDns, "unreachable", "unreachable"},
      {"10.9.0.0", 80, "unreachable", "unreachable"},
      {"10.9.0.255", 80, "unreachable", "unreachable"},  // an ordinary address here
      {"10.9.1.2", 80, "unreachable", "unreachable"},
      {"10.9.255.254", 80, "unreachable", "unreachable"},
      {"10.9.255.255", 80, "drop", "drop"},
      {"10.8.255.255", 80, "to 10.8.255.255:80", "to 10.8.255.255:0"},
      {"10.10.0.0", 80, "to 10.10.0.0:80", "to 10.10.0.0:0"},
      {"10.0.2.2", 80, "to 10.0.2.2:80", "to 10.0.2.2:0"},
      {"10.0.2.3", 53, "to 10.0.2.3:53", "to 10.0.2.3:0"},
      {"10.0.2.255", 53, "to 10.0.2.255:53", "to 10.0.2.255:0"},
  };
  check_rows(config, rows);
  check_rows(config, rows_of_the_world());
}

TEST_CASE("policy: 192.168.7.0/25") {
  PolicyConfig config;
  config.network = {sys::make_ipv4(192, 168, 7, 0), 25};
  const std::vector<Row> rows = {
      {"192.168.7.2", 443, "to 127.0.0.1:443", "answer", kLoopback, "unreachable", "answer"},
      {"192.168.7.3", 53, "dns", "answer", kDns, "unreachable", "unreachable"},
      {"192.168.7.0", 80, "unreachable", "unreachable"},
      {"192.168.7.100", 80, "unreachable", "unreachable"},
      {"192.168.7.126", 80, "unreachable", "unreachable"},
      {"192.168.7.127", 80, "drop", "drop"},
      {"192.168.7.128", 80, "to 192.168.7.128:80", "to 192.168.7.128:0"},
      {"192.168.7.130", 80, "to 192.168.7.130:80", "to 192.168.7.130:0"},
      {"192.168.7.255", 80, "to 192.168.7.255:80", "to 192.168.7.255:0"},
      {"192.168.6.255", 80, "to 192.168.6.255:80", "to 192.168.6.255:0"},
  };
  check_rows(config, rows);
  check_rows(config, rows_of_the_world());
}

TEST_CASE("policy: 192.168.7.128/25, the upper half") {
  PolicyConfig config;
  config.network = {sys::make_ipv4(192, 168, 7, 128), 25};
  const std::vector<Row> rows = {
      {"192.168.7.130", 443, "to 127.0.0.1:443", "answer", kLoopback, "unreachable", "answer"},
      {"192.168.7.131", 53, "dns", "answer", kDns, "unreachable", "unreachable"},
      {"192.168.7.128", 80, "unreachable", "unreachable"},
      {"192.168.7.255", 80, "drop", "drop"},
      {"192.168.7.127", 80, "to 192.168.7.127:80", "to 192.168.7.127:0"},
      {"192.168.7.2", 80, "to 192.168.7.2:80", "to 192.168.7.2:0"},
      {"192.168.7.3", 53, "to 192.168.7.3:53", "to 192.168.7.3:0"},
  };
  check_rows(config, rows);
}

PolicyConfig with_ipv6() {
  PolicyConfig config;
  config.network6 = sys::Ipv6Network{ip("fd00::").v6(), 64};
  return config;
}

const std::vector<Row>& rows_of_the_ipv6_world() {
  static const std::vector<Row> rows = {
      {"2001:db8::1", 443, "to [2001:db8::1]:443", "to [2001:db8::1]:0"},
      {"2001:db8::1", 0, "drop", "to [2001:db8::1]:0"},
      {"fd99::2", 80, "to [fd99::2]:80", "to [fd99::2]:0"},
      {"64:ff9b::1.2.3.4", 80, "to [64:ff9b::102:304]:80", "to [64:ff9b::102:304]:0"},
      {"0:0:0:0:0:1::", 80, "to [::1:0:0]:80", "to [::1:0:0]:0"},
      {"::ffff:0:1.2.3.4", 80, "to [::ffff:0:102:304]:80", "to [::ffff:0:102:304]:0"},
      {"::", 80, "drop", "drop"},
      {"::1", 80, "drop", "drop"},
      {"::2", 80, "drop", "drop"},
      {"::127.0.0.1", 80, "drop", "drop"},
      {"::10.0.2.2", 80, "drop", "drop"},
      {"::ffff:127.0.0.1", 80, "drop", "drop"},
      {"::ffff:10.0.2.2", 80, "drop", "drop"},
      {"::ffff:192.0.2.1", 80, "drop", "drop"},
      {"::ffff:0.0.0.0", 80, "drop", "drop"},
      {"ff00::", 80, "drop", "drop"},
      {"ff02::1", 80, "drop", "drop"},
      {"ff02::fb", 5353, "drop", "drop"},
      {"ff0e::1", 80, "drop", "drop"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 80, "drop", "drop"},
      {"fe80::1", 80, "drop", "drop", kLinkLocal, "to [fe80::1]:80", "to [fe80::1]:0"},
      {"fe80::2", 80, "drop", "answer"},
      {"febf:ffff::1", 80, "drop", "drop", kLinkLocal, "to [febf:ffff::1]:80", "to [febf:ffff::1]:0"},
      {"fe7f::1", 80, "to [fe7f::1]:80", "to [fe7f::1]:0"},
      {"fec0::1", 80, "to [fec0::1]:80", "to [fec0::1]:0"},
  };
  return rows;
}

TEST_CASE("policy: IPv6") {
  const std::vector<Row> rows = {
      {"fd00::2", 80, "to [::1]:80", "answer", kLoopback, "unreachable", "answer"},
      {"fd00::2", 0, "drop", "answer"},
      {"fd00::3", 53, "dns", "answer", kDns, "unreachable", "unreachable"},
      {"fd00::3", 80, "unreachable", "answer", kDns, "unreachable", "unreachable"},
      {"fd00::", 80, "unreachable", "unreachable"},
      {"fd00::1", 80, "unreachable", "unreachable"},
      {"fd00::100", 80, "unreachable", "unreachable"},
      {"fd00::1:2", 80, "unreachable", "unreachable"},  // only the very x::2 is the host
      {"fd00::1:3", 53, "unreachable", "unreachable"},
      {"fd00::ffff:ffff:ffff:ffff", 80, "unreachable", "unreachable"},
      {"fd00:0:0:1::2", 80, "to [fd00:0:0:1::2]:80", "to [fd00:0:0:1::2]:0"},
      {"fcff:ffff:ffff:ffff::2", 80, "to [fcff:ffff:ffff:ffff::2]:80", "to [fcff:ffff:ffff:ffff::2]:0"},
  };
  check_rows(with_ipv6(), rows);
  check_rows(with_ipv6(), rows_of_the_ipv6_world());
  check_rows(with_ipv6(), rows_of_the_world());
}

TEST_CASE("policy: another IPv6 prefix") {
  PolicyConfig config;
  config.network6 = sys::Ipv6Network{ip("2001:db8:1234:5600::").v6(), 56};
  const std::vector<Row> rows = {
      {"2001:db8:1234:5600::2", 80, "to [::1]:80", "answer", kLoopback, "unreachable", "answer"},
      {"2001:db8:1234:5600::3", 53, "dns", "answer", kDns, "unreachable", "unreachable"},
      {"2001:db8:1234:56ff::2", 80, "unreachable", "unreachable"},
      {"2001:db8:1234:5700::2", 80, "to [2001:db8:1234:5700::2]:80", "to [2001:db8:1234:5700::2]:0"},
      {"fd00::2", 80, "to [fd00::2]:80", "to [fd00::2]:0"},
  };
  check_rows(config, rows);
}

TEST_CASE("policy: no IPv6 without IPv6") {
  const std::vector<Row> rows = {
      {"fd00::2", 80, "drop", "drop"},
      {"fd00::3", 53, "drop", "drop"},
      {"2001:db8::1", 443, "drop", "drop"},
      {"fe80::1", 443, "drop", "drop"},
  };
  check_rows({}, rows);
}

struct SourceRow {
  std::string source;
  bool allowed;
};

// No switch may matter for a source.
void check_sources(PolicyConfig config, const std::vector<SourceRow>& rows) {
  for (unsigned combination = 0; combination < 8; ++combination) {
    config.host_loopback = !is_set(kLoopback, combination);
    config.dns = !is_set(kDns, combination);
    config.link_local = is_set(kLinkLocal, combination);
    for (const SourceRow& row : rows) {
      CAPTURE(row.source);
      CAPTURE(combination);
      CHECK(source_allowed(config, ip(row.source)) == row.allowed);
    }
  }
}

TEST_CASE("policy: sources") {
  const std::vector<SourceRow> rows = {
      {"10.0.2.100", true},       {"10.0.2.15", true},   {"10.0.2.1", true},
      {"10.0.2.254", true},       {"10.88.0.5", true},   {"172.17.0.2", true},
      {"192.0.2.1", true},        {"169.254.7.7", true}, {"10.0.2.2", false},
      {"10.0.2.3", false},        {"10.0.2.255", false}, {"0.0.0.0", false},
      {"0.1.2.3", false},         {"127.0.0.1", false},  {"127.255.0.1", false},
      {"224.0.0.1", false},       {"239.1.1.1", false},  {"240.0.0.1", false},
      {"255.255.255.255", false}, {"fd00::100", false},  // IPv6 is off
  };
  check_sources({}, rows);
}

TEST_CASE("policy: sources in other networks") {
  PolicyConfig config;
  config.network = {sys::make_ipv4(192, 168, 7, 0), 25};
  const std::vector<SourceRow> rows = {
      {"192.168.7.2", false},  {"192.168.7.3", false}, {"192.168.7.127", false}, {"192.168.7.100", true},
      {"192.168.7.255", true}, {"10.0.2.2", true},     {"10.0.2.3", true},       {"10.0.2.255", true},
  };
  check_sources(config, rows);
}

TEST_CASE("policy: IPv6 sources") {
  const std::vector<SourceRow> rows = {
      {"fd00::100", true},  {"fd00::1:2", true}, {"2001:db8::5", true},        {"fe80::1234", true},
      {"fd00::2", false},   {"fd00::3", false},  {"fe80::2", false},           {"::", false},
      {"::1", false},       {"ff02::1", false},  {"::ffff:10.0.2.100", false}, {"::10.0.2.100", false},
      {"10.0.2.100", true}, {"10.0.2.2", false},
  };
  check_sources(with_ipv6(), rows);
}

struct ClientRow {
  std::string client;
  std::string seen;   // by an IPv4 guest
  std::string seen6;  // by an IPv6 guest
};

TEST_CASE("policy: what the guest sees of a client of a port forward") {
  const PolicyConfig config = with_ipv6();
  for (const ClientRow& row :
       std::vector<ClientRow>{{"203.0.113.7", "203.0.113.7:1000", "[fd00::2]:1000"},
                              {"10.0.3.1", "10.0.3.1:1000", "[fd00::2]:1000"},
                              {"192.168.1.1", "192.168.1.1:1000", "[fd00::2]:1000"},
                              {"169.254.1.1", "169.254.1.1:1000", "[fd00::2]:1000"},
                              {"127.0.0.1", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"127.255.255.254", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"0.0.0.0", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"10.0.2.2", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"10.0.2.3", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"10.0.2.77", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"10.0.2.100", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"10.0.2.255", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"224.0.0.1", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"255.255.255.255", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"2001:db8::1", "10.0.2.2:1000", "[2001:db8::1]:1000"},
                              {"fd01::1", "10.0.2.2:1000", "[fd01::1]:1000"},
                              {"::1", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"::", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"::ffff:203.0.113.7", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"fe80::1", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"fe80::2", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"fd00::2", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"fd00::77", "10.0.2.2:1000", "[fd00::2]:1000"},
                              {"ff02::1", "10.0.2.2:1000", "[fd00::2]:1000"}}) {
    CAPTURE(row.client);
    const sys::Endpoint client{ip(row.client), 1000};
    CHECK(to_string(forward_source(config, client, ip("10.0.2.100"))) == row.seen);
    CHECK(to_string(forward_source(config, client, ip("fd00::100"))) == row.seen6);
    CHECK(to_string(forward_source({}, client, ip("10.0.2.100"))) == row.seen);
  }
}

TEST_CASE("policy: the other ports of a client that looks like another one") {
  sys::Endpoint source{ip("10.0.2.2"), 65535};
  std::vector<std::uint16_t> ports;
  for (int i = 0; i < kMostSources; ++i) {
    source = next_source(source);
    CHECK(source.address == ip("10.0.2.2"));
    CHECK(source.port >= 1024);
    ports.push_back(source.port);
  }
  std::sort(ports.begin(), ports.end());
  CHECK(std::unique(ports.begin(), ports.end()) == ports.end());
}

TEST_CASE("policy: which addresses ARP answers for") {
  PolicyConfig config;
  for (unsigned n = 0; n < 256; ++n) {
    CAPTURE(n);
    config.dns = true;
    CHECK(is_served(config, sys::make_ipv4(10, 0, 2, n)) == (n == 2 || n == 3));
    config.dns = false;
    CHECK(is_served(config, sys::make_ipv4(10, 0, 2, n)) == (n == 2));
  }
  CHECK_FALSE(is_served(config, sys::make_ipv4(10, 0, 3, 2)));
  CHECK_FALSE(is_served(config, {}));
}

TEST_CASE("policy: which addresses neighbour discovery answers for") {
  PolicyConfig config = with_ipv6();
  for (unsigned n = 0; n < 256; ++n) {
    CAPTURE(n);
    sys::Ipv6Address address = ip("fd00::").v6();
    sys::Ipv6Address link_local = ip("fe80::").v6();
    address.bytes[15] = link_local.bytes[15] = static_cast<std::uint8_t>(n);
    config.dns = true;
    CHECK(is_served(config, address) == (n == 2 || n == 3));
    CHECK(is_served(config, link_local) == (n == 2));
    config.dns = false;
    CHECK(is_served(config, address) == (n == 2));
    config.network6.reset();
    CHECK_FALSE(is_served(config, address));
    CHECK_FALSE(is_served(config, link_local));
    config = with_ipv6();
  }
  CHECK_FALSE(is_served(config, ip("fd01::2")));
  CHECK_FALSE(is_served(config, ip("::")));
}

TEST_CASE("policy: IPv6 prefixes of every length") {
  const sys::Ipv6Address base = ip("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff").v6();
  for (unsigned length = 0; length <= 128; ++length) {
    CAPTURE(length);
    const sys::Ipv6Network prefix{base, length};
    CHECK(prefix.contains(base));
    for (unsigned bit = 0; bit < 128; ++bit) {
      sys::Ipv6Address other = base;
      other.bytes.at(bit / 8) ^= static_cast<std::uint8_t>(0x80U >> (bit % 8));
      CHECK(prefix.contains(other) == (bit >= length));
    }
  }
}

}  // namespace
}  // namespace l4n::nat
