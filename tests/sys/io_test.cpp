#include "netns/sys/io.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <string>
#include <vector>

namespace l4n::sys {
namespace {

struct Row {
  std::string description;
  long returned;
  int errno_value;
  IoResult read;
  IoResult write;
};

void check_same(const IoResult& got, const IoResult& expected) {
  CHECK(got.status == expected.status);
  CHECK(got.bytes == expected.bytes);
  CHECK(got.error == expected.error);
}

}  // namespace

TEST_CASE("io: what a system call returned") {
  const std::vector<Row> rows = {
      {"one byte", 1, 0, IoResult::moved(1), IoResult::moved(1)},
      {"many bytes", 1048576, 0, IoResult::moved(1048576), IoResult::moved(1048576)},
      {"an old errno counts for nothing", 5, EPIPE, IoResult::moved(5), IoResult::moved(5)},
      {"nothing", 0, 0, IoResult::finished(), IoResult::moved(0)},
      {"nothing, with an old errno", 0, EIO, IoResult::finished(), IoResult::moved(0)},
      {"EAGAIN", -1, EAGAIN, IoResult::blocked(), IoResult::blocked()},
      {"EWOULDBLOCK", -1, EWOULDBLOCK, IoResult::blocked(), IoResult::blocked()},
      {"EINTR", -1, EINTR, IoResult::blocked(), IoResult::blocked()},
      {"reset", -1, ECONNRESET, IoResult::error_of(ECONNRESET), IoResult::error_of(ECONNRESET)},
      {"broken pipe", -1, EPIPE, IoResult::error_of(EPIPE), IoResult::error_of(EPIPE)},
      {"refused", -1, ECONNREFUSED, IoResult::error_of(ECONNREFUSED), IoResult::error_of(ECONNREFUSED)},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    errno = row.errno_value;
    check_same(read_result(row.returned), row.read);
    errno = row.errno_value;
    check_same(write_result(row.returned), row.write);
  }
}

TEST_CASE("io: a result that was never set is a failure") { CHECK(IoResult{}.status == IoStatus::failed); }

}  // namespace l4n::sys
