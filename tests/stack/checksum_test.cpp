#include "stack/checksum.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/support/packets.hpp"

namespace l4n::stack {
namespace {

using test::ByteString;
using test::from_hex;
using test::plain_sum;

std::uint16_t partial_of(sys::Bytes data) {
  ChecksumAccumulator sum;
  sum.add(data);
  return sum.partial();
}

TEST_CASE("checksum: known examples") {
  struct Row {
    std::string description;
    std::string data;
    std::uint16_t sum;
  };
  const std::vector<Row> rows = {
      {"nothing", "", 0x0000},
      {"one byte is the high one", "ab", 0xab00},
      {"the example of RFC 1071 section 3", "00 01 f2 03 f4 f5 f6 f7", 0xddf2},
      {"carries", "ff ff ff ff", 0xffff},
      {"a carry that carries", "ff ff 00 01", 0x0001},
      {"an odd end", "00 01 f2 03 f4 f5 f6", 0xdcfb},
      {"an IPv4 header without its checksum", "45 00 00 73 00 00 40 00 40 11 00 00 c0 a8 00 01 c0 a8 00 c7",
       0x479e},
      {"the same with it", "45 00 00 73 00 00 40 00 40 11 b8 61 c0 a8 00 01 c0 a8 00 c7", 0xffff},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    const ByteString data = from_hex(row.data);
    CHECK(partial_of(data) == row.sum);
    CHECK(internet_checksum(data) == static_cast<std::uint16_t>(0xffffU - row.sum));
    CHECK(plain_sum(data) == row.sum);
  }
}

TEST_CASE("checksum: every length and alignment against a plain reference") {
  std::mt19937 random(2);
  const ByteString data = test::random_bytes(random, 160);
  for (std::size_t start = 0; start < 8; ++start) {
    for (std::size_t length = 0; start + length <= data.size(); ++length) {
      const sys::Bytes piece = std::span(data).subspan(start, length);
      REQUIRE(partial_of(piece) == plain_sum(piece));
    }
  }
}

TEST_CASE("checksum: any cut into pieces gives the sum of the whole") {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    const ByteString data = test::random_bytes(random, random() % 200);
    ChecksumAccumulator sum;
    sys::Bytes rest = data;
    while (!rest.empty()) {
      const std::size_t n = random() % (rest.size() + 1);  // 0 and odd lengths too
      sum.add(rest.first(n));
      rest = rest.subspan(n);
    }
    REQUIRE(sum.partial() == plain_sum(data));
  }
}

TEST_CASE("checksum: the largest frames, all ones") {
  for (const std::size_t size : {65535U, 65536U, 1048576U}) {
    const ByteString data(size, std::byte{0xff});
    CHECK(partial_of(data) == plain_sum(data));
  }
}

TEST_CASE("checksum: single words") {
  ChecksumAccumulator sum;
  sum.add(from_hex("ff ff"));
  sum.add(from_hex("00 02"));
  sum.add(from_hex("00 03"));
  CHECK(sum.partial() == 5);
  CHECK(sum.finish() == 0xfffa);
}

TEST_CASE("checksum: pseudo headers of both families") {
  struct Row {
    std::string source;
    std::string destination;
    std::uint8_t protocol;
    std::uint32_t length;
  };
  const std::vector<Row> rows = {
      {"10.0.2.100", "192.0.2.1", 6, 20},
      {"255.255.255.255", "255.255.255.255", 255, 65535},
      {"0.0.0.0", "0.0.0.0", 0, 0},
      {"fd00::100", "2001:db8::1", 17, 8},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::1", 58, 65536 + 77},
  };
  for (const Row& row : rows) {
    CAPTURE(row.source);
    const sys::IpAddress source = *sys::parse_ip(row.source);
    const sys::IpAddress destination = *sys::parse_ip(row.destination);
    ChecksumAccumulator sum;
    sum.add_pseudo_header(source, destination, row.protocol, row.length);
    CHECK(sum.partial() == plain_sum(test::pseudo_header(source, destination, row.protocol, row.length)));
  }
}

}  // namespace
}  // namespace l4n::stack
