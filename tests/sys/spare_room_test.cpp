#include "netns/sys/spare_room.hpp"

#include <doctest/doctest.h>

#include <numeric>

namespace l4n::sys {
namespace {

std::vector<int> vector_of(std::size_t size, std::size_t capacity) {
  std::vector<int> made;
  made.reserve(capacity);
  made.resize(size);
  std::iota(made.begin(), made.end(), 0);
  return made;
}

TEST_CASE("spare room: what is hardly used becomes as small as it is full") {
  struct Row {
    std::size_t size;
    std::size_t capacity;
    std::size_t after;
  };
  for (const Row& row : {Row{0, 1024, 0}, Row{256, 1024, 256}, Row{257, 1024, 1024}, Row{1, 256, 256},
                         Row{0, 0, 0}, Row{64, 257, 64}}) {
    CAPTURE(row.size);
    CAPTURE(row.capacity);
    std::vector<int> table = vector_of(row.size, row.capacity);
    give_back_spare_room(table);
    CHECK(table.capacity() == row.after);
    CHECK(table == vector_of(row.size, row.size));
  }
}

}  // namespace
}  // namespace l4n::sys
