#include "stack/ndp.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "tests/support/packets.hpp"

namespace l4n::stack {
namespace {

using test::ByteString;
using test::concat;
using test::from_hex;
using test::kGuestMac;
using test::overwrite;

sys::Ipv6Address address(const std::string& text) { return sys::parse_ipv6(text).value(); }

NdpEnvelope envelope(const std::string& source, const std::string& destination,
                     std::uint8_t hop_limit = kNdpHopLimit) {
  return {address(source), address(destination), hop_limit};
}

const NdpEnvelope kFromGuest = envelope("fd00::100", "ff02::1:ff00:2");
const NdpEnvelope kFromNobody = envelope("::", "ff02::1:ff00:2");

const std::string kTarget = " fd000000000000000000000000000002 ";
const std::string kSourceMac = " 0101 021122334455 ";
const std::string kTargetMac = " 0201 021122334455 ";
const std::string kSolicit = "87 00 0000 00000000" + kTarget;
const std::string kAdvertise = "88 00 0000 60000000" + kTarget;
const std::string kRouterSolicit = "85 00 0000 00000000";

// The ways in which all of them can be wrong.
template <typename Decode>
void check_common_rules(const ByteString& fixed, const std::string& link_layer_type, const NdpEnvelope& from,
                        Decode decode) {
  const auto accepted = [&](const std::string& options) {
    return decode(concat({fixed, from_hex(options)}), from).has_value();
  };
  CHECK(accepted(""));
  CHECK(accepted(link_layer_type + "01 021122334455"));
  CHECK(
      accepted("fd01 000000000000 " + link_layer_type + "01 021122334455 0502 0000000000000000000000000000"));
  struct Row {
    std::string description;
    std::string options;
  };
  const std::vector<Row> rows = {
      {"length 0", "fd00 000000000000"},
      {"length 0 behind a good one", "fd01 000000000000 0e00 000000000000"},
      {"a type alone", "fd"},
      {"past the end", "fd01 0000000000"},
      {"past the end by far", "fdff 000000000000"},
      {"a longer link-layer address", link_layer_type + "02 021122334455 0000000000000000"},
      {"a multicast link-layer address", link_layer_type + "01 333300000001"},
      {"a broadcast link-layer address", link_layer_type + "01 ffffffffffff"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    CHECK_FALSE(accepted(row.options));
  }
  for (std::size_t size = 0; size < fixed.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(decode(ByteString(fixed.begin(), fixed.begin() + static_cast<std::ptrdiff_t>(size)), from));
  }
  for (const unsigned hop_limit : {0U, 1U, 64U, 254U}) {
    NdpEnvelope forwarded = from;
    forwarded.hop_limit = static_cast<std::uint8_t>(hop_limit);
    CHECK_FALSE(decode(fixed, forwarded));
  }
  for (const std::size_t at : {0U, 1U}) {  // another type, another code
    ByteString other = fixed;
    other[at] ^= std::byte{1};
    CHECK_FALSE(decode(other, from));
  }
}

TEST_CASE("ndp: what makes a message none, whichever it is") {
  check_common_rules(from_hex(kSolicit), "01", kFromGuest, decode_neighbour_solicitation);
  check_common_rules(from_hex(kAdvertise), "02", envelope("fd00::100", "fe80::2"),
                     decode_neighbour_advertisement);
  check_common_rules(from_hex(kRouterSolicit), "01", envelope("fe80::1", "ff02::2"),
                     decode_router_solicitation);
}

TEST_CASE("ndp: neighbour solicitation, there and back") {
  for (const std::string& option : {std::string(), kSourceMac}) {
    const ByteString wire = from_hex(kSolicit + option);
    const auto solicitation = decode_neighbour_solicitation(wire, kFromGuest);
    REQUIRE(solicitation);
    CHECK(solicitation->target == address("fd00::2"));
    REQUIRE(solicitation->source_mac.has_value() == !option.empty());
    CHECK((option.empty() || *solicitation->source_mac == kGuestMac));
    ByteString out(kNeighbourMessageSize);
    out.resize(encode_neighbour_solicitation(out, *solicitation));
    CHECK(out == wire);
  }
}

TEST_CASE("ndp: of two link-layer addresses the first counts, the target's is another option") {
  const auto twice =
      decode_neighbour_solicitation(from_hex(kSolicit + kSourceMac + "0101 0a0000000001"), kFromGuest);
  REQUIRE(twice);
  CHECK(twice->source_mac == kGuestMac);
  const auto other = decode_neighbour_solicitation(from_hex(kSolicit + kTargetMac), kFromGuest);
  REQUIRE(other);
  CHECK_FALSE(other->source_mac);
  const auto neither =
      decode_neighbour_advertisement(from_hex(kAdvertise + kSourceMac), envelope("fd00::100", "fe80::2"));
  REQUIRE(neither);
  CHECK_FALSE(neither->target_mac);
}

TEST_CASE("ndp: who may solicit what (RFC 4861 7.1.1)") {
  struct Row {
    std::string description;
    std::string message;
    NdpEnvelope envelope;
    bool valid;
  };
  const std::vector<Row> rows = {
      {"to the group", kSolicit, kFromGuest, true},
      {"to the address", kSolicit, envelope("fd00::100", "fd00::2"), true},
      {"duplicate address detection", kSolicit, kFromNobody, true},
      {"the same with a link-layer address", kSolicit + kSourceMac, kFromNobody, false},
      {"the same to the address", kSolicit, envelope("::", "fd00::2"), false},
      {"the same to all nodes", kSolicit, envelope("::", "ff02::1"), false},
      {"the same with an option of no concern", kSolicit + "0e01 010203040506", kFromNobody, true},
      {"a group as target", "87 00 0000 00000000 ff020000000000000000000000000001", kFromGuest, false},
      {"reserved bits", "87 00 0000 ffffffff" + kTarget, kFromGuest, true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    CHECK(decode_neighbour_solicitation(from_hex(row.message), row.envelope).has_value() == row.valid);
  }
}

TEST_CASE("ndp: neighbour advertisement, there and back, with each flag") {
  for (unsigned flags = 0; flags < 8; ++flags) {
    CAPTURE(flags);
    for (const std::string& option : {std::string(), kTargetMac}) {
      ByteString wire = from_hex(kAdvertise + option);
      wire[4] = static_cast<std::byte>(flags << 5U);
      const auto advertisement = decode_neighbour_advertisement(wire, envelope("fd00::100", "fe80::2"));
      REQUIRE(advertisement);
      CHECK(advertisement->target == address("fd00::2"));
      CHECK(advertisement->router == ((flags & 4U) != 0));
      CHECK(advertisement->solicited == ((flags & 2U) != 0));
      CHECK(advertisement->override == ((flags & 1U) != 0));
      REQUIRE(advertisement->target_mac.has_value() == !option.empty());
      CHECK((option.empty() || *advertisement->target_mac == kGuestMac));
      ByteString out(kNeighbourMessageSize);
      out.resize(encode_neighbour_advertisement(out, *advertisement));
      CHECK(out == wire);
    }
  }
}

TEST_CASE("ndp: which advertisements are valid (RFC 4861 7.1.2)") {
  struct Row {
    std::string description;
    std::string message;
    std::string destination;
    bool valid;
  };
  const std::string unsolicited = "88 00 0000 20000000" + kTarget;
  const std::vector<Row> rows = {
      {"solicited, to one", kAdvertise, "fe80::2", true},
      {"solicited, to all", kAdvertise, "ff02::1", false},
      {"unsolicited, to all", unsolicited, "ff02::1", true},
      {"a group as target", "88 00 0000 60000000 ff020000000000000000000000000001", "fe80::2", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    const auto decoded =
        decode_neighbour_advertisement(from_hex(row.message), envelope("fd00::100", row.destination));
    CHECK(decoded.has_value() == row.valid);
  }
}

TEST_CASE("ndp: router solicitation (RFC 4861 6.1.1)") {
  const auto with_mac =
      decode_router_solicitation(from_hex(kRouterSolicit + kSourceMac), envelope("fe80::1", "ff02::2"));
  REQUIRE(with_mac);
  CHECK(with_mac->source_mac == kGuestMac);
  const auto without = decode_router_solicitation(from_hex(kRouterSolicit), envelope("::", "ff02::2"));
  REQUIRE(without);
  CHECK_FALSE(without->source_mac);
  CHECK_FALSE(decode_router_solicitation(from_hex(kRouterSolicit + kSourceMac), envelope("::", "ff02::2")));
}

RouterAdvertisement sample() {
  RouterAdvertisement ra;
  ra.mtu = 65520;
  ra.prefix = {address("fd00::"), 64};
  return ra;
}

ByteString encoded(const RouterAdvertisement& ra) {
  ByteString out(kLargestRouterAdvertisement);
  out.resize(encode_router_advertisement(out, ra));
  return out;
}

const std::string kPlainAdvertisement =
    "86 00 0000 40 00 0708 00000000 00000000"
    "0101 52550a000202"
    "0501 0000 0000fff0"
    "0304 40 c0 00015180 00003840 00000000 fd000000000000000000000000000000";

TEST_CASE("ndp: router advertisement, the bytes on the wire") {
  RouterAdvertisement ra = sample();
  CHECK(encoded(ra) == from_hex(kPlainAdvertisement));
  ra.dns_servers = {address("fd00::3")};
  const std::string servers = "1903 0000 00000708 fd000000000000000000000000000003";
  CHECK(encoded(ra) == from_hex(kPlainAdvertisement + servers));
  ra.search_domains = {"a.bc", "example.org."};
  CHECK(encoded(ra) ==
        from_hex(kPlainAdvertisement + servers +
                 "1f04 0000 00000708 0161 026263 00 07 6578616d706c65 03 6f7267 00 0000000000"));
  // Another order of the same: filled up to a multiple of 8 only where that is needed.
  ra.dns_servers.clear();
  ra.search_domains = {"abcdef"};
  CHECK(encoded(ra) == from_hex(kPlainAdvertisement + "1f02 0000 00000708 06 616263646566 00"));
}

TEST_CASE("ndp: router advertisement, what can be said otherwise") {
  RouterAdvertisement ra = sample();
  ra.hop_limit = 255;
  ra.managed = true;
  ra.router_lifetime = 0;
  ra.on_link = false;
  ra.prefix = {address("fd00:1:2:3:ffff:ffff:ffff:ffff"), 60};
  ra.valid_lifetime = 1;
  ra.preferred_lifetime = 2;
  ra.source_mac = kGuestMac;
  CHECK(encoded(ra) == from_hex("86 00 0000 ff 80 0000 00000000 00000000"
                                "0101 021122334455"
                                "0501 0000 0000fff0"
                                "0304 3c 40 00000001 00000002 00000000 fd000001000200000000000000000000"));
  ra.managed = false;
  ra.other = true;
  ra.on_link = true;
  ra.autonomous = false;
  const ByteString other = encoded(ra);
  CHECK(other[5] == std::byte{0x40});
  CHECK(other[35] == std::byte{0x80});
}

TEST_CASE("ndp: no more DNS servers than allowed") {
  RouterAdvertisement ra = sample();
  ra.dns_servers.assign(kMostAdvertisedDnsServers + 1, address("fd00::3"));
  const ByteString out = encoded(ra);
  CHECK(out.size() == from_hex(kPlainAdvertisement).size() + 8 + 16 * kMostAdvertisedDnsServers);
}

TEST_CASE("ndp: search domains that are none are left out") {
  RouterAdvertisement ra = sample();
  ra.search_domains = {"a..b", "abcdef", ""};
  CHECK(encoded(ra) == from_hex(kPlainAdvertisement + "1f02 0000 00000708 06 616263646566 00"));
}

TEST_CASE("ndp: a router advertisement stays within its bound, whatever is to go in") {
  RouterAdvertisement ra = sample();
  ra.dns_servers.assign(kMostAdvertisedDnsServers, address("fd00::3"));
  std::size_t largest = 0;
  for (std::size_t count = 0; count < 40; ++count) {
    ra.search_domains.assign(count, std::string(40, 'd') + "." + std::string(count, 'e') + "x");
    const ByteString out = encoded(ra);
    CHECK(out.size() % 8 == 0);
    largest = std::max(largest, out.size());
    const std::size_t options = 64 + 8 + 16 * kMostAdvertisedDnsServers;
    if (count > 0) {
      REQUIRE(out.size() > options);
      CHECK(out[options] == std::byte{31});
      CHECK(std::to_integer<std::size_t>(out[options + 1]) * 8 == out.size() - options);
    }
  }
  CHECK(largest <= kLargestRouterAdvertisement);
  CHECK(largest > kLargestRouterAdvertisement - 100);
}

TEST_CASE("ndp: groups and their link-layer addresses") {
  CHECK(all_nodes() == address("ff02::1"));
  CHECK(solicited_node_multicast(address("2001:db8::1234:5678:9abc")) == address("ff02::1:ff78:9abc"));
  CHECK(is_solicited_node_multicast(address("ff02::1:ff78:9abc")));
  CHECK_FALSE(is_solicited_node_multicast(address("ff02::1:fe78:9abc")));
  CHECK_FALSE(is_solicited_node_multicast(address("ff05::1:ff78:9abc")));
  CHECK_FALSE(is_solicited_node_multicast(address("ff02::1")));
  CHECK_FALSE(is_solicited_node_multicast(address("fd00::1:ff78:9abc")));
  CHECK(multicast_mac(address("ff02::1:ff78:9abc")) == MacAddress{0x33, 0x33, 0xff, 0x78, 0x9a, 0xbc});
  CHECK(multicast_mac(all_nodes()) == MacAddress{0x33, 0x33, 0, 0, 0, 1});
}

TEST_CASE("ndp: whatever the bytes, only what the rules allow comes out") {
  std::mt19937 random(1);
  const ByteString solicit = from_hex(kSolicit);
  const sys::Bytes fixed = solicit;
  unsigned valid = 0;
  for (int round = 0; round < 20'000; ++round) {
    ByteString wire = test::random_bytes(random, random() % 64);
    if (random() % 8 != 0) {
      overwrite(wire, 0, fixed.first(std::min(wire.size(), fixed.size())));
    }
    for (std::size_t at = 25; at < wire.size(); at += 8) {
      wire[at] &= std::byte{1};
    }
    const NdpEnvelope& from = random() % 2 == 0 ? kFromGuest : kFromNobody;
    if (const auto solicitation = decode_neighbour_solicitation(wire, from)) {
      ++valid;
      REQUIRE_FALSE(sys::is_multicast(solicitation->target));
      REQUIRE_FALSE((solicitation->source_mac && sys::is_unspecified(from.source)));
      ByteString out(kNeighbourMessageSize);
      out.resize(encode_neighbour_solicitation(out, *solicitation));
      REQUIRE(decode_neighbour_solicitation(out, from));
    }
  }
  CHECK(valid > 500);
}

}  // namespace
}  // namespace l4n::stack
