#include "stack/neighbours.hpp"

#include <doctest/doctest.h>

#include "netns/sys/clock.hpp"
#include "tests/support/recording_port.hpp"

namespace l4n::stack {
namespace {

using namespace std::chrono_literals;

const sys::Ipv4Address kOwn = sys::make_ipv4(10, 0, 2, 2);
const sys::Ipv4Address kGuest = sys::make_ipv4(10, 0, 2, 100);
const MacAddress kMac{2, 0, 0, 0, 0, 1};

struct Waiter final : NeighbourWaiter {
  void on_neighbour(const std::optional<MacAddress>& mac) noexcept override {
    ++told;
    answer = mac;
  }
  int told = 0;
  std::optional<MacAddress> answer;
};

struct Fixture {
  void reply(const MacAddress& mac = kMac, sys::Ipv4Address address = kGuest) {
    neighbours.learn({ArpPacket::kReply, mac, address, kGatewayMac, kOwn});
  }
  // Lets time pass in steps, as the loop does.
  void advance(sys::Duration duration) {
    for (const sys::Time end = clock.now() + duration; clock.now() < end;) {
      clock.advance(100ms);
      timers.run_due();
    }
  }
  std::size_t requests() const { return port.frames().size(); }

  sys::ManualClock clock;
  sys::TimerQueue timers{clock};
  test::RecordingPort port;
  GuestLink link{port, 1500};
  Neighbours neighbours{link, timers, kOwn};
  Waiter waiter;
};

TEST_CASE_FIXTURE(Fixture, "neighbours: asked by a broadcast from the gateway, told when the answer comes") {
  CHECK_FALSE(neighbours.resolve(kGuest, waiter));
  REQUIRE(requests() == 1);
  const auto ethernet = decode_ethernet(port.frames()[0]);
  REQUIRE(ethernet);
  CHECK(ethernet->destination == kBroadcastMac);
  CHECK(ethernet->source == kGatewayMac);
  const auto arp = decode_arp(sys::Bytes(port.frames()[0]).subspan(kEthernetHeaderSize));
  REQUIRE(arp);
  CHECK(arp->operation == ArpPacket::kRequest);
  CHECK(arp->sender == kOwn);
  CHECK(arp->sender_mac == kGatewayMac);
  CHECK(arp->target == kGuest);
  CHECK(waiter.told == 0);
  reply();
  CHECK(waiter.told == 1);
  CHECK(waiter.answer == kMac);
  CHECK(neighbours.find(kGuest) == kMac);
  CHECK(requests() == 1);
  CHECK(timers.armed_count() == 0);
}

TEST_CASE_FIXTURE(Fixture, "neighbours: some questions, a second apart, then nobody is there") {
  static_cast<void>(neighbours.resolve(kGuest, waiter));
  advance(1500ms);
  CHECK(requests() == 2);
  advance(1s);
  CHECK(requests() == 3);
  CHECK(waiter.told == 0);
  advance(1s);
  CHECK(requests() == 3);
  CHECK(waiter.told == 1);
  CHECK_FALSE(waiter.answer);
  // The next one starts again.
  static_cast<void>(neighbours.resolve(kGuest, waiter));
  CHECK(requests() == 4);
}

TEST_CASE_FIXTURE(Fixture, "neighbours: an old entry is used and asked for again") {
  static_cast<void>(neighbours.find(kGuest));
  reply();
  clock.advance(Neighbours::kBelieved);
  CHECK(neighbours.find(kGuest) == kMac);
  CHECK(requests() == 2);
  const MacAddress moved{2, 0, 0, 0, 0, 2};
  reply(moved);
  CHECK(neighbours.find(kGuest) == moved);
  CHECK(requests() == 2);
  // Nobody answers any more: it is forgotten.
  clock.advance(Neighbours::kBelieved);
  static_cast<void>(neighbours.find(kGuest));
  advance(4s);
  CHECK_FALSE(neighbours.find(kGuest));
}

TEST_CASE_FIXTURE(Fixture, "neighbours: nothing that was not asked for is learnt") {
  reply();
  CHECK(neighbours.size() == 0);
  static_cast<void>(neighbours.find(kGuest));
  reply(kMac, sys::make_ipv4(10, 0, 2, 101));
  reply(kBroadcastMac);
  CHECK(neighbours.size() == 1);
  CHECK_FALSE(neighbours.find(kGuest));
}

TEST_CASE_FIXTURE(Fixture, "neighbours: one that has left is not told") {
  static_cast<void>(neighbours.resolve(kGuest, waiter));
  Waiter other;
  static_cast<void>(neighbours.resolve(kGuest, other));
  CHECK(requests() == 1);
  neighbours.forget(waiter);
  reply();
  CHECK(waiter.told == 0);
  CHECK(other.told == 1);
}

TEST_CASE_FIXTURE(Fixture, "neighbours: bounded, and one that is waited for does not make room") {
  for (std::uint32_t i = 0; i < 2 * Neighbours::kMost; ++i) {
    static_cast<void>(neighbours.find({kGuest.value + i}));
  }
  CHECK(neighbours.size() == Neighbours::kMost);
  std::vector<std::unique_ptr<Waiter>> waiters;
  for (std::uint32_t i = 0; i < Neighbours::kMost; ++i) {
    waiters.push_back(std::make_unique<Waiter>());
    static_cast<void>(neighbours.resolve({0x0b000000U + i}, *waiters.back()));
  }
  CHECK(neighbours.size() == Neighbours::kMost);
  static_cast<void>(neighbours.resolve(kGuest, waiter));
  CHECK(waiter.told == 1);
  CHECK_FALSE(waiter.answer);
}

}  // namespace
}  // namespace l4n::stack
