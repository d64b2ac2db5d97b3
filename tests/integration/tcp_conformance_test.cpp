// RFC 9293 3.10.7 and RFC 5961 from the guest's side: what is taken, what is challenged, what is refused.
#include <doctest/doctest.h>

#include <random>
#include <string>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;

// A connection whose guest end does nothing by itself.
struct Established {
  explicit Established(const PeerOptions& wanted = {}) : guest(connect(wanted)), socket(w.host.last()) {}

  GuestPeer& connect(PeerOptions options) {
    options.acknowledges = false;
    GuestPeer& peer = w.peer(options);
    peer.connect();
    w.settle();
    peer.acknowledge();
    w.settle();
    REQUIRE(peer.established());
    peer.forget();
    return peer;
  }

  // Sends the segment; the answers are in guest.seen().
  void send(const TcpSegment& segment) {
    guest.forget();
    guest.raw(segment);
    w.settle();
  }
  // The only answer was an acknowledgment of what is expected next, and nothing else has changed.
  void check_challenged(std::uint32_t expected) {
    REQUIRE(guest.seen().size() == 1);
    CHECK(guest.last_seen().flags == Flags::kAck);
    CHECK(guest.last_seen().ack == expected);
    CHECK(guest.last_seen().payload.empty());
    CHECK(w.flows() == 1);
    CHECK_FALSE(socket.closed());
  }

  World w;
  GuestPeer& guest;
  HostSocket& socket;
};

TEST_CASE("data in a segment without the ACK flag is not taken") {
  Established e;
  e.send(e.guest.make(Flags::kPsh, bytes_of("no ack")));
  e.w.advance(1s);
  CHECK(e.socket.received().empty());
  CHECK(e.guest.seen().empty());
  e.send(e.guest.make(Flags::kFin));
  CHECK_FALSE(e.socket.got_fin());
  CHECK(e.w.flows() == 1);
}

TEST_CASE("an acknowledgment of what was never sent is answered and not taken, nor its data") {
  for (const std::uint32_t beyond : {1U, 1000U, 0x7fffffffU}) {
    CAPTURE(beyond);
    Established e;
    TcpSegment segment = e.guest.make(Flags::kAck | Flags::kPsh, bytes_of("data"));
    segment.ack += beyond;
    e.send(segment);
    e.check_challenged(segment.seq);
    CHECK(e.socket.received().empty());
  }
}

TEST_CASE("an acknowledgment that is too old is answered and not taken, nor its data (RFC 5961 5)") {
  Established e;
  TcpSegment segment = e.guest.make(Flags::kAck | Flags::kPsh, bytes_of("data"));
  segment.ack -= 100'000'000;
  e.send(segment);
  e.check_challenged(segment.seq);
  CHECK(e.socket.received().empty());
}

TEST_CASE("an old acknowledgment within the window does not spoil the data that comes with it") {
  Established e;
  e.socket.write(random_data(5000, 1));
  e.w.settle();
  e.guest.acknowledge();
  e.w.settle();
  TcpSegment segment = e.guest.make(Flags::kAck | Flags::kPsh, bytes_of("data"));
  segment.ack -= 2000;
  e.send(segment);
  CHECK(e.socket.received() == bytes_of("data"));
}

TEST_CASE("data outside of the window is answered and not taken") {
  Established e;
  for (const std::uint32_t distance : {1U, 100U, 0x40000000U}) {
    CAPTURE(distance);
    for (const bool above : {true, false}) {
      TcpSegment segment = e.guest.make(Flags::kAck | Flags::kPsh, bytes_of("x"));
      const std::uint32_t window = stack::GuestConnection::kInitialCap;
      segment.seq = above ? segment.seq + window + distance : segment.seq - distance;
      e.send(segment);
      e.check_challenged(e.guest.snd_nxt());
      CHECK(e.socket.received().empty());
    }
  }
}

TEST_CASE("a segment that begins before what is expected gives what is new in it") {
  Established e;
  e.send(e.guest.make(Flags::kAck | Flags::kPsh, bytes_of("first ")));
  const TcpSegment both = e.guest.make(Flags::kAck | Flags::kPsh, bytes_of("first second"));
  TcpSegment rest = both;
  rest.payload = bytes_of("second");
  rest.seq += 6;
  e.guest.note_sent(rest);
  e.send(both);
  CHECK(e.socket.received() == bytes_of("first second"));
}

TEST_CASE("a reset must have exactly the number that is expected (RFC 5961 3)") {
  Established e;
  for (const std::uint32_t distance : {1U, 1000U, 60'000U}) {
    CAPTURE(distance);
    TcpSegment reset = e.guest.make(Flags::kRst);
    reset.seq += distance;
    e.send(reset);
    e.check_challenged(e.guest.snd_nxt());
  }
  for (const std::uint32_t distance : {1U, 1000U, 0x40000000U}) {
    CAPTURE(distance);
    TcpSegment reset = e.guest.make(Flags::kRst);
    reset.seq -= distance;
    e.send(reset);
    CHECK(e.guest.seen().empty());
    CHECK(e.w.flows() == 1);
    reset.seq = e.guest.snd_nxt() + 0x10000000;
    e.send(reset);
    CHECK(e.guest.seen().empty());
    CHECK(e.w.flows() == 1);
  }
  e.send(e.guest.make(Flags::kRst));
  CHECK(e.w.flows() == 0);
  CHECK(e.socket.got_reset());
}

TEST_CASE("a SYN on an established connection is challenged, whatever its number (RFC 5961 4)") {
  Established e;
  for (const std::uint32_t distance : {0U, 1U, 0x20000000U, 0x80000000U, 0xfffffff0U}) {
    for (const std::uint8_t flags : {Flags::kSyn, static_cast<std::uint8_t>(Flags::kSyn | Flags::kAck)}) {
      CAPTURE(distance);
      TcpSegment syn = e.guest.make(flags);
      syn.seq += distance;
      syn.options = mss_option(100);
      e.send(syn);
      e.check_challenged(e.guest.snd_nxt());
    }
  }
  CHECK(e.w.host.connects() == 1);
}

TEST_CASE("an option list in a data segment changes nothing") {
  Established e;
  TcpSegment segment = e.guest.make(Flags::kAck | Flags::kPsh, bytes_of("with options"));
  segment.options = mss_option(100);
  append(segment.options, window_scale_option(14));
  e.send(segment);
  CHECK(e.socket.received() == bytes_of("with options"));
  TcpSegment garbage = e.guest.make(Flags::kAck | Flags::kPsh, bytes_of("!"));
  garbage.seq += 12;
  garbage.options = {std::byte{2}, std::byte{0}, std::byte{250}, std::byte{99}};
  e.send(garbage);
  CHECK(e.socket.received() == bytes_of("with options!"));

  // Still the MSS of the SYN: the port checks every segment against it.
  const Data data = random_data(50'000, 2);
  e.guest.set_acknowledges(true);
  e.socket.write(data);
  e.w.settle();
  CHECK(e.guest.received() == data);
}

TEST_CASE("urgent data is part of the stream") {
  Established e;
  e.send(e.guest.make(Flags::kAck | Flags::kPsh | Flags::kUrg, bytes_of("urgent")));
  CHECK(e.socket.received() == bytes_of("urgent"));
}

TEST_CASE("in SYN-RECEIVED a wrong acknowledgment is a reset of that number") {
  World w;
  PeerOptions options;
  options.acknowledges = false;
  GuestPeer& guest = w.peer(options);
  guest.connect();
  w.settle();
  guest.forget();
  TcpSegment wrong = guest.make(Flags::kAck | Flags::kPsh, bytes_of("no"));
  wrong.ack += 50;
  const std::uint64_t before = w.port.sent_frames();
  w.port.set_fates_to_guest([&wrong](const Packet& packet) {
    CHECK(packet.tcp->flags == (packet.tcp->has(Flags::kRst) ? packet.tcp->flags : Flags::kAck));
    CHECK(packet.tcp->seq == wrong.ack);
    return Fate::drop;
  });
  guest.raw(wrong);
  w.settle();
  CHECK(w.port.sent_frames() == before + 1);
  CHECK(w.host.last().received().empty());
  w.port.set_fates_to_guest({});
  guest.acknowledge();  // the right one still works
  guest.raw(guest.make(Flags::kAck | Flags::kPsh, bytes_of("yes")));
  w.settle();
  CHECK(w.host.last().received() == bytes_of("yes"));
}

TEST_CASE("segments without a connection are answered with the right reset, and resets not at all") {
  struct Case {
    std::uint8_t flags;
    std::uint8_t answer;  // 0: none
  };
  constexpr auto kRstAck = static_cast<std::uint8_t>(Flags::kRst | Flags::kAck);
  const std::vector<Case> cases{
      {Flags::kAck, Flags::kRst},
      {Flags::kAck | Flags::kPsh, Flags::kRst},
      {Flags::kAck | Flags::kFin, Flags::kRst},
      {Flags::kSyn | Flags::kAck, Flags::kRst},
      {Flags::kFin, kRstAck},
      {Flags::kPsh, kRstAck},
      {0, kRstAck},
      {Flags::kRst, 0},
      {kRstAck, 0},
      {Flags::kRst | Flags::kSyn, 0},
  };
  for (const Case& c : cases) {
    CAPTURE(c.flags);
    World w;
    TcpSegment stray;
    stray.source_port = 1234;
    stray.destination_port = 80;
    stray.seq = 1000;
    stray.ack = 5000;
    stray.flags = c.flags;
    stray.payload = bytes_of("stray");
    w.inject_ip(tcp_packet(kGuestAddress, kServer.address.v4(), stray, false));
    w.settle();
    CHECK(w.host.connects() == 0);
    if (c.answer == 0) {
      CHECK(w.others.empty());
      continue;
    }
    REQUIRE(w.others.size() == 1);
    const Packet& packet = w.others.front();
    REQUIRE(packet.tcp.has_value());
    CHECK(packet.source == kServer.address.v4());
    CHECK(packet.tcp->flags == c.answer);
    if (c.answer == Flags::kRst) {
      CHECK(packet.tcp->seq == 5000);
    } else {
      CHECK(packet.tcp->seq == 0);
      CHECK(packet.tcp->ack == 1000 + stray.length());
    }
  }
}

TEST_CASE("a challenge does not change what is expected") {
  Established e;
  std::mt19937 random(3);
  const std::uint32_t first = e.guest.snd_nxt();
  Data sent;
  for (int i = 0; i < 300; ++i) {
    TcpSegment noise = e.guest.make(static_cast<std::uint8_t>(random() % 64), random_data(random() % 50, 4));
    noise.seq = static_cast<std::uint32_t>(random());
    noise.ack = static_cast<std::uint32_t>(random());
    // Exact or near numbers are other tests' business.
    if (noise.seq - e.guest.snd_nxt() + 1000 < 8'000'000) {
      continue;
    }
    e.send(noise);
    TcpSegment good = e.guest.make(Flags::kAck | Flags::kPsh, bytes_of(std::to_string(i)));
    good.seq = first + static_cast<std::uint32_t>(sent.size());
    append(sent, good.payload);
    e.send(good);
  }
  CHECK(e.socket.received() == sent);
  CHECK(e.w.flows() == 1);
  CHECK_FALSE(e.guest.was_reset());
}

TEST_CASE("the window of a segment that is refused is not taken") {
  Established e;
  TcpSegment outside = e.guest.make(Flags::kAck);
  outside.seq += 0x10000000;
  outside.window = 0;
  e.send(outside);
  e.guest.set_acknowledges(true);
  const Data data = random_data(10'000, 5);
  e.socket.write(data);
  e.w.settle();
  CHECK(e.guest.received() == data);
}

TEST_CASE("two acknowledgments for four segments, one at once for the second of a pair") {
  Established e;
  std::uint32_t at = e.guest.snd_nxt();
  std::size_t answers = 0;
  for (int i = 0; i < 4; ++i) {
    TcpSegment segment = e.guest.make(Flags::kAck, random_data(1460, 6));
    segment.seq = at;
    at += 1460;
    e.send(segment);
    answers += e.guest.seen().size();
  }
  CHECK(answers == 2);
  TcpSegment last = e.guest.make(Flags::kAck | Flags::kPsh, bytes_of("odd"));
  last.seq = at;
  e.send(last);
  CHECK(e.guest.seen().empty());
  e.w.advance(100ms);  // RFC 1122 4.2.3.2: within half a second
  CHECK(e.guest.seen().size() == 1);
  CHECK(e.guest.last_seen().ack == last.seq + 3);
}

}  // namespace
}  // namespace l4n::integration
