#include "stack/ipv6_header.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <variant>
#include <vector>

#include "stack/packet.hpp"
#include "tests/support/packets.hpp"

namespace l4n::stack {
namespace {

using test::be16;
using test::ByteString;
using test::concat;
using test::from_hex;
using test::overwrite;

constexpr std::size_t kSourceAt = 8;
constexpr std::size_t kDestinationAt = 24;
constexpr std::uint8_t kMobility = 135;
constexpr std::uint8_t kAuthentication = 51;

sys::Ipv6Address address(const std::string& text) { return sys::parse_ipv6(text).value(); }

// fd00::100 to 2001:db8::1, hop limit 63; `next_header` is the first of `rest`.
ByteString packet(std::uint8_t next_header, sys::Bytes rest) {
  ByteString header =
      from_hex("60000000 0000 00 3f fd000000000000000000000000000100 20010db8000000000000000000000001");
  overwrite(header, 4, be16(static_cast<unsigned>(rest.size())));
  header[6] = std::byte{next_header};
  return concat({header, rest});
}
ByteString packet(std::uint8_t next_header, const std::string& hex) {
  return packet(next_header, from_hex(hex));
}

ByteString with_addresses(ByteString data, const std::string& source, const std::string& destination) {
  const sys::Ipv6Address from = address(source);
  const sys::Ipv6Address to = address(destination);
  overwrite(data, kSourceAt, std::as_bytes(std::span(from.bytes)));
  overwrite(data, kDestinationAt, std::as_bytes(std::span(to.bytes)));
  return data;
}

const std::string kUdp = " 04d2 0035 000c 0000 01020304 ";
const std::string kTcp = " 04d2 0050 00000001 00000000 5002ffff 00000000 ";
const std::string kEcho = " 80 00 0000 0001 0001 ";

// What decode_ipv6() made of it, in one line.
std::string outcome(sys::Bytes bytes) {
  const DecodedIpv6 decoded = decode_ipv6(ByteString(bytes.begin(), bytes.end()));
  if (const auto* h = std::get_if<Ipv6Headers>(&decoded)) {
    return std::to_string(h->protocol) + " behind " + std::to_string(h->header_length) +
           (h->upper_layer_at == h->header_length ? "" : " at " + std::to_string(h->upper_layer_at)) +
           (h->fragment ? " fragment" : "");
  }
  if (const auto* refusal = std::get_if<Ipv6Refusal>(&decoded)) {
    return *refusal == Ipv6Refusal::malformed ? "malformed" : "discarded";
  }
  const auto& problem = std::get<Ipv6ParameterProblem>(decoded);
  return "code " + std::to_string(problem.code) + " at " + std::to_string(problem.pointer) +
         (problem.also_multicast ? ", also multicast" : "");
}

Ipv6Headers headers(sys::Bytes bytes) {
  const DecodedIpv6 decoded = decode_ipv6(bytes);
  REQUIRE(std::holds_alternative<Ipv6Headers>(decoded));
  return std::get<Ipv6Headers>(decoded);
}

TEST_CASE("ipv6: the bytes on the wire, there and back") {
  const ByteString wire = from_hex(
      "6b812345 0004 11 3f fd000000000000000000000000000100 20010db8000000000000000000000001 01020304");
  const Ipv6Headers h = headers(wire);
  CHECK(h.source == address("fd00::100"));
  CHECK(h.destination == address("2001:db8::1"));
  CHECK(h.traffic_class == 0xb8);
  CHECK(h.flow_label == 0x12345);
  CHECK(h.hop_limit == 63);
  CHECK(h.protocol == kProtocolUdp);
  CHECK(h.header_length == kIpv6HeaderSize);
  CHECK(h.total_length == wire.size());
  CHECK_FALSE(h.fragment);
  ByteString out(kIpv6HeaderSize);
  encode_ipv6(out, h);
  CHECK(test::same_bytes(out, std::span(wire).first(kIpv6HeaderSize)));
}

TEST_CASE("ipv6: the largest packet") {
  CHECK(headers(packet(kProtocolUdp, ByteString(65535))).total_length == 65575);
}

TEST_CASE("ipv6: what follows the payload is not part of the packet") {
  const ByteString padded = concat({packet(kProtocolNoNextHeader, ByteString{}), ByteString(6)});
  CHECK(outcome(padded) == "59 behind 40");
  CHECK(headers(padded).total_length == kIpv6HeaderSize);
  // Nor can an extension header reach into it.
  ByteString short_options = packet(kProtocolDestinationOptions, "1100 010400000000" + kUdp);
  overwrite(short_options, 4, be16(4));
  CHECK(outcome(short_options) == "malformed");
}

TEST_CASE("ipv6: every truncation is refused, whatever the headers") {
  const std::vector<ByteString> packets = {
      packet(kProtocolUdp, kUdp),
      packet(kProtocolHopByHop, "3c00 050200000000 2b00 010400000000 1100 0000 00000000" + kUdp),
      packet(kProtocolFragment, "1100 0001 00000007" + kUdp + "05060708"),
      packet(kProtocolFragment, "3c00 0001 00000007 1100 010400000000" + kUdp + "05060708"),
  };
  for (const ByteString& whole : packets) {
    CHECK(std::holds_alternative<Ipv6Headers>(decode_ipv6(whole)));
    for (std::size_t size = 0; size < whole.size(); ++size) {
      CAPTURE(size);
      CHECK(outcome(std::span(whole).first(size)) == "malformed");
    }
  }
}

TEST_CASE("ipv6: other versions are refused") {
  for (unsigned version = 0; version < 16; ++version) {
    CAPTURE(version);
    ByteString wire = packet(kProtocolUdp, kUdp);
    wire[0] = static_cast<std::byte>(version << 4U);
    CHECK((outcome(wire) == "malformed") == (version != 6));
  }
}

struct Row {
  std::string description;
  ByteString wire;
  std::string expected;
};

void check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    CAPTURE(row.description);
    CHECK(outcome(row.wire) == row.expected);
  }
}

TEST_CASE("ipv6: upper layers") {
  check({
      {"TCP", packet(kProtocolTcp, kTcp), "6 behind 40"},
      {"UDP", packet(kProtocolUdp, kUdp), "17 behind 40"},
      {"ICMPv6", packet(kProtocolIcmp6, kEcho), "58 behind 40"},
      {"none", packet(kProtocolNoNextHeader, "0102"), "59 behind 40"},
      {"none behind options", packet(kProtocolDestinationOptions, "3b00 010400000000"), "59 behind 48"},
      {"ICMP of IPv4", packet(kProtocolIcmp, "0800 0000 00000000"), "code 1 at 6"},
      {"GRE", packet(47, "00000000"), "code 1 at 6"},
      {"authentication", packet(kAuthentication, "1101 0000 00000000 00000000" + kUdp), "code 1 at 6"},
      {"mobility", packet(kMobility, "3b00 0000 0000 0000"), "code 1 at 6"},
      {"unknown behind two headers", packet(kProtocolHopByHop, "3c00 010400000000 fd00 010400000000 00"),
       "code 1 at 48"},
      {"unknown and nothing left", packet(253, ByteString{}), "code 1 at 6"},
  });
}

TEST_CASE("ipv6: extension headers") {
  const std::string pad = "010400000000";
  check({
      {"hop-by-hop", packet(kProtocolHopByHop, "1100" + pad + kUdp), "17 behind 48"},
      {"a longer one", packet(kProtocolHopByHop, "1101" + pad + "0106 000000000000" + kUdp), "17 behind 56"},
      {"all that we know",
       packet(kProtocolHopByHop,
              "3c00" + pad + "2b00" + pad + "2c00 0400 00000000 3c00 0000 00000007 0600" + pad + kTcp),
       "6 behind 80"},
      {"destination options twice, as before and behind a routing header",
       packet(kProtocolDestinationOptions, "2b00" + pad + "3c00 0400 00000000 3a00" + pad + kEcho),
       "58 behind 64"},
      {"hop-by-hop not first", packet(kProtocolDestinationOptions, "0000" + pad + "1100" + pad + kUdp),
       "code 1 at 40"},
      {"hop-by-hop twice", packet(kProtocolHopByHop, "0000" + pad + "1100" + pad + kUdp), "code 1 at 40"},
      {"past the end", packet(kProtocolDestinationOptions, "1101" + pad), "malformed"},
      {"past the end by far", packet(kProtocolRouting, "11ff 0000 00000000" + kUdp), "malformed"},
      {"one byte of it", packet(kProtocolHopByHop, "11"), "malformed"},
      {"announced, and nothing left", packet(kProtocolHopByHop, ByteString{}), "malformed"},
      {"half a fragment header", packet(kProtocolFragment, "1100 0001"), "malformed"},
  });
}

TEST_CASE("ipv6: routing headers are passed over when no segment is left") {
  check({
      {"an unknown type, none left", packet(kProtocolRouting, "1100 fd00 00000000" + kUdp), "17 behind 48"},
      {"an unknown type", packet(kProtocolRouting, "1100 fd01 00000000" + kUdp), "code 0 at 42"},
      {"type 0 (RFC 5095)",
       packet(kProtocolRouting, "1102 0001 00000000 20010db8000000000000000000000002" + kUdp),
       "code 0 at 42"},
      {"behind options", packet(kProtocolHopByHop, "2b00 010400000000 1100 04ff 00000000" + kUdp),
       "code 0 at 50"},
  });
}

TEST_CASE("ipv6: options are skipped or refused as their highest bits say") {
  check({
      {"padding only", packet(kProtocolHopByHop, "1100 000000000000" + kUdp), "17 behind 48"},
      {"router alert", packet(kProtocolHopByHop, "1100 05020000 0100" + kUdp), "17 behind 48"},
      {"00: skip", packet(kProtocolDestinationOptions, "1100 1e0401020304" + kUdp), "17 behind 48"},
      {"01: discard", packet(kProtocolDestinationOptions, "1100 5e0401020304" + kUdp), "discarded"},
      {"10: tell", packet(kProtocolDestinationOptions, "1100 9e0401020304" + kUdp),
       "code 2 at 42, also multicast"},
      {"11: tell unless multicast", packet(kProtocolDestinationOptions, "1100 de0401020304" + kUdp),
       "code 2 at 42"},
      {"the third", packet(kProtocolHopByHop, "1100 00 0100 c20100" + kUdp), "code 2 at 45"},
      {"the first that is refused decides", packet(kProtocolHopByHop, "1100 5e00 de00 9e00" + kUdp),
       "discarded"},
      {"in the second header", packet(kProtocolHopByHop, "3c00 010400000000 1100 0102 0000 8100" + kUdp),
       "code 2 at 54, also multicast"},
      {"without a length", packet(kProtocolHopByHop, "1100 0103000000 1e" + kUdp), "malformed"},
      {"longer than its header", packet(kProtocolHopByHop, "1100 010500000000" + kUdp), "malformed"},
      {"unknown and longer than its header", packet(kProtocolHopByHop, "1100 9e0500000000" + kUdp),
       "malformed"},
  });
}

ByteString repeated(const std::string& hex, std::size_t count) {
  ByteString out;
  for (std::size_t i = 0; i < count; ++i) {
    out = concat({out, from_hex(hex)});
  }
  return out;
}

TEST_CASE("ipv6: as many extension headers and options as allowed, and one more") {
  const auto chain = [](std::size_t headers) {
    return packet(kProtocolDestinationOptions,
                  concat({repeated("3c00 010400000000", headers - 1), from_hex("1100 010400000000" + kUdp)}));
  };
  CHECK(outcome(chain(kMostIpv6ExtensionHeaders)) == "17 behind 104");
  CHECK(outcome(chain(kMostIpv6ExtensionHeaders + 1)) == "malformed");

  // Seven headers of 6 bytes padding and one of 22: 64 options. Behind them one that would be refused.
  const auto options = [](const std::string& last) {
    return packet(kProtocolDestinationOptions,
                  concat({repeated("3c00 000000000000", kMostIpv6ExtensionHeaders - 1), from_hex("1102"),
                          ByteString(21), from_hex(last + kUdp)}));
  };
  CHECK(outcome(options("00")) == "17 behind 120");
  ByteString more = packet(kProtocolDestinationOptions,
                           concat({from_hex("1108"), ByteString(70 - 6), from_hex("9e0401020304" + kUdp)}));
  CHECK(outcome(more) == "malformed");
  ByteString as_many = packet(kProtocolDestinationOptions,
                              concat({from_hex("1108"), ByteString(63), from_hex("9e0501020304 05" + kUdp)}));
  CHECK(outcome(as_many) == "code 2 at 105, also multicast");
}

TEST_CASE("ipv6: fragments") {
  check({
      {"first", packet(kProtocolFragment, "1100 0001 00000007" + kUdp + "05060708"), "17 behind 48 fragment"},
      {"later", packet(kProtocolFragment, "1100 0010 00000007 01020304"), "17 behind 48 fragment"},
      {"behind options", packet(kProtocolHopByHop, "2c00 010400000000 1100 0010 00000007 01020304"),
       "17 behind 56 fragment"},
      {"first, options behind it",
       packet(kProtocolFragment, "3c00 0001 00000007 1100 5e0401020304" + kUdp + "05060708"),
       "17 behind 48 at 56 fragment"},
      {"later, options said to be there", packet(kProtocolFragment, "3c00 0010 00000007 01020304"),
       "60 behind 48 fragment"},
      {"first of a protocol that is not known",
       packet(kProtocolFragment, "2f00 0001 00000007 0102030405060708"), "47 behind 48 fragment"},
      {"later of a protocol that is not known", packet(kProtocolFragment, "2f00 0010 00000007 01020304"),
       "47 behind 48 fragment"},
      {"atomic", packet(kProtocolFragment, "1100 0000 00000007" + kUdp), "17 behind 48"},
      {"atomic, reserved bits set", packet(kProtocolFragment, "11ff 0006 00000007" + kUdp), "17 behind 48"},
      {"atomic, a bad option behind it",
       packet(kProtocolFragment, "3c00 0000 00000007 1100 5e0401020304" + kUdp), "discarded"},
      {"atomic and a first one",
       packet(kProtocolFragment, "2c00 0000 00000007 1100 0001 00000008" + kUdp + "05060708"),
       "17 behind 56 fragment"},
      {"empty, first", packet(kProtocolFragment, "3b00 0001 00000007"), "malformed"},
      {"empty, later", packet(kProtocolFragment, "1100 0010 00000007"), "malformed"},
      {"no multiple of 8", packet(kProtocolFragment, "1100 0011 00000007 01020304050607080a"), "code 0 at 4"},
      {"the last may be that", packet(kProtocolFragment, "1100 0010 00000007 01020304050607080a"),
       "17 behind 48 fragment"},
      {"a fragment of a fragment",
       packet(kProtocolFragment, "2c00 0001 00000007 1100 0001 00000008" + kUdp + "05060708"), "malformed"},
      {"a bad option in front of the fragment header",
       packet(kProtocolDestinationOptions, "2c00 9e0401020304 1100 0001 00000007" + kUdp + "05060708"),
       "code 2 at 42, also multicast"},
  });
}

TEST_CASE("ipv6: what a fragment says of itself") {
  const Ipv6Headers h = headers(
      packet(kProtocolHopByHop, "2b00 010400000000 2c00 0000 00000000 1100 1235 89abcdef 0102030405060708"));
  REQUIRE(h.fragment);
  CHECK(h.fragment->offset == 0x1230);
  CHECK(h.fragment->more);
  CHECK(h.fragment->id == 0x89abcdef);
  CHECK(h.fragment->at == 56);
  CHECK(h.fragment->next_header_at == 48);
  CHECK(h.fragment->next_header == kProtocolUdp);

  ByteString out(kIpv6FragmentHeaderSize);
  encode_ipv6_fragment(out, *h.fragment);
  CHECK(out == from_hex("1100 1231 89abcdef"));
  Ipv6Fragment last = *h.fragment;
  last.more = false;
  encode_ipv6_fragment(out, last);
  CHECK(out == from_hex("1100 1230 89abcdef"));
}

TEST_CASE("ipv6: a fragment may end where the largest payload ends, and not behind it") {
  const auto fragment = [](unsigned offset, std::size_t size) {
    return packet(kProtocolFragment,
                  concat({from_hex("1100"), be16(offset), from_hex("00000007"), ByteString(size)}));
  };
  CHECK(outcome(fragment(65528, 7)) == "17 behind 48 fragment");
  CHECK(outcome(fragment(65528, 8)) == "code 0 at 42");
  CHECK(outcome(fragment(65520, 16)) == "code 0 at 42");
  // An extension header in front of the fragment's takes room of the payload too.
  const auto behind_options = [](std::size_t size) {
    return packet(kProtocolHopByHop,
                  concat({from_hex("2c00 010400000000 1100 fff0 00000007"), ByteString(size)}));
  };
  CHECK(outcome(behind_options(7)) == "17 behind 56 fragment");
  CHECK(outcome(behind_options(8)) == "code 0 at 50");
}

TEST_CASE("ipv6: the first fragment holds all headers") {
  const auto first = [](const std::string& next_header, const std::string& rest) {
    return packet(kProtocolFragment, next_header + "00 0001 00000007" + rest);
  };
  check({
      {"8 bytes of UDP", first("11", "04d2 0035 0010 0000"), "17 behind 48 fragment"},
      {"8 bytes of ICMPv6", first("3a", kEcho), "58 behind 48 fragment"},
      {"16 bytes of TCP", first("06", "04d2005000000001 00000000 5002ffff"), "code 3 at 0"},
      {"24 bytes of TCP", first("06", kTcp + "00000000"), "6 behind 48 fragment"},
      {"options, and no more", first("3c", "1100 010400000000"), "code 3 at 0"},
      {"half of the options", first("3c", "1101 010400000000"), "code 3 at 0"},
      {"half of a routing header", first("2b", "1101 0400 00000000"), "code 3 at 0"},
      {"options and TCP, cut", first("3c", "0600 010400000000 04d2005000000001"), "code 3 at 0"},
      {"options and nothing announced", first("3c", "3b00 010400000000"), "59 behind 48 at 56 fragment"},
      {"options and what nobody knows", first("3c", "2f00 010400000000"), "47 behind 48 at 56 fragment"},
  });
  // The bound on headers holds on both sides of the fragment header.
  const ByteString chain =
      concat({repeated("3c00 010400000000", 6), from_hex("2c00 010400000000 3c00 0001 00000007"),
              from_hex("1100 010400000000" + kUdp + "05060708")});
  CHECK(outcome(packet(kProtocolDestinationOptions, chain)) == "malformed");
  CHECK(outcome(packet(kProtocolDestinationOptions, std::span(chain).subspan(8))) ==
        "17 behind 96 at 104 fragment");
}

TEST_CASE("ipv6: quoted packets, as far as they are there") {
  struct QuotedRow {
    std::string description;
    ByteString whole;
    std::size_t there;  // bytes
    std::uint8_t protocol;
    std::size_t header_length;
    std::size_t upper_layer_at;
  };
  const ByteString udp = packet(kProtocolUdp, kUdp);
  const ByteString options = packet(kProtocolHopByHop, "3c00 5e0401020304 1100 010400000000" + kUdp);
  const ByteString first =
      packet(kProtocolFragment, "3c00 0001 00000007 1100 010400000000" + kUdp + "05060708");
  const ByteString later = packet(kProtocolFragment, "1100 0010 00000007" + kUdp);
  const ByteString atomic = packet(kProtocolFragment, "1100 0000 00000007" + kUdp);
  const std::vector<QuotedRow> rows = {
      {"the fixed header", udp, 40, kProtocolUdp, 40, 40},
      {"and a bit more", udp, 44, kProtocolUdp, 40, 40},
      {"options, unexamined", options, 56, kProtocolUdp, 56, 56},
      {"cut in the second", options, 55, kProtocolDestinationOptions, 48, 48},
      {"cut in the first", options, 41, kProtocolHopByHop, 40, 40},
      {"a first fragment", first, 60, kProtocolUdp, 48, 56},
      {"cut behind the fragment header", first, 48, kProtocolDestinationOptions, 48, 48},
      {"cut in the fragment header", first, 47, kProtocolFragment, 40, 40},
      {"a later fragment", later, 60, kProtocolUdp, 48, 48},
      {"an atomic fragment", atomic, 60, kProtocolUdp, 48, 48},
  };
  for (const QuotedRow& row : rows) {
    CAPTURE(row.description);
    const sys::Bytes part = std::span(row.whole).first(row.there);
    const auto h = decode_quoted_ipv6(ByteString(part.begin(), part.end()));
    REQUIRE(h);
    CHECK(h->source == address("fd00::100"));
    CHECK(h->total_length == row.whole.size());
    CHECK(h->protocol == row.protocol);
    CHECK(h->header_length == row.header_length);
    CHECK(h->upper_layer_at == row.upper_layer_at);
  }
  CHECK_FALSE(decode_quoted_ipv6(std::span(udp).first(39)));
  CHECK_FALSE(decode_quoted_ipv6(from_hex("45")));
  CHECK(decode_quoted_ipv6(first)->fragment->id == 7);
  CHECK_FALSE(decode_quoted_ipv6(atomic)->fragment);
  const ByteString many = packet(kProtocolDestinationOptions, repeated("3c00 010400000000", 20));
  CHECK(decode_quoted_ipv6(many)->upper_layer_at == 40 + 8 * kMostIpv6ExtensionHeaders);
}

TEST_CASE("ipv6: about which packets an ICMPv6 error may be sent") {
  struct ErrorRow {
    std::string description;
    ByteString wire;
    bool allowed;
  };
  const auto icmp = [](const std::string& type) { return packet(kProtocolIcmp6, type + "00 0000 00000000"); };
  const ByteString udp = packet(kProtocolUdp, kUdp);
  const std::vector<ErrorRow> rows = {
      {"UDP", udp, true},
      {"no next header", packet(kProtocolNoNextHeader, ByteString{}), true},
      {"a protocol that is not known", packet(253, ByteString{}), true},
      {"an echo request", icmp("80"), true},
      {"an unknown informational message", icmp("fe"), true},
      {"unreachable", icmp("01"), false},
      {"parameter problem", icmp("04"), false},
      {"an unknown error", icmp("7f"), false},
      {"a redirect", icmp("89"), false},
      {"a neighbour advertisement", icmp("88"), true},
      {"ICMPv6 without its type", packet(kProtocolIcmp6, ByteString{}), false},
      {"unreachable behind options", packet(kProtocolHopByHop, "3a00 010400000000 0100 0000 00000000"),
       false},
      {"an echo request behind options", packet(kProtocolHopByHop, "3a00 010400000000" + kEcho), true},
      {"from nobody", with_addresses(udp, "::", "2001:db8::1"), false},
      {"from loopback", with_addresses(udp, "::1", "2001:db8::1"), false},
      {"from a group", with_addresses(udp, "ff02::1", "2001:db8::1"), false},
      {"from a link-local address", with_addresses(udp, "fe80::1", "2001:db8::1"), true},
      {"to a group", with_addresses(udp, "fd00::100", "ff02::1"), false},
      {"a first fragment", packet(kProtocolFragment, "1100 0001 00000007" + kUdp + "05060708"), true},
      {"a first fragment of an echo request", packet(kProtocolFragment, "3a00 0001 00000007" + kEcho), true},
      {"a first fragment of an error", packet(kProtocolFragment, "3a00 0001 00000007 0100 0000 00000000"),
       false},
      {"a first fragment that ends in its options",
       packet(kProtocolFragment, "3c00 0001 00000007 3a01 010400000000"), true},
      {"options that are cut", packet(kProtocolDestinationOptions, "3a01 010400000000"), false},
      {"a later fragment of UDP", packet(kProtocolFragment, "1100 0010 00000007 01020304"), true},
      {"a later fragment of ICMPv6", packet(kProtocolFragment, "3a00 0010 00000007 01020304"), false},
      {"the last that may be part of an ICMPv6 error",
       packet(kProtocolFragment, "3a00 04f8 00000007 01020304"), false},
      {"too far behind for an ICMPv6 error", packet(kProtocolFragment, "3a00 0500 00000007 01020304"), true},
      {"a later fragment of what options hide", packet(kProtocolFragment, "3c00 0010 00000007 01020304"),
       false},
      {"truncated", from_hex("60000000 0000"), false},
  };
  for (const ErrorRow& row : rows) {
    CAPTURE(row.description);
    CHECK(may_send_icmp6_error(row.wire) == row.allowed);
  }
  CHECK(may_send_icmp6_error(with_addresses(udp, "fd00::100", "ff02::1"), true));
  CHECK_FALSE(may_send_icmp6_error(with_addresses(udp, "::", "ff02::1"), true));
  CHECK_FALSE(may_send_icmp6_error(with_addresses(icmp("01"), "fd00::100", "ff02::1"), true));
}

TEST_CASE("ipv6: whatever the bytes, places stay within the packet") {
  std::mt19937 random(1);
  const std::vector<std::uint8_t> next_headers = {0, 6, 17, 43, 44, 51, 58, 59, 60, 60};
  unsigned decoded_count = 0;
  for (int round = 0; round < 20'000; ++round) {
    ByteString rest = test::random_bytes(random, random() % 120);
    for (std::size_t at = 0; at < rest.size(); at += 8) {  // headers of a plausible size, mostly
      rest[at] = std::byte{next_headers[random() % next_headers.size()]};
      if (random() % 4 != 0 && at + 1 < rest.size()) {
        rest[at + 1] = std::byte{0};
      }
      if (random() % 2 == 0 && at + 8 <= rest.size()) {
        overwrite(rest, at + 2, from_hex("010400000000"));
      }
    }
    const ByteString wire = packet(next_headers[random() % next_headers.size()], rest);
    const DecodedIpv6 decoded = decode_ipv6(wire);
    const auto quoted = decode_quoted_ipv6(wire);
    REQUIRE(quoted);
    REQUIRE(quoted->upper_layer_at <= wire.size());
    if (const auto* h = std::get_if<Ipv6Headers>(&decoded)) {
      ++decoded_count;
      REQUIRE(h->upper_layer_at <= h->total_length);
      REQUIRE(h->header_length <= h->upper_layer_at);
      // What is whole reads the same as if it were a quote.
      REQUIRE(quoted->protocol == h->protocol);
      REQUIRE(quoted->upper_layer_at == h->upper_layer_at);
      REQUIRE(quoted->header_length == h->header_length);
      REQUIRE(quoted->fragment.has_value() == h->fragment.has_value());
    } else if (const auto* problem = std::get_if<Ipv6ParameterProblem>(&decoded)) {
      REQUIRE(problem->pointer < wire.size());
    }
  }
  CHECK(decoded_count > 2000);
}

}  // namespace
}  // namespace l4n::stack
