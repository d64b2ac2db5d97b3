#include "netns/sys/ip_address.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace l4n::sys {
namespace {

using namespace std::string_view_literals;

Ipv6Address v6_of(std::initializer_list<unsigned> groups) {
  Ipv6Address address;
  std::size_t at = 0;
  for (const unsigned group : groups) {
    address.bytes.at(at++) = static_cast<std::uint8_t>(group >> 8U);
    address.bytes.at(at++) = static_cast<std::uint8_t>(group);
  }
  return address;
}

TEST_CASE("ip address: IPv4 texts that are good") {
  struct Row {
    std::string text;
    std::uint32_t value;
  };
  const std::vector<Row> rows = {
      {"0.0.0.0", 0},
      {"10.0.2.2", 0x0a000202},
      {"127.0.0.1", 0x7f000001},
      {"192.168.7.128", 0xc0a80780},
      {"1.2.3.4", 0x01020304},
      {"255.255.255.255", 0xffffffff},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const auto address = parse_ipv4(row.text);
    REQUIRE(address.has_value());
    CHECK(address->value == row.value);
    CHECK(to_string(*address) == row.text);
    CHECK(parse_ip(row.text) == IpAddress(*address));
    CHECK_FALSE(parse_ipv6(row.text).has_value());
  }
}

TEST_CASE("ip address: IPv6 texts that are good") {
  struct Row {
    std::string text;
    Ipv6Address address;
    std::string canonical;
  };
  const std::vector<Row> rows = {
      {"::", v6_of({}), "::"},
      {"::1", v6_of({0, 0, 0, 0, 0, 0, 0, 1}), "::1"},
      {"fd00::2", v6_of({0xfd00, 0, 0, 0, 0, 0, 0, 2}), "fd00::2"},
      {"FE80::ABCD", v6_of({0xfe80, 0, 0, 0, 0, 0, 0, 0xabcd}), "fe80::abcd"},
      {"2001:0db8:0:0:0:0:0:53", v6_of({0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53}), "2001:db8::53"},
      {"1:2:3:4:5:6:7:8", v6_of({1, 2, 3, 4, 5, 6, 7, 8}), "1:2:3:4:5:6:7:8"},
      {"1::8", v6_of({1, 0, 0, 0, 0, 0, 0, 8}), "1::8"},
      {"1:2:3:4:5:6:7::", v6_of({1, 2, 3, 4, 5, 6, 7, 0}), "1:2:3:4:5:6:7:0"},
      {"::ffff:10.0.2.2", v6_of({0, 0, 0, 0, 0, 0xffff, 0x0a00, 0x0202}), "::ffff:10.0.2.2"},
      {"::1.2.3.4", v6_of({0, 0, 0, 0, 0, 0, 0x0102, 0x0304}), "::1.2.3.4"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
       v6_of({0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff}),
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const auto address = parse_ipv6(row.text);
    REQUIRE(address.has_value());
    CHECK(*address == row.address);
    CHECK(to_string(*address) == row.canonical);
    CHECK(parse_ipv6(row.canonical) == row.address);
    CHECK(parse_ip(row.text) == IpAddress(*address));
    CHECK_FALSE(parse_ipv4(row.text).has_value());
  }
}

TEST_CASE("ip address: texts that are bad") {
  const std::vector<std::string_view> rows = {
      ""sv,
      " "sv,
      "1"sv,
      "1.2"sv,
      "1.2.3"sv,
      "1.2.3."sv,
      "1.2.3.4."sv,
      ".1.2.3.4"sv,
      "1..2.3"sv,
      "1.2.3.4.5"sv,
      "256.1.1.1"sv,
      "1.2.3.256"sv,
      "1.2.3.-4"sv,
      "+1.2.3.4"sv,
      " 1.2.3.4"sv,
      "1.2.3.4 "sv,
      "1.2.3.4\n"sv,
      "0x1.2.3.4"sv,
      "01.2.3.4"sv,
      "1.2.3.04"sv,
      "1.2.3.4\0"sv,
      "1.2.3.4\0x"sv,
      "1.2.3.4/24"sv,
      "1.2.3.4:80"sv,
      "16909060"sv,
      "1.2.3.a"sv,
      "localhost"sv,
      ":"sv,
      ":::"sv,
      "1:2"sv,
      "::1::"sv,
      "1::2::3"sv,
      "12345::"sv,
      "g::"sv,
      "::1%eth0"sv,
      "[::1]"sv,
      "::1 "sv,
      "::1\0"sv,
      "::1/64"sv,
      "1:2:3:4:5:6:7"sv,
      "1:2:3:4:5:6:7:8:9"sv,
      "::1.2.3"sv,
      "::1.2.3.256"sv,
      "0000000000000000000000000000000000000000000001.2.3.4"sv,
      "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555"sv,
  };
  for (const std::string_view text : rows) {
    CAPTURE(std::string(text));
    CHECK_FALSE(parse_ipv4(text).has_value());
    CHECK_FALSE(parse_ipv6(text).has_value());
    CHECK_FALSE(parse_ip(text).has_value());
  }
}

TEST_CASE("ip address: a text needs no terminator") {
  const std::string_view whole = "10.0.2.100fd00::2x";
  CHECK(parse_ipv4(whole.substr(0, 8)) == make_ipv4(10, 0, 2, 1));
  CHECK(parse_ipv6(whole.substr(10, 7)) == v6_of({0xfd00, 0, 0, 0, 0, 0, 0, 2}));
}

TEST_CASE("ip address: the families never compare equal") {
  const IpAddress v4 = make_ipv4(10, 0, 2, 2);
  const IpAddress mapped = v6_of({0, 0, 0, 0, 0, 0xffff, 0x0a00, 0x0202});
  CHECK(v4 != mapped);
  CHECK(IpAddress(Ipv4Address{}) != IpAddress(Ipv6Address{}));
  CHECK(v4.is_v4());
  CHECK_FALSE(mapped.is_v4());
  CHECK(v4 == IpAddress(make_ipv4(10, 0, 2, 2)));
  CHECK(IpAddress() == IpAddress(Ipv4Address{0}));
}

TEST_CASE("endpoint: text") {
  CHECK(to_string(Endpoint{make_ipv4(10, 0, 2, 100), 80}) == "10.0.2.100:80");
  CHECK(to_string(Endpoint{v6_of({0xfd00, 0, 0, 0, 0, 0, 0, 2}), 65535}) == "[fd00::2]:65535");
  CHECK(to_string(Endpoint{}) == "0.0.0.0:0");
}

TEST_CASE("ipv4 network: mask, hosts, broadcast, membership") {
  struct Row {
    std::string network;
    unsigned prefix;
    std::uint32_t mask;
    std::string host_2;
    std::string broadcast;
    std::vector<std::string> inside;
    std::vector<std::string> outside;
  };
  const std::vector<Row> rows = {
      {"10.0.2.0",
       24,
       0xffffff00,
       "10.0.2.2",
       "10.0.2.255",
       {"10.0.2.0", "10.0.2.255", "10.0.2.100"},
       {"10.0.1.255", "10.0.3.0", "0.0.0.0"}},
      {"10.0.2.77", 24, 0xffffff00, "10.0.2.2", "10.0.2.255", {"10.0.2.1"}, {"10.0.3.1"}},
      {"192.168.7.128",
       25,
       0xffffff80,
       "192.168.7.130",
       "192.168.7.255",
       {"192.168.7.128", "192.168.7.255"},
       {"192.168.7.127", "192.168.8.0"}},
      {"10.9.0.0", 16, 0xffff0000, "10.9.0.2", "10.9.255.255", {"10.9.255.255"}, {"10.8.255.255"}},
      {"128.0.0.0", 1, 0x80000000, "128.0.0.2", "255.255.255.255", {"255.0.0.0"}, {"127.255.255.255"}},
      {"0.0.0.0", 0, 0, "0.0.0.2", "255.255.255.255", {"0.0.0.0", "255.255.255.255", "8.8.8.8"}, {}},
      {"10.0.2.2", 32, 0xffffffff, "10.0.2.4", "10.0.2.2", {"10.0.2.2"}, {"10.0.2.1", "10.0.2.3"}},
      {"10.0.2.2", 31, 0xfffffffe, "10.0.2.4", "10.0.2.3", {"10.0.2.2", "10.0.2.3"}, {"10.0.2.4"}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.network);
    CAPTURE(row.prefix);
    const Ipv4Network network{*parse_ipv4(row.network), row.prefix};
    CHECK(network.mask() == row.mask);
    CHECK(to_string(network.host(2)) == row.host_2);
    CHECK(to_string(network.broadcast()) == row.broadcast);
    for (const std::string& address : row.inside) {
      CAPTURE(address);
      CHECK(network.contains(*parse_ipv4(address)));
    }
    for (const std::string& address : row.outside) {
      CAPTURE(address);
      CHECK_FALSE(network.contains(*parse_ipv4(address)));
    }
  }
}

TEST_CASE("socket address: IPv4 in network byte order") {
  const SocketAddress s = to_socket_address({make_ipv4(10, 0, 2, 100), 8080}, 7);
  REQUIRE(s.length == sizeof(sockaddr_in));
  sockaddr_in in{};
  std::memcpy(&in, s.get(), sizeof in);
  CHECK(in.sin_family == AF_INET);
  CHECK(in.sin_port == htons(8080));
  CHECK(in.sin_addr.s_addr == inet_addr("10.0.2.100"));
}

TEST_CASE("socket address: IPv6 with its scope") {
  const Ipv6Address address = v6_of({0xfe80, 0, 0, 0, 1, 2, 3, 4});
  const SocketAddress s = to_socket_address({address, 53}, 7);
  REQUIRE(s.length == sizeof(sockaddr_in6));
  sockaddr_in6 in6{};
  std::memcpy(&in6, s.get(), sizeof in6);
  CHECK(in6.sin6_family == AF_INET6);
  CHECK(in6.sin6_port == htons(53));
  CHECK(in6.sin6_scope_id == 7);
  CHECK(in6.sin6_flowinfo == 0);
  CHECK(std::memcmp(&in6.sin6_addr, address.bytes.data(), 16) == 0);
}

TEST_CASE("socket address: there and back") {
  const std::vector<Endpoint> rows = {
      {make_ipv4(0, 0, 0, 0), 0},
      {make_ipv4(255, 255, 255, 255), 65535},
      {make_ipv4(192, 0, 2, 1), 443},
      {v6_of({}), 0},
      {v6_of({0x2001, 0xdb8, 0, 0, 0, 0, 0, 1}), 443},
      {v6_of({0, 0, 0, 0, 0, 0xffff, 0x0102, 0x0304}), 1},
  };
  for (const Endpoint& endpoint : rows) {
    CAPTURE(to_string(endpoint));
    const SocketAddress s = to_socket_address(endpoint);
    CHECK(from_socket_address(s.storage, s.length) == endpoint);
    CHECK(from_socket_address(s.storage, sizeof s.storage) == endpoint);
    CHECK_FALSE(from_socket_address(s.storage, s.length - 1).has_value());
    CHECK_FALSE(from_socket_address(s.storage, 0).has_value());
  }
}

TEST_CASE("socket address: other families are nothing") {
  for (const int family : {AF_UNSPEC, AF_UNIX, AF_PACKET, AF_NETLINK}) {
    CAPTURE(family);
    sockaddr_storage storage{};
    storage.ss_family = static_cast<sa_family_t>(family);
    CHECK_FALSE(from_socket_address(storage, sizeof storage).has_value());
  }
}

}  // namespace
}  // namespace l4n::sys
