#include "netns/sys/bytes.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/byte_string.hpp"

namespace l4n::sys {
namespace {

using test::byte_string;
using test::ByteString;
using test::same_bytes;

TEST_CASE("bytes: unchecked access is big-endian") {
  ByteString data = byte_string({0x01, 0x82, 0xa3, 0xf4});
  CHECK(load_u8(&data[1]) == 0x82);
  CHECK(load_be16(data.data()) == 0x0182);
  CHECK(load_be16(&data[1]) == 0x82a3);
  CHECK(load_be32(data.data()) == 0x0182a3f4);
  store_be16(&data[1], 0xfedc);
  CHECK(data == byte_string({0x01, 0xfe, 0xdc, 0xf4}));
  store_be32(data.data(), 0x89abcdef);
  CHECK(data == byte_string({0x89, 0xab, 0xcd, 0xef}));
}

TEST_CASE("bytes: reading in order") {
  const ByteString data = byte_string({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  ByteReader reader(data);
  CHECK(reader.left() == 11);
  CHECK(reader.u8() == 1);
  CHECK(reader.be16() == 0x0203);
  CHECK(reader.be32() == 0x04050607);
  reader.skip(1);
  CHECK(same_bytes(reader.bytes(2), byte_string({9, 10})));
  CHECK(same_bytes(reader.rest(), byte_string({11})));
  CHECK(reader.left() == 1);
  CHECK(reader.bytes(0).empty());
  CHECK_FALSE(reader.failed());
}

struct Step {
  std::string description;
  std::size_t size;
  std::function<std::uint64_t(ByteReader&)> read;
};

const std::vector<Step>& steps() {
  static const std::vector<Step> all = {
      {"u8", 1, [](ByteReader& r) { return std::uint64_t{r.u8()}; }},
      {"be16", 2, [](ByteReader& r) { return std::uint64_t{r.be16()}; }},
      {"be32", 4, [](ByteReader& r) { return std::uint64_t{r.be32()}; }},
      {"bytes(3)", 3, [](ByteReader& r) { return std::uint64_t{r.bytes(3).size()}; }},
      {"skip(5)", 5,
       [](ByteReader& r) {
         r.skip(5);
         return std::uint64_t{0};
       }},
  };
  return all;
}

TEST_CASE("bytes: every truncation of every read fails, yields nothing and stays failed") {
  for (const Step& step : steps()) {
    for (std::size_t size = 0; size <= step.size; ++size) {
      CAPTURE(step.description);
      CAPTURE(size);
      const ByteString data(size, std::byte{0xff});  // exactly sized: the sanitizer sees an overrun
      ByteReader reader(data);
      const std::uint64_t value = step.read(reader);
      const bool whole = size == step.size;
      CHECK(reader.failed() != whole);
      CHECK(reader.left() == 0);
      if (!whole) {
        CHECK(value == 0);
        CHECK(reader.u8() == 0);
        CHECK(reader.be16() == 0);
        CHECK(reader.be32() == 0);
        CHECK(reader.bytes(1).empty());
        CHECK(reader.rest().empty());
        CHECK(reader.failed());
      }
    }
  }
}

TEST_CASE("bytes: every truncation of a sequence of reads fails") {
  constexpr std::size_t kWhole = 1 + 2 + 4 + 3 + 5;
  for (std::size_t size = 0; size <= kWhole; ++size) {
    CAPTURE(size);
    const ByteString data(size, std::byte{0x5a});
    ByteReader reader(data);
    for (const Step& step : steps()) {
      static_cast<void>(step.read(reader));
    }
    CHECK(reader.failed() == (size != kWhole));
  }
}

TEST_CASE("bytes: huge lengths do not wrap") {
  const ByteString data(4);
  ByteReader reader(data);
  reader.skip(1);
  CHECK(reader.bytes(static_cast<std::size_t>(-1)).empty());
  CHECK(reader.failed());
  ByteReader skipping(data);
  skipping.skip(static_cast<std::size_t>(-1));
  CHECK(skipping.failed());
  CHECK(skipping.left() == 0);
}

TEST_CASE("bytes: writing in order") {
  ByteString out(10, std::byte{0xee});
  ByteWriter writer(out);
  writer.u8(1);
  writer.be16(0x0203);
  writer.be32(0x04050607);
  writer.bytes(byte_string({8, 9}));
  writer.bytes({});
  CHECK(writer.size() == 9);
  CHECK_FALSE(writer.failed());
  CHECK(out == byte_string({1, 2, 3, 4, 5, 6, 7, 8, 9, 0xee}));
}

TEST_CASE("bytes: a write that does not fit writes nothing") {
  struct Row {
    std::string description;
    std::size_t size;
    std::function<void(ByteWriter&)> write;
  };
  const std::vector<Row> rows = {
      {"u8", 1, [](ByteWriter& w) { w.u8(0x11); }},
      {"be16", 2, [](ByteWriter& w) { w.be16(0x1111); }},
      {"be32", 4, [](ByteWriter& w) { w.be32(0x11111111); }},
      {"bytes", 3,
       [](ByteWriter& w) {
         w.bytes(byte_string({0x11, 0x11, 0x11}));
       }},
  };
  for (const Row& row : rows) {
    for (std::size_t size = 0; size <= row.size; ++size) {
      CAPTURE(row.description);
      CAPTURE(size);
      ByteString out(size);
      ByteWriter writer(out);
      row.write(writer);
      const bool whole = size == row.size;
      CHECK(writer.failed() != whole);
      CHECK(writer.size() == (whole ? size : 0));
      CHECK(out == ByteString(size, whole ? std::byte{0x11} : std::byte{0}));
    }
  }
}

TEST_CASE("bytes: a writer that has failed stays failed") {
  ByteString out(2);
  ByteWriter writer(out);
  writer.be32(1);
  writer.u8(1);
  CHECK(writer.failed());
}

}  // namespace
}  // namespace l4n::sys
