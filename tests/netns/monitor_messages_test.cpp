#include "netns/monitor_messages.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

namespace l4n::netns {
namespace {

NameserverAddress server(const char* text, std::uint32_t scope_id = 0) {
  return {*sys::parse_ip(text), scope_id};
}

std::vector<std::byte> encoded(const MonitorMessage& message) {
  std::vector<std::byte> buffer(kMaxMonitorMessage);
  buffer.resize(encode(message, buffer));
  return buffer;
}

Nameservers largest() {
  Nameservers message{{server("1.1.1.1"), server("1.1.1.2"), server("1.1.1.3"),
                       server("fe80::1", 0xffffffffU), server("::2"), server("::ffff:1.2.3.4")}};
  message.search.assign(kMaxSearchDomains, std::string(255, 'x'));
  return message;
}

sys::IpAddress address(const char* text) { return *sys::parse_ip(text); }

InterfaceAddresses largest_addresses() {
  return {false, 0xffffffffU, address("fe80::1"), {kMaxOwnAddresses, address("2001:db8::ffff")}};
}

const std::vector<MonitorMessage> kMessages = {
    Nameservers{},
    Nameservers{{server("127.0.0.53")}},
    Nameservers{{server("127.0.0.53")}, {"example.org", "lab.example.org", std::string(255, 'x')}},
    Nameservers{{}, {"a", "b", "c", "d", "e", "f", "g", "h"}},
    Nameservers{{server("2001:db8::1"), server("1.2.3.4"), server("fe80::1", 7)}},
    Nameservers{{server("1.1.1.1"), server("1.1.1.2"), server("1.1.1.3"), server("fe80::1", 0xffffffffU),
                 server("::2"), server("::ffff:1.2.3.4")}},
    TargetGone{},
    InterfaceAddresses{},
    InterfaceAddresses{true, 2, address("192.0.2.7"), {}},
    InterfaceAddresses{
        true, 0xffffffffU, address("127.0.0.1"), {address("0.0.0.1"), address("255.255.255.254")}},
    InterfaceAddresses{true, 1, address("0.0.0.3"), {kMaxOwnAddresses, address("0.0.0.9")}},
    InterfaceAddresses{false, 0, address("::"), {}},
    InterfaceAddresses{false, 2, address("2001:db8::7"), {address("::1"), address("::ffff:1.2.3.4")}},
    largest_addresses(),
};

TEST_CASE("every message survives the way") {
  for (const MonitorMessage& message : kMessages) {
    const auto bytes = encoded(message);
    REQUIRE(!bytes.empty());
    CHECK(bytes.size() <= kMaxMonitorMessage);
    const auto decoded = decode_monitor_message(bytes);
    REQUIRE(decoded);
    CHECK((*decoded == message));
  }
  CHECK(encoded(largest_addresses()).size() == kMaxMonitorMessage);
  CHECK((decode_monitor_message(encoded(largest())) == MonitorMessage(largest())));
}

TEST_CASE("every truncation and every surplus byte is rejected") {
  for (const MonitorMessage& message : kMessages) {
    auto bytes = encoded(message);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      CAPTURE(size);
      CHECK_FALSE(decode_monitor_message(std::span(bytes).first(size)));
    }
    bytes.push_back(std::byte{0});
    CHECK_FALSE(decode_monitor_message(bytes));
  }
}

TEST_CASE("an output buffer that is too small is refused") {
  for (const MonitorMessage& message : kMessages) {
    const std::size_t needed = encoded(message).size();
    std::vector<std::byte> buffer(needed);
    for (std::size_t size = 0; size < needed; ++size) {
      CHECK(encode(message, std::span(buffer).first(size)) == 0);
    }
    CHECK(encode(message, buffer) == needed);
  }
}

TEST_CASE("more servers than allowed are neither encoded nor decoded") {
  const Nameservers four{{server("1.1.1.1"), server("1.1.1.2"), server("1.1.1.3"), server("1.1.1.4")}};
  std::array<std::byte, 256> buffer{};
  CHECK(encode(four, buffer) == 0);
  const Nameservers four6{{server("::1"), server("::2"), server("::3"), server("::4")}};
  CHECK(encode(four6, buffer) == 0);

  // Three valid ones and a repetition of the last, by hand.
  auto bytes = encoded(Nameservers{{server("1.1.1.1"), server("1.1.1.2"), server("1.1.1.3")}});
  const std::vector<std::byte> last(bytes.end() - 1 - kNameserverSize, bytes.end() - 1);
  bytes.insert(bytes.end() - 1, last.begin(), last.end());  // before the number of search domains
  bytes[2] = std::byte{4};
  CHECK_FALSE(decode_monitor_message(bytes));
}

TEST_CASE("more search domains than allowed, and empty or longer ones, are neither encoded nor decoded") {
  std::vector<std::byte> buffer(kMaxMonitorMessage + 512);
  Nameservers many;
  many.search.assign(kMaxSearchDomains + 1, "a");
  CHECK(encode(many, buffer) == 0);
  CHECK(encode(Nameservers{{}, {std::string(256, 'a')}}, buffer) == 0);
  CHECK(encode(Nameservers{{}, {""}}, buffer) == 0);

  const std::vector<std::byte> empty_domain{std::byte{1}, std::byte{1}, std::byte{0}, std::byte{1},
                                            std::byte{0}};
  CHECK_FALSE(decode_monitor_message(empty_domain));
  auto nine = encoded(Nameservers{{}, {"a", "b", "c", "d", "e", "f", "g", "h"}});
  nine[3] = std::byte{9};
  nine.push_back(std::byte{1});
  nine.push_back(std::byte{'i'});
  CHECK_FALSE(decode_monitor_message(nine));
}

TEST_CASE("addresses of another family, or too many, are not encoded") {
  std::vector<std::byte> buffer(2 * kMaxMonitorMessage);
  CHECK(encode(InterfaceAddresses{true, 1, address("2001:db8::7"), {}}, buffer) == 0);
  CHECK(encode(InterfaceAddresses{false, 1, address("192.0.2.7"), {}}, buffer) == 0);
  CHECK(encode(InterfaceAddresses{false, 1, address("::"), {address("::1"), address("127.0.0.1")}}, buffer) ==
        0);
  CHECK(encode(InterfaceAddresses{true, 1, {}, {kMaxOwnAddresses + 1, address("0.0.0.9")}}, buffer) == 0);

  auto bytes = encoded(InterfaceAddresses{true, 1, address("192.0.2.7"), {}});
  bytes[2] = std::byte{5};
  CHECK_FALSE(decode_monitor_message(bytes));
}

TEST_CASE("malformed fields are rejected") {
  struct Case {
    std::string what;
    std::size_t at;
    int value;
  };
  const std::vector<Case> cases = {
      {"version", 0, 2},         {"version zero", 0, 0},    {"type", 1, 4},         {"type zero", 1, 0},
      {"count too small", 2, 0}, {"count too large", 2, 2}, {"count huge", 2, 255}, {"family", 3, 5},
      {"scope on IPv4", 7, 1},   {"padding", 23, 1},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    auto bytes = encoded(Nameservers{{server("1.2.3.4")}});
    bytes.at(c.at) = static_cast<std::byte>(c.value);
    CHECK_FALSE(decode_monitor_message(bytes));
  }
}

}  // namespace
}  // namespace l4n::netns
