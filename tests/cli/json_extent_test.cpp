#include "cli/json_extent.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace l4n::cli {
namespace {

constexpr std::size_t kOpen = static_cast<std::size_t>(-1);

struct Row {
  std::string text;
  std::size_t end;  // kOpen: never complete
};

const std::vector<Row>& rows() {
  static const std::vector<Row> table = {
      {"", kOpen},
      {" \n", kOpen},
      {"1", kOpen},
      {"\"{}\"", kOpen},
      {"{", kOpen},
      {"{}", 2},
      {" {} ", 3},
      {"[]", 2},
      {"{}{}", 2},
      {"{\"a\":{}", kOpen},
      {"{\"a\":{}}x", 8},
      {"{\"a\":[1,{\"b\":2}]}", 17},
      {"{\"}\":\"]\"}", 9},
      {R"({"\"}":1})", 9},
      {R"({"\\":1}})", 8},
      {R"({"\\\"":"}")", kOpen},
      {"]{}", 1},
      {"x}", 2},
      {std::string(2000, '['), kOpen},
      {std::string(2000, '[') + std::string(2000, ']'), 4000},
  };
  return table;
}

}  // namespace

TEST_CASE("JSON extent: ends with the last bracket outside of strings") {
  for (const Row& row : rows()) {
    CAPTURE(row.text);
    JsonExtent extent;
    extent.feed(row.text);
    CHECK(extent.complete() == (row.end != kOpen));
    CHECK(extent.size() == (row.end != kOpen ? row.end : row.text.size()));
  }
}

TEST_CASE("JSON extent: pieces make no difference") {
  for (const Row& row : rows()) {
    CAPTURE(row.text);
    JsonExtent extent;
    for (std::size_t i = 0; i < row.text.size(); ++i) {
      CHECK(extent.complete() == (row.end != kOpen && i >= row.end));
      extent.feed(row.text.substr(i, 1));
    }
    CHECK(extent.size() == (row.end != kOpen ? row.end : row.text.size()));
  }
}

}  // namespace l4n::cli
