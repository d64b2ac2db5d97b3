#include "netns/sys/fd.hpp"

#include <doctest/doctest.h>

#include <utility>

#include "tests/sys/pipe.hpp"

namespace l4n::sys {
namespace {

using test::is_open;
using test::Pipe;

TEST_CASE("fd: closes what it owns, once") {
  Pipe pipe;
  const int number = pipe.reader.release();
  {
    const Fd owner(number);
    CHECK(owner.get() == number);
    CHECK(owner.valid());
    CHECK(is_open(number));
  }
  CHECK_FALSE(is_open(number));
}

TEST_CASE("fd: an empty one owns nothing") {
  Fd none;
  CHECK(none.get() == -1);
  CHECK_FALSE(none.valid());
  none.reset();
  CHECK(none.release() == -1);
}

TEST_CASE("fd: release gives it away") {
  Pipe pipe;
  const int number = pipe.reader.get();
  CHECK(pipe.reader.release() == number);
  CHECK_FALSE(pipe.reader.valid());
  CHECK(is_open(number));
  const Fd cleanup(number);
}

TEST_CASE("fd: reset closes the old one and takes the new one") {
  Pipe pipe;
  const int old = pipe.reader.get();
  const int next = pipe.writer.release();
  pipe.reader.reset(next);
  CHECK_FALSE(is_open(old));
  CHECK(is_open(next));
  CHECK(pipe.reader.get() == next);
  pipe.reader.reset();
  CHECK_FALSE(is_open(next));
  CHECK_FALSE(pipe.reader.valid());
}

TEST_CASE("fd: moving hands over") {
  Pipe pipe;
  const int number = pipe.reader.get();
  Fd target(std::move(pipe.reader));
  CHECK(target.get() == number);
  CHECK_FALSE(pipe.reader.valid());  // NOLINT(bugprone-use-after-move): a moved-from Fd is empty

  const int replaced = pipe.writer.get();
  pipe.writer = std::move(target);
  CHECK_FALSE(is_open(replaced));
  CHECK(is_open(number));
  CHECK(pipe.writer.get() == number);
}

TEST_CASE("fd: moving to itself changes nothing") {
  Pipe pipe;
  Fd& same = pipe.reader;
  const int number = pipe.reader.get();
  pipe.reader = std::move(same);
  CHECK(pipe.reader.get() == number);
  CHECK(is_open(number));
}

}  // namespace
}  // namespace l4n::sys
