#include "tests/stress/frame_changes.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "stack/packet.hpp"
#include "tests/support/packets.hpp"

namespace l4n::stress {
namespace {

using test::byte_string;

TEST_CASE("variations as text") {
  struct Row {
    const char* text;
    std::optional<Variation> expected;
  };
  const auto rows = std::to_array<Row>({
      {"34:2:count", Variation{34, 2, false}},
      {"0:4:random", Variation{0, 4, true}},
      {"34:5:count", std::nullopt},
      {"34:0:count", std::nullopt},
      {"34:2", std::nullopt},
      {"34:2:count ", std::nullopt},
      {"34", std::nullopt},
      {"-1:2:count", std::nullopt},
      {"", std::nullopt},
  });
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const auto parsed = parse_variation(row.text);
    REQUIRE(parsed.has_value() == row.expected.has_value());
    if (parsed) {
      CHECK(parsed->offset == row.expected->offset);
      CHECK(parsed->width == row.expected->width);
      CHECK(parsed->random == row.expected->random);
    }
  }
}

TEST_CASE("counted fields") {
  struct Row {
    const char* what;
    Frame before;
    Variation variation;
    std::uint32_t number;
    Frame after;
  };
  const auto rows = std::to_array<Row>({
      {"added to what is there", byte_string({1, 0, 7}), {1, 2, false}, 3, byte_string({1, 0, 10})},
      {"with the carry", byte_string({0, 0xff, 9}), {0, 2, false}, 1, byte_string({1, 0, 9})},
      {"wraps within its width", byte_string({9, 0xff, 0xff}), {1, 2, false}, 2, byte_string({9, 0, 1})},
      {"only the low bytes of the number fit",
       byte_string({9, 0}),
       {1, 1, false},
       0x0102,
       byte_string({9, 2})},
      {"outside of the frame", byte_string({1, 2}), {1, 2, false}, 1, byte_string({1, 2})},
  });
  Random random(1);
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Frame frame = row.before;
    vary(frame, row.variation, row.number, random);
    CHECK(frame == row.after);
  }
}

TEST_CASE("random fields differ, and their neighbours stay") {
  Random random(1);
  std::set<Frame> seen;
  for (int i = 0; i < 20; ++i) {
    Frame frame = byte_string({1, 2, 3, 4, 5, 6});
    vary(frame, {1, 4, true}, 0, random);
    CHECK(frame.front() == std::byte{1});
    CHECK(frame.back() == std::byte{6});
    seen.insert(frame);
  }
  CHECK(seen.size() > 10);
}

// The program's own codec refuses what does not add up.
TEST_CASE("spoilt checksums are made right again") {
  const test::Ipv4Spec udp4{.protocol = 17};
  const test::Ipv6Spec udp6{.next_header = 17};
  struct Row {
    const char* what;
    Frame frame;
    std::vector<std::size_t> checksums;  // offsets in the frame
  };
  const Frame payload = test::text_bytes("odd");
  const Frame datagram6 = test::with_checksum(
      udp6, test::concat({test::be16(1), test::be16(2), test::be16(11), test::be16(0), payload}), 6);
  const auto rows = std::to_array<Row>({
      {"TCP", test::tcp_frame({.payload = payload}), {24, 50}},
      {"UDP", test::udp_frame(payload, udp4), {24, 40}},
      {"ICMP", test::echo_frame(payload), {24, 36}},
      {"UDP over IPv6",
       test::ethernet_frame(stack::kEtherTypeIpv6, test::ipv6_packet(udp6, datagram6)),
       {60}},
  });
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Frame frame = row.frame;
    for (const std::size_t at : row.checksums) {
      frame[at] ^= std::byte{0x5a};
    }
    CHECK(frame != row.frame);
    repair_checksums(frame);
    CHECK(frame == row.frame);
  }
}

TEST_CASE("what does not add up is left alone") {
  Frame fragment = test::ethernet_frame(stack::kEtherTypeIpv4,
                                        test::ipv4_packet({.protocol = 17, .fragment = 0x2000}, Frame(16)));
  const Frame before = fragment;
  repair_checksums(fragment);
  CHECK(fragment == before);

  for (std::size_t size = 0; size <= before.size(); ++size) {  // must not read outside
    Frame part(before.begin(), before.begin() + static_cast<std::ptrdiff_t>(size));
    repair_checksums(part);
  }
}

TEST_CASE("mutations keep within their lengths and are the same for the same seed") {
  const std::vector<Frame> corpus{test::tcp_frame({}), test::udp_frame(Frame(100)), Frame(kShortest)};
  constexpr std::size_t kLongest = 2000;
  Random random(7);
  Random again(7);
  std::set<std::size_t> sizes;
  for (int i = 0; i < 2000; ++i) {
    const Frame frame = mutate(corpus, kLongest, random);
    CHECK(frame.size() >= kShortest);
    CHECK(frame.size() <= kLongest);
    CHECK(frame == mutate(corpus, kLongest, again));
    sizes.insert(frame.size());
  }
  CHECK(*sizes.begin() == kShortest);
  CHECK(*sizes.rbegin() > 1000);
}

}  // namespace
}  // namespace l4n::stress
