#include "stack/neighbours.hpp"

#include <doctest/doctest.h>

#include "netns/sys/clock.hpp"
#include "stack/ipv6_header.hpp"
#include "tests/support/recording_port.hpp"

namespace l4n::stack {
namespace {

using namespace std::chrono_literals;

const sys::Ipv4Address kOwn = sys::make_ipv4(10, 0, 2, 2);
const sys::Ipv4Address kGuest = sys::make_ipv4(10, 0, 2, 100);
const sys::Ipv6Address kRouter = sys::parse_ipv6("fe80::2").value();
const sys::Ipv6Address kGuest6 = sys::parse_ipv6("fd00::12:3456").value();
const MacAddress kMac{2, 0, 0, 0, 0, 1};
const MacAddress kOtherMac{2, 0, 0, 0, 0, 2};

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
  Neighbours neighbours{link, timers, kOwn, kRouter};
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
  reply(kOtherMac);
  CHECK(neighbours.find(kGuest) == kOtherMac);
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
    static_cast<void>(neighbours.find(sys::Ipv4Address{kGuest.value + i}));
  }
  CHECK(neighbours.size() == Neighbours::kMost);
  std::vector<std::unique_ptr<Waiter>> waiters;
  for (std::uint32_t i = 0; i < Neighbours::kMost; ++i) {
    waiters.push_back(std::make_unique<Waiter>());
    static_cast<void>(neighbours.resolve(sys::Ipv4Address{0x0b000000U + i}, *waiters.back()));
  }
  CHECK(neighbours.size() == Neighbours::kMost);
  static_cast<void>(neighbours.resolve(kGuest, waiter));
  CHECK(waiter.told == 1);
  CHECK_FALSE(waiter.answer);
}

TEST_CASE_FIXTURE(Fixture, "neighbours: IPv6 is asked for by a solicitation from the router") {
  CHECK_FALSE(neighbours.resolve(kGuest6, waiter));
  REQUIRE(requests() == 1);
  const sys::Bytes frame = port.frames()[0];
  const auto ethernet = decode_ethernet(frame);
  REQUIRE(ethernet);
  CHECK(ethernet->destination == MacAddress{0x33, 0x33, 0xff, 0x12, 0x34, 0x56});
  CHECK(ethernet->source == kGatewayMac);
  CHECK(ethernet->ether_type == kEtherTypeIpv6);
  const sys::Bytes packet = frame.subspan(kEthernetHeaderSize);
  const DecodedIpv6 decoded = decode_ipv6(packet);
  const auto* ip = std::get_if<Ipv6Headers>(&decoded);
  REQUIRE(ip != nullptr);
  CHECK(ip->source == kRouter);
  CHECK(ip->destination == sys::parse_ipv6("ff02::1:ff12:3456"));
  CHECK(ip->protocol == kProtocolIcmp6);
  const sys::Bytes message = packet.subspan(ip->header_length);
  CHECK(transport_checksum_valid(ip->source, ip->destination, kProtocolIcmp6, message));
  const auto question = decode_neighbour_solicitation(message, {ip->source, ip->destination, ip->hop_limit});
  REQUIRE(question);
  CHECK(question->target == kGuest6);
  CHECK(question->source_mac == kGatewayMac);

  neighbours.learn({.target = kGuest6, .solicited = true, .override = true, .target_mac = kMac}, kMac);
  CHECK(waiter.told == 1);
  CHECK(waiter.answer == kMac);
  CHECK(neighbours.find(kGuest6) == kMac);
  CHECK(requests() == 1);
  CHECK(timers.armed_count() == 0);
}

TEST_CASE_FIXTURE(Fixture, "neighbours: nobody has that IPv6 address") {
  static_cast<void>(neighbours.resolve(kGuest6, waiter));
  advance(Neighbours::kQuestions * Neighbours::kAskAgain + 500ms);
  CHECK(requests() == Neighbours::kQuestions);
  CHECK(waiter.told == 1);
  CHECK_FALSE(waiter.answer);
}

TEST_CASE("neighbours: what an advertisement changes (RFC 4861 7.2.5)") {
  struct Row {
    std::string description;
    bool known;  // as kMac, before
    bool solicited;
    bool override;
    std::optional<MacAddress> target_mac;
    std::optional<MacAddress> afterwards;
    bool confirmed;
  };
  const std::vector<Row> rows = {
      {"the answer", false, true, true, kOtherMac, kOtherMac, true},
      {"an answer that does not override", false, true, false, kOtherMac, kOtherMac, true},
      {"news, when one was asked for", false, false, false, kOtherMac, kOtherMac, true},
      {"an answer without an address", false, true, true, std::nullopt, kOtherMac, true},
      {"news without an address", false, false, true, std::nullopt, std::nullopt, false},
      {"a group is no station", false, true, true, kBroadcastMac, std::nullopt, false},
      {"another answer", true, true, true, kOtherMac, kOtherMac, true},
      {"news of another", true, false, true, kOtherMac, kOtherMac, true},
      {"another, without override", true, true, false, kOtherMac, kMac, false},
      {"the same, without override", true, true, false, kMac, kMac, true},
      {"news of the same, without override", true, false, false, kMac, kMac, false},
      {"news of another, without override", true, false, false, kOtherMac, kMac, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    Fixture f;
    static_cast<void>(f.neighbours.find(kGuest6));
    if (row.known) {
      f.neighbours.learn(kGuest6, kMac);
      f.clock.advance(Neighbours::kBelieved);
    }
    f.neighbours.learn({.target = kGuest6,
                        .solicited = row.solicited,
                        .override = row.override,
                        .target_mac = row.target_mac},
                       kOtherMac);
    const std::size_t asked = f.requests();
    f.timers.run_due();
    CHECK(f.neighbours.find(kGuest6) == row.afterwards);
    // One that is old and was not confirmed is asked for again; one that is missing, from the start on.
    CHECK((f.requests() == asked) == (row.confirmed || !row.known));
  }
}

TEST_CASE_FIXTURE(Fixture, "neighbours: a solicitation tells who its sender is, and makes no entry") {
  neighbours.learn(kGuest6, kMac);
  neighbours.learn({.target = kGuest6, .solicited = true, .override = true, .target_mac = kMac}, kMac);
  CHECK(neighbours.size() == 0);
  static_cast<void>(neighbours.resolve(kGuest6, waiter));
  neighbours.learn(kGuest6, kBroadcastMac);
  CHECK(waiter.told == 0);
  neighbours.learn(kRouter, kMac);
  CHECK(waiter.told == 0);
  neighbours.learn(kGuest6, kMac);
  CHECK(waiter.told == 1);
  CHECK(waiter.answer == kMac);
  neighbours.learn(kGuest6, kOtherMac);
  CHECK(neighbours.find(kGuest6) == kOtherMac);
  CHECK(neighbours.size() == 1);
}

TEST_CASE_FIXTURE(Fixture, "neighbours: the families share the table and its bound") {
  static_cast<void>(neighbours.find(kGuest));
  static_cast<void>(neighbours.find(kGuest6));
  CHECK(neighbours.size() == 2);
  reply();
  CHECK_FALSE(neighbours.find(kGuest6));
  CHECK(neighbours.find(kGuest) == kMac);
  const sys::Ipv6Network network{kGuest6, 64};
  for (unsigned i = 0; i < 2 * Neighbours::kMost; ++i) {
    static_cast<void>(neighbours.find(network.host(static_cast<std::uint16_t>(i))));
  }
  CHECK(neighbours.size() == Neighbours::kMost);
}

}  // namespace
}  // namespace l4n::stack
