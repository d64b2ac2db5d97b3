#include "stack/domain_name.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/byte_string.hpp"

namespace l4n::stack {
namespace {

using test::ByteString;

TEST_CASE("domain name: labels, and what is no name") {
  struct Row {
    std::string name;
    ByteString wire;
  };
  const std::string label63(63, 'x');
  const std::string longest = label63 + "." + label63 + "." + label63 + "." + std::string(61, 'y');
  const std::vector<Row> rows = {
      {"org", test::from_hex("03 6f7267 00")},
      {"org.", test::from_hex("03 6f7267 00")},
      {"a.B-1._c", test::from_hex("01 61 03 422d31 02 5f63 00")},
      {"", {}},
      {".", {}},
      {"..", {}},
      {".org", {}},
      {"a..b", {}},
      {"a b", {}},
      {"a\n", {}},
      {"$(id).org", {}},
      {"\xc3\xa4.org", {}},
      {std::string("a\0b", 3), {}},
      {label63 + "x", {}},
      {longest + "y", {}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    CHECK(encode_domain_name(row.name) == row.wire);
  }
  CHECK(encode_domain_name(longest).size() == 255);
  CHECK(encode_domain_name(longest + ".").size() == 255);
}

TEST_CASE("domain name: a search list ends where the limit is reached") {
  const std::vector<std::string> names = {"a.b", "bad name", "c", "dd"};  // of 5, 0, 3 and 4 bytes
  const ByteString all = test::from_hex("01 61 01 62 00 01 63 00 02 6464 00");
  const struct {
    std::size_t limit;
    std::size_t size;
  } rows[] = {{100, 12}, {12, 12}, {11, 8}, {8, 8}, {7, 5}, {5, 5}, {4, 0}, {0, 0}};
  for (const auto& row : rows) {
    CAPTURE(row.limit);
    CHECK(encode_search_list(names, row.limit) ==
          ByteString(all.begin(), all.begin() + static_cast<long>(row.size)));
  }
}

}  // namespace
}  // namespace l4n::stack
