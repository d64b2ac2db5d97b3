// Many flows: one look-up for each packet, nothing that ticks when nothing happens, nothing left at the end.
#include <doctest/doctest.h>

#include <cerrno>
#include <random>
#include <string>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kFlows = 20'000;

PeerOptions nth(std::size_t n) {
  PeerOptions options;
  options.local.port = static_cast<std::uint16_t>(10'000 + n % 10'000);
  options.remote.port = static_cast<std::uint16_t>(1 + n / 10'000);
  return options;
}

Data greeting(std::size_t n) { return bytes_of("hello from " + std::to_string(n)); }

TEST_CASE("20,000 connections") {
  World w({.limits = {.tcp_flows = kFlows, .tcp_attempts = kFlows}});
  const stack::FlowTable& table = w.gateway->tcp().table();
  std::vector<GuestPeer*> guests;
  for (std::size_t i = 0; i < kFlows; ++i) {
    guests.push_back(&w.peer(nth(i)));
    guests.back()->connect();
    if (i % 1000 == 0) {
      w.settle();
    }
  }
  w.settle();
  CHECK(w.flows() == kFlows);
  CHECK(table.size() == kFlows);
  CHECK(table.lookups() == w.port.injected_frames());

  // Idle: nothing ticks, nothing wakes up for long, no buffer is held.
  w.advance(2s);
  CHECK(w.gateway->guest_tcp().ticking() == 0);
  CHECK(w.buffers() == 0);
  CHECK(*w.timers.next_deadline() - w.clock.now() > 1h);

  // Every thousandth says something; only those tick.
  const std::uint64_t lookups = table.lookups();
  const std::uint64_t frames = w.port.injected_frames();
  for (std::size_t i = 0; i < kFlows; i += 1000) {
    guests[i]->send(greeting(i));
    w.host.socket(i).write(greeting(i + 1));
  }
  w.settle();
  CHECK(w.gateway->guest_tcp().ticking() <= kFlows / 1000);
  CHECK(table.lookups() - lookups == w.port.injected_frames() - frames);
  for (std::size_t i = 0; i < kFlows; i += 1000) {
    CHECK(w.host.socket(i).received() == greeting(i));
    CHECK(guests[i]->received() == greeting(i + 1));
  }

  // One too many.
  GuestPeer& late = w.peer(nth(kFlows));
  late.connect();
  w.settle();
  CHECK(late.was_reset());

  // A third ends by FINs from both sides, a third by a reset of the guest, a third by a reset of the host.
  for (std::size_t i = 0; i < kFlows; ++i) {
    if (i % 3 == 0) {
      guests[i]->finish();
      w.host.socket(i).finish();
    } else if (i % 3 == 1) {
      guests[i]->reset();
    } else {
      w.host.socket(i).reset(ECONNRESET);
    }
  }
  w.advance(1s);
  CHECK(w.flows() == 0);
  CHECK(table.size() == 0);
  CHECK(w.buffers() == 0);
  CHECK(w.host.open_sockets() == 0);
  CHECK(w.gateway->guest_tcp().ticking() == 0);
}

TEST_CASE("20,000 attempts that nobody answers make room for each other") {
  World w;
  w.host.plan_connects({FakeHost::Plan::Kind::wait, 0});
  for (std::size_t i = 0; i < kFlows; ++i) {
    GuestPeer& guest = w.peer(nth(i));
    guest.connect();
    guest.vanish();
    if (i % 100 == 0) {
      w.settle();
    }
  }
  w.settle();
  CHECK(w.flows() == nat::Limits{}.tcp_attempts);
  CHECK(w.gateway->tcp().attempts() == nat::Limits{}.tcp_attempts);
  CHECK(w.port.sent_frames() == 0);
  CHECK(w.host.open_sockets() == nat::Limits{}.tcp_attempts);
  w.advance(31s);
  CHECK(w.flows() == 0);
}

TEST_CASE("connections that come and go leave nothing behind") {
  World w;
  for (std::uint32_t i = 0; i < 3000; ++i) {
    PeerOptions options;
    options.local.port = static_cast<std::uint16_t>(20'000 + i);
    GuestPeer& guest = w.connect(options);
    guest.send(greeting(i));
    guest.finish();
    w.host.last().write(greeting(i));
    w.host.last().finish();
    w.settle();
    CHECK(guest.received() == greeting(i));
    CHECK(w.host.last().received() == greeting(i));
  }
  w.advance(200ms);
  CHECK(w.flows() == 0);
  CHECK(w.buffers() == 0);
}

TEST_CASE("a busy flow does not keep the others waiting") {
  World w;
  PeerOptions options;
  options.buffer = 6 * 1024 * 1024;
  GuestPeer& busy = w.connect(options);
  busy.keep_headers_only();
  HostSocket& busy_socket = w.host.last();
  options.local.port = 41'000;
  GuestPeer& quiet = w.connect(options);
  HostSocket& quiet_socket = w.host.last();
  busy_socket.write(random_data(10'000'000, 1));
  quiet_socket.write(bytes_of("me too"));
  w.turn();
  w.turn();
  w.settle();
  CHECK(quiet.received() == bytes_of("me too"));
  CHECK(quiet.seen().back().at == w.clock.now());
}

// A thousand connections to whose guests the host has just written something, which takes some time for each.
struct BusyFlows {
  static constexpr std::size_t kFlows = 1000;
  static constexpr sys::Duration kWriteTime = 50us;
  static constexpr std::size_t kWritesPerTurn = nat::TcpNat::kPumpTime / kWriteTime;

  World w{{.limits = {.tcp_flows = kFlows, .tcp_attempts = kFlows}}};
  std::vector<GuestPeer*> guests;
  std::size_t written = 0;

  BusyFlows() {
    for (std::size_t i = 0; i < kFlows; ++i) {
      guests.push_back(&w.connect(nth(i)));
    }
    w.port.set_fates_to_guest([this](const Packet& /*packet*/) {
      w.clock.advance(kWriteTime);
      ++written;
      return Fate::pass;
    });
    for (std::size_t i = 0; i < kFlows; ++i) {
      w.host.socket(i).write(greeting(i));
    }
  }
};

TEST_CASE("a thousand busy flows do not keep the guest's frames waiting") {
  BusyFlows busy;
  for (std::size_t turns = 1; busy.written < BusyFlows::kFlows; ++turns) {
    busy.w.turn();
    REQUIRE(busy.written == turns * BusyFlows::kWritesPerTurn);
  }
  busy.w.settle();
  for (std::size_t i = 0; i < BusyFlows::kFlows; ++i) {
    CHECK(busy.guests[i]->received() == greeting(i));
  }
}

TEST_CASE("what the guest sends is passed on at once, whoever else is busy") {
  BusyFlows busy;
  busy.w.turn();
  constexpr std::size_t kFramesPerTurn = 32;
  for (std::size_t i = BusyFlows::kFlows - kFramesPerTurn; i < BusyFlows::kFlows; ++i) {
    busy.guests[i]->send(greeting(i));
  }
  busy.w.turn();
  CHECK(busy.written == 2 * BusyFlows::kWritesPerTurn);
  for (std::size_t i = BusyFlows::kFlows - kFramesPerTurn; i < BusyFlows::kFlows; ++i) {
    CHECK(busy.w.host.socket(i).received() == greeting(i));
  }
  CHECK(busy.w.buffers() == 0);
}

TEST_CASE("random flows that open, talk and close in any order") {
  World w({.limits = {.tcp_flows = 300, .tcp_attempts = 100}});
  std::mt19937 random(7);
  struct Flow {
    GuestPeer* guest;
    HostSocket* socket;
    Data up;
    Data down;
    bool ended = false;
  };
  std::vector<Flow> flows;
  for (std::uint32_t i = 0; i < 3000; ++i) {
    const auto dice = random() % 10;
    if (dice < 2 || flows.empty()) {
      if (w.flows() < 200) {
        PeerOptions options;
        options.local.port = static_cast<std::uint16_t>(1024 + i);
        options.window_scale = random() % 2 == 0 ? std::optional<std::uint8_t>(random() % 10) : std::nullopt;
        GuestPeer& guest = w.connect(options);
        flows.push_back({&guest, &w.host.last(), {}, {}});
      }
      continue;
    }
    Flow& flow = flows[random() % flows.size()];
    if (flow.ended) {
      continue;
    }
    if (dice < 5) {
      const Data data = random_data(random() % 5000, i);
      flow.guest->send(data);
      append(flow.up, data);
    } else if (dice < 8) {
      const Data data = random_data(random() % 20'000, i);
      flow.socket->write(data);
      append(flow.down, data);
    } else if (dice == 8) {
      flow.guest->finish();
      flow.socket->finish();
      flow.ended = true;
    } else {
      w.advance(20ms);
    }
  }
  w.advance(5s);
  for (const Flow& flow : flows) {
    CHECK(flow.socket->received() == flow.up);
    CHECK(flow.guest->received() == flow.down);
    CHECK(flow.guest->got_fin() == flow.ended);
    CHECK(flow.socket->got_fin() == flow.ended);
  }
}

}  // namespace
}  // namespace l4n::integration
