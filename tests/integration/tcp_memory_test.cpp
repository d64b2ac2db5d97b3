// The memory budget, with the real stack: many greedy connections and one that only wants to say a word.
#include <doctest/doctest.h>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;
using Flags = stack::TcpFlags;

constexpr std::size_t kMiB = 1024 * 1024;

// A budget of 8 MiB for 200 connections.
WorldOptions small_budget() {
  WorldOptions options;
  options.limits.memory = 8 * kMiB;
  options.limits.tcp_flows = 200;
  return options;
}

PeerOptions from_port(std::size_t n) {
  PeerOptions options;
  options.local.port = static_cast<std::uint16_t>(10'000 + n);
  options.buffer = 4 * kMiB;
  return options;
}

struct Pair {
  GuestPeer* guest;
  HostSocket* host;
};

Pair connect(World& w, const PeerOptions& options) {
  GuestPeer& guest = w.connect(options);
  return {&guest, &w.host.last()};
}

std::vector<Pair> connect_many(World& w, std::size_t count) {
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < count; ++i) {
    pairs.push_back(connect(w, from_port(i)));
  }
  return pairs;
}

const stack::MemoryBudget& memory(const World& w) { return w.gateway->memory(); }

// A connection that opens now, says something each way and hears it at once.
void check_interactive(World& w, std::uint16_t port) {
  const Pair small = connect(w, from_port(port));
  for (int i = 0; i < 5; ++i) {
    small.guest->send(bytes_of("ls -l"));
    small.host->write(bytes_of("total 0"));
    w.settle();
  }
  CHECK(small.host->received() == bytes_of("ls -lls -lls -lls -lls -l"));
  CHECK(small.guest->received() == bytes_of("total 0total 0total 0total 0total 0"));
}

TEST_CASE("greedy uploads to hosts that do not read stay within the budget, and go on later") {
  World w(small_budget());
  const std::vector<Pair> greedy = connect_many(w, 60);
  std::vector<Data> sent;
  for (std::size_t i = 0; i < greedy.size(); ++i) {
    greedy[i].host->allow(0);
    sent.push_back(random_data(kMiB, static_cast<std::uint32_t>(i)));
    greedy[i].guest->send(sent[i]);
    w.settle();
  }
  w.advance(1s);
  CHECK(memory(w).in_use() <= memory(w).limit());
  CHECK(memory(w).in_use() > memory(w).limit() / 4);
  check_interactive(w, 1000);
  w.host.release_all();
  w.advance(300s);
  for (std::size_t i = 0; i < greedy.size(); ++i) {
    CHECK(greedy[i].host->received() == sent[i]);
  }
  CHECK(memory(w).peak() <= memory(w).limit());
  CHECK(memory(w).in_use() == 0);
}

TEST_CASE(
    "windows that were open before memory became short: what cannot be held is not taken, and comes again") {
  WorldOptions options = small_budget();
  options.limits.memory = 2 * kMiB;
  World w(options);
  const std::vector<Pair> greedy = connect_many(w, 100);
  std::vector<Data> sent;
  for (const Pair& pair : greedy) {
    pair.host->allow(0);
    sent.push_back(random_data(100'000, static_cast<std::uint32_t>(sent.size())));
    pair.guest->send(sent.back());
  }
  w.advance(1s);
  CHECK(memory(w).in_use() <= memory(w).limit());
  CHECK(w.gateway->guest_tcp().counters().trimmed > 0);
  check_interactive(w, 1000);
  w.host.release_all();
  w.advance(600s);
  for (std::size_t i = 0; i < greedy.size(); ++i) {
    CHECK(greedy[i].host->received() == sent[i]);
  }
  CHECK(memory(w).peak() <= memory(w).limit());
  CHECK(memory(w).in_use() == 0);
}

TEST_CASE("under pressure windows open less, and fully once there is room") {
  World w(small_budget());
  const std::vector<Pair> hogs = connect_many(w, 40);
  for (const Pair& hog : hogs) {
    hog.host->allow(0);
    hog.guest->send(random_data(kMiB, 1));
    w.settle();
  }
  w.advance(1s);
  const Pair flow = connect(w, from_port(500));
  const Data data = random_data(3 * kMiB, 2);
  flow.guest->send(data);
  w.advance(1s);
  const std::uint32_t narrow = flow.guest->send_window();
  CHECK(w.gateway->guest_tcp().counters().windows_withheld > 0);
  w.host.release_all();
  w.advance(300s);
  CHECK(flow.host->received() == data);
  flow.guest->send(data);
  w.advance(10s);
  CHECK(flow.guest->send_window() > narrow);
  CHECK(flow.guest->send_window() > 200'000);
}

TEST_CASE("downloads to guests that do not acknowledge leave the rest in the host's sockets") {
  World w(small_budget());
  const std::vector<Pair> greedy = connect_many(w, 60);
  for (const Pair& pair : greedy) {
    pair.guest->set_acknowledges(false);
    pair.host->write(random_data(2 * kMiB, 3));
  }
  w.settle();
  CHECK(memory(w).in_use() <= memory(w).limit());
  CHECK(w.gateway->tcp().counters().reads_paused > 0);
  for (const Pair& pair : greedy) {
    CHECK(pair.host->unread() > 0);
  }
  check_interactive(w, 1000);
}

TEST_CASE("a download that was held back for memory goes on when others have ended") {
  World w(small_budget());
  const std::vector<Pair> hogs = connect_many(w, 60);
  for (const Pair& pair : hogs) {
    pair.guest->set_acknowledges(false);
    pair.host->write(random_data(2 * kMiB, 3));
  }
  w.settle();
  const Pair flow = connect(w, from_port(500));
  const Data data = random_data(2 * kMiB, 4);
  flow.host->write(data);
  w.settle();
  CHECK(flow.guest->received() == data);
  for (const Pair& pair : hogs) {
    pair.guest->reset();
  }
  w.settle();
  CHECK(memory(w).in_use() == 0);
}

TEST_CASE("a host that does not read: single bytes cost about what they are") {
  World w;
  const Pair flow = connect(w, from_port(0));
  flow.host->allow(0);
  constexpr std::size_t kBytes = 20'000;
  Data sent;
  for (std::size_t i = 0; i < kBytes; ++i) {
    const Data byte = random_data(1, static_cast<std::uint32_t>(i));
    flow.guest->send(byte);
    append(sent, byte);
    w.settle();
  }
  CHECK(memory(w).in_use() < 3 * kBytes);
  CHECK(w.buffers() == 0);
  w.host.release_all();
  w.settle();
  CHECK(flow.host->received() == sent);
  CHECK(memory(w).in_use() == 0);
}

TEST_CASE("a host that takes a little now and then gets pieces of all sizes in order") {
  World w;
  const Pair flow = connect(w, from_port(0));
  Data sent;
  std::uint32_t seed = 1;
  for (const std::size_t size : {1UL, 70UL, 5'000UL, 16'000UL, 40'000UL, 1UL, 33'000UL, 200UL, 9'000UL}) {
    flow.host->allow(0);
    const Data piece = random_data(size, ++seed);
    append(sent, piece);
    flow.guest->send(piece);
    w.settle();
    flow.host->allow(size / 3);
    w.settle();
  }
  w.host.release_all();
  w.settle();
  CHECK(flow.host->received() == sent);
  CHECK(memory(w).in_use() == 0);
}

TEST_CASE("holes in 150 streams do not fill the memory, and the streams go on when the holes are filled") {
  WorldOptions options = small_budget();
  World w(options);
  const std::vector<Pair> holey = connect_many(w, 150);
  const Data data = random_data(100'000, 5);
  for (const Pair& pair : holey) {
    pair.guest->set_acknowledges(false);
    // Every second byte is missing.
    for (std::uint32_t at = 1; at < 1'000; at += 2) {
      TcpSegment segment = pair.guest->make(Flags::kAck, std::span(data).subspan(at, 1));
      segment.seq += at;
      pair.guest->raw(segment);
    }
    w.settle();
  }
  CHECK(memory(w).in_use() <= memory(w).limit());
  CHECK(w.gateway->guest_tcp().counters().trimmed > 0);
  check_interactive(w, 1000);
  for (const Pair& pair : holey) {
    pair.guest->set_acknowledges(true);
    pair.guest->send(data);
  }
  w.advance(60s);
  for (const Pair& pair : holey) {
    CHECK(pair.host->received() == data);
  }
  CHECK(memory(w).in_use() == 0);
}

TEST_CASE("what came out of order gives way to what fills its hole") {
  WorldOptions options = small_budget();
  options.limits.memory = 2 * kMiB;
  World w(options);
  const Pair flow = connect(w, from_port(500));
  const Data data = random_data(20'000, 6);
  flow.guest->set_acknowledges(false);
  for (std::uint32_t at = 1'000; at < data.size(); at += 1'000) {
    TcpSegment segment = flow.guest->make(Flags::kAck, std::span(data).subspan(at, 1'000));
    segment.seq += at;
    flow.guest->raw(segment);
  }
  w.settle();
  CHECK(memory(w).in_use() > 19'000);
  const std::vector<Pair> greedy = connect_many(w, 100);
  for (const Pair& pair : greedy) {
    pair.host->allow(0);
    pair.guest->send(random_data(100'000, 7));
  }
  w.advance(1s);
  REQUIRE(w.gateway->guest_tcp().counters().trimmed > 0);
  flow.guest->set_acknowledges(true);
  flow.guest->send(data);
  w.advance(10s);
  CHECK(flow.host->received() == data);
}

TEST_CASE("memory: fewer connections where there is too little for each") {
  WorldOptions options;
  options.limits.memory = kMiB;
  World w(options);
  CHECK(w.gateway->limits().tcp_flows == 128);
  CHECK(memory(w).guaranteed() == 1024);
}

}  // namespace
}  // namespace l4n::integration
