#include "netns/sys/result.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

namespace l4n::sys {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) {
    return plain_error("cannot halve");
  }
  return n / 2;
}

Result<void> check_positive(int n) {
  if (n <= 0) {
    return errno_error(EINVAL, "cannot use it");
  }
  return {};
}

}  // namespace

TEST_CASE("error: the message tells what was done and why it failed") {
  struct Row {
    std::string description;
    Error error;
    std::string message;
  };
  const std::vector<Row> rows = {
      {"no errno", plain_error("cannot parse it"), "cannot parse it"},
      {"errno given", errno_error(EACCES, "cannot open x"), "cannot open x: Permission denied"},
      {"another", errno_error(ECONNREFUSED, "cannot connect"), "cannot connect: Connection refused"},
      {"code 0", errno_error(0, "cannot do it"), "cannot do it"},
      {"default", Error{}, ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    CHECK(row.error.message() == row.message);
  }
}

TEST_CASE("error: errno is taken at the time of the call") {
  errno = ENOENT;
  const Error error = errno_error("cannot open x");
  errno = 0;
  CHECK(error.code == ENOENT);
  CHECK(error.message() == "cannot open x: No such file or directory");
}

TEST_CASE("errno_text: unknown values have a text too") { CHECK_FALSE(errno_text(123456).empty()); }

TEST_CASE("result: a value or an error") {
  const Result<int> good = half(10);
  REQUIRE(good);
  CHECK(good.has_value());
  CHECK(*good == 5);
  const Result<int> bad = half(3);
  CHECK_FALSE(bad);
  CHECK_FALSE(bad.has_value());
  CHECK(bad.error().code == 0);
  CHECK(bad.error().what == "cannot halve");
}

TEST_CASE("result: without a value") {
  CHECK(check_positive(1));
  const Result<void> bad = check_positive(0);
  CHECK_FALSE(bad);
  CHECK(bad.error().code == EINVAL);
  CHECK(bad.error().message() == "cannot use it: Invalid argument");
}

TEST_CASE("result: the value can be changed, and moved out when it cannot be copied") {
  Result<std::string> text = std::string("abc");
  text->append("d");
  CHECK(*text == "abcd");
  *text = "x";
  CHECK(text->size() == 1);

  Result<std::unique_ptr<int>> owner = std::make_unique<int>(7);
  const std::unique_ptr<int> taken = *std::move(owner);
  REQUIRE(taken != nullptr);
  CHECK(*taken == 7);
}

TEST_CASE("result: the text of an error may be the value's type") {
  const Result<std::string> bad = plain_error("cannot");
  CHECK_FALSE(bad.has_value());
  CHECK(bad.error().what == "cannot");
}

}  // namespace l4n::sys
