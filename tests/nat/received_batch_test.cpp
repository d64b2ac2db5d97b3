#include "nat/received_batch.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace l4n::nat {
namespace {

const sys::Endpoint kPeer{sys::make_ipv4(192, 0, 2, 1), 1000};
const sys::Endpoint kOther{sys::make_ipv4(192, 0, 2, 1), 1001};

HostUdp::Received received(std::size_t bytes, std::uint16_t segment_size = 0,
                           const sys::Endpoint& source = kPeer) {
  HostUdp::Received r;
  r.status = sys::IoStatus::done;
  r.bytes = bytes;
  r.segment_size = segment_size;
  r.source = source;
  return r;
}

struct Fixture {
  void add(const HostUdp::Received& r) { batch.add(r, pool.take()); }

  stack::FrameBufferPool pool;
  ReceivedBatch batch;
};

TEST_CASE_FIXTURE(Fixture, "received batch: what may follow what") {
  struct Row {
    std::string what;
    std::vector<HostUdp::Received> before;
    HostUdp::Received next;
    bool takes;
  };
  for (const Row& row : std::vector<Row>{
           {"anything may be first", {}, received(1400), true},
           {"an empty one may be first", {}, received(0), true},
           {"the same size follows", {received(1400)}, received(1400), true},
           {"a shorter one may be the last", {received(1400)}, received(100), true},
           {"nothing follows a shorter one", {received(1400), received(100)}, received(100), false},
           {"a longer one does not follow", {received(1400)}, received(1401), false},
           {"an empty one does not follow", {received(1400)}, received(0), false},
           {"nothing follows an empty one", {received(0)}, received(0), false},
           {"another peer's does not", {received(1400)}, received(1400, 0, kOther), false},
           {"a joined batch of that size follows", {received(1400)}, received(4200, 1400), true},
           {"one with a short end is the last",
            {received(1400), received(2900, 1400)},
            received(1400),
            false},
           {"a joined batch of a smaller size does not", {received(1400)}, received(2000, 1000), false},
           {"a single one follows a joined batch", {received(2800, 1400)}, received(1400), true},
           {"not beyond one packet", {received(32000), received(32000)}, received(32000), false}}) {
    CAPTURE(row.what);
    batch.clear();
    for (const HostUdp::Received& r : row.before) {
      REQUIRE(batch.takes(r));
      add(r);
    }
    CHECK(batch.takes(row.next) == row.takes);
  }
}

TEST_CASE_FIXTURE(Fixture, "received batch: counts datagrams, gives its buffers back") {
  add(received(1400));
  add(received(4200, 1400));
  add(received(10));
  CHECK(batch.datagrams() == 5);
  CHECK(batch.segment_size() == 1400);
  CHECK(batch.parts().size() == 3);
  CHECK(batch.source() == kPeer);
  CHECK(pool.in_use() == 3);
  batch.clear();
  CHECK(batch.empty());
  CHECK(pool.in_use() == 0);
  add(received(0));
  CHECK(batch.datagrams() == 1);
}

TEST_CASE_FIXTURE(Fixture, "received batch: has an end") {
  for (std::size_t i = 0; i < ReceivedBatch::kMost; ++i) {
    REQUIRE(batch.takes(received(100)));
    add(received(100));
  }
  CHECK_FALSE(batch.takes(received(100)));
}

}  // namespace
}  // namespace l4n::nat
