// TCP over time: options of the SYN, sequence numbers, retransmission, windows, closing.
#include <algorithm>
#include <cerrno>
#include <random>
#include <set>

#include "tests/conformance/row.hpp"

namespace l4n::conformance {
namespace {

using namespace std::chrono_literals;
using integration::append;
using integration::bytes_of;
using integration::Data;
using integration::Fate;
using integration::Flags;
using integration::GuestPeer;
using integration::HostSocket;
using integration::kGuestAddress;
using integration::kServer;
using integration::Packet;
using integration::PeerOptions;
using integration::random_data;
using integration::TcpSegment;

Data raw_option(std::initializer_list<unsigned> bytes) {
  Data option;
  for (const unsigned byte : bytes) {
    option.push_back(static_cast<std::byte>(byte));
  }
  return option;
}

// An established connection whose guest end does nothing by itself.
struct Established {
  explicit Established(PeerOptions options = {}) : guest(connect(options)), socket(w.host.last()) {}

  GuestPeer& connect(PeerOptions& options) {
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
  // Data that continues what was sent so far.
  void send_data(const Data& data, std::uint8_t flags = Flags::kAck | Flags::kPsh) {
    send(guest.make(flags, data));
  }

  World w;
  GuestPeer& guest;
  HostSocket& socket;
};

// --- the SYN ---

// What the SYN-ACK says to a SYN with these options.
TcpSegment syn_ack_to(const Data& options, unsigned mtu = 1500) {
  World w({.mtu = mtu});
  TcpSegment syn;
  syn.source_port = 40000;
  syn.destination_port = kServer.port;
  syn.seq = 1000;
  syn.flags = Flags::kSyn;
  syn.window = 64240;
  syn.options = options;
  w.inject_ip(integration::tcp_packet(kGuestAddress, kServer.address.v4(), syn, false));
  w.settle();
  REQUIRE(w.others.size() == 1);
  REQUIRE(w.others[0].tcp.has_value());
  return *w.others[0].tcp;
}

void check_syn_ack_options(const Data& offered, const std::set<std::uint8_t>& expected) {
  const TcpSegment answer = syn_ack_to(offered);
  CHECK(answer.flags == (Flags::kSyn | Flags::kAck));
  CHECK(answer.ack == 1001);
  std::set<std::uint8_t> found;
  for (unsigned kind = 2; kind < 256; ++kind) {
    if (answer.option(static_cast<std::uint8_t>(kind))) {
      found.insert(static_cast<std::uint8_t>(kind));
    }
  }
  CHECK(found == expected);
}

const Data kTimestamps = raw_option({1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0});
const Data kSackPermitted = raw_option({1, 1, 4, 2});
const Data kFastOpen = raw_option({1, 1, 34, 2});

TEST_CASE("TCP: options of the SYN") {
  check_rows({
      {"RFC 9293 3.7.1", "the SYN-ACK announces the MSS of the MTU",
       [] {
         for (const unsigned mtu : {576U, 1280U, 1500U, 9000U, 65'520U}) {
           CHECK(syn_ack_to({}, mtu).mss() == std::optional(static_cast<std::uint16_t>(mtu - 40)));
         }
       }},
      {"RFC 7323 2.2", "window scaling when it was offered",
       [] {
         check_syn_ack_options(integration::window_scale_option(7), {2, 3});
         CHECK(syn_ack_to(integration::window_scale_option(0)).window_scale() ==
               std::optional<std::uint8_t>(8));
       }},
      {"RFC 7323 2.2", "no window scaling when it was not", [] { check_syn_ack_options({}, {2}); }},
      {"RFC 7323 2.2", "the window of the SYN-ACK itself is not scaled",
       [] { CHECK(syn_ack_to(integration::window_scale_option(7)).window == 0xffff); }},
      {"RFC 7323 3.2", "timestamps are not negotiated", [] { check_syn_ack_options(kTimestamps, {2}); }},
      {"RFC 2018 2", "SACK is not negotiated", [] { check_syn_ack_options(kSackPermitted, {2}); }},
      {"RFC 7413 2", "fast open is not negotiated", [] { check_syn_ack_options(kFastOpen, {2}); }},
      {"RFC 9293 3.1", "options that are not known are passed over",
       [] {
         check_syn_ack_options(raw_option({253, 4, 1, 2}), {2});
       }},
      {"RFC 9293 3.1", "what follows the end option is not read",
       [] {
         check_syn_ack_options(raw_option({0, 3, 3, 7}), {2});
       }},
      {"RFC 7323 2.3", "a shift of more than 14 counts as 14",
       [] {
         PeerOptions options;
         options.window_scale = 15;
         options.buffer = 32'768;  // 1 on the wire: 16,384 for who takes 14
         Established e(options);
         e.socket.write(random_data(100'000, 1));
         e.w.settle();
         CHECK(e.guest.received().size() <= 16'384);
         CHECK(e.guest.received().size() > 8'192);
       }},
      {"RFC 9293 3.4", "data in the SYN is neither acknowledged nor passed on before the handshake is over",
       [] {
         World w;
         TcpSegment syn;
         syn.source_port = 40000;
         syn.destination_port = kServer.port;
         syn.seq = 1000;
         syn.flags = Flags::kSyn;
         syn.window = 64240;
         syn.payload = bytes_of("early");
         w.inject_ip(integration::tcp_packet(kGuestAddress, kServer.address.v4(), syn, false));
         w.settle();
         REQUIRE(w.others.size() == 1);
         CHECK(flags_text(w.others[0].tcp->flags) == "SYN ACK");
         CHECK(w.others[0].tcp->ack == 1001);
         CHECK(w.host.last().received().empty());
       }},
  });
}

TEST_CASE("TCP: malformed options of the SYN") {
  const auto dropped = [](std::initializer_list<unsigned> options) {
    return [option = raw_option(options)] {
      World w;
      TcpSegment syn;
      syn.source_port = 40000;
      syn.destination_port = kServer.port;
      syn.flags = Flags::kSyn;
      syn.options = option;
      w.inject_ip(integration::tcp_packet(kGuestAddress, kServer.address.v4(), syn, false));
      w.settle();
      CHECK(w.others.empty());
      CHECK(host_sockets(w) == 0);
      CHECK(counters_text(w) == "malformed transport header 1");
    };
  };
  check_rows({
      {"RFC 9293 3.1", "length 0", dropped({2, 0, 5, 180})},
      {"RFC 9293 3.1", "length 1", dropped({2, 1, 5, 180})},
      {"RFC 9293 3.1", "a length beyond the header", dropped({1, 1, 2, 4})},
      {"RFC 9293 3.1", "a kind without a length at the end", dropped({1, 1, 1, 2})},
      {"RFC 9293 3.1", "an unknown kind without a length at the end", dropped({1, 1, 1, 200})},
      {"RFC 9293 3.1", "the greatest length", dropped({253, 255, 0, 0})},
  });
}

// --- initial sequence numbers ---

std::uint32_t isn_of(World& w, std::uint16_t port, const sys::Endpoint& remote = kServer) {
  PeerOptions options;
  options.local.port = port;
  options.remote = remote;
  GuestPeer& guest = w.connect(options);
  return guest.remote_isn();
}

TEST_CASE("TCP: initial sequence numbers") {
  check_rows({
      {"RFC 6528 3", "each connection has its own, and none follows from the last",
       [] {
         World w;
         std::set<std::uint32_t> isns;
         std::set<std::uint32_t> steps;
         std::uint32_t last = 0;
         for (std::uint16_t i = 0; i < 100; ++i) {
           const std::uint32_t isn = isn_of(w, static_cast<std::uint16_t>(40'000 + i));
           isns.insert(isn);
           steps.insert(isn - last);
           last = isn;
         }
         CHECK(isns.size() == 100);
         CHECK(steps.size() == 100);
       }},
      {"RFC 6528 3", "the remote end counts as well",
       [] {
         World w;
         std::set<std::uint32_t> isns;
         for (std::uint8_t i = 1; i <= 20; ++i) {
           isns.insert(isn_of(w, 40'000, {sys::make_ipv4(192, 0, 2, i), 80}));
           isns.insert(isn_of(w, 40'000, {sys::make_ipv4(192, 0, 2, i), 81}));
         }
         CHECK(isns.size() == 40);
       }},
      {"RFC 9293 3.4.1", "for one pair of ends they grow with time, 250,000 a second",
       [] {
         World w;
         std::uint32_t last = 0;
         for (int i = 0; i < 10; ++i) {
           GuestPeer& guest = w.connect();
           if (i > 0) {
             CHECK(guest.remote_isn() - last == 250'000 * 10);
           }
           last = guest.remote_isn();
           guest.reset();
           w.settle();
           w.advance(10s);
         }
       }},
      {"RFC 6528 3", "another instance has other numbers",
       [] {
         std::set<std::uint32_t> isns;
         for (int i = 0; i < 10; ++i) {
           World w;
           isns.insert(isn_of(w, 40'000));
         }
         CHECK(isns.size() == 10);
       }},
  });
}

// --- data ---

void overlapping_segment_gives_what_is_new() {
  Established e;
  e.send_data(bytes_of("first "));
  const TcpSegment both = e.guest.make(Flags::kAck | Flags::kPsh, bytes_of("first second"));
  TcpSegment rest = both;
  rest.payload = bytes_of("second");
  rest.seq += 6;
  e.guest.note_sent(rest);
  e.send(both);
  CHECK(e.socket.received() == bytes_of("first second"));
}

void options_of_data_segments_mean_nothing() {
  Established e;
  TcpSegment segment = e.guest.make(Flags::kAck | Flags::kPsh, bytes_of("with options"));
  segment.options = integration::mss_option(100);
  append(segment.options, integration::window_scale_option(14));
  e.send(segment);
  CHECK(e.socket.received() == bytes_of("with options"));
  TcpSegment garbage = e.guest.make(Flags::kAck | Flags::kPsh, bytes_of("!"));
  garbage.seq += 12;
  garbage.options = raw_option({2, 0, 250, 99});
  e.send(garbage);
  CHECK(e.socket.received() == bytes_of("with options!"));

  // Still the MSS of the SYN: the port checks every segment against it.
  const Data data = random_data(50'000, 2);
  e.guest.set_acknowledges(true);
  e.socket.write(data);
  e.w.settle();
  CHECK(e.guest.received() == data);
}

void sack_blocks_mean_nothing() {
  Established e;
  const Data data = random_data(10'000, 3);
  e.socket.write(data);
  e.w.settle();
  TcpSegment ack = e.guest.make(Flags::kAck);
  ack.ack = e.guest.remote_isn() + 1;
  ack.options = raw_option({1, 1, 5, 10});
  ack.options.resize(12);
  sys::store_be32(&ack.options[4], ack.ack + 5000);
  sys::store_be32(&ack.options[8], ack.ack + 10'000);
  e.send(ack);
  // All that is not acknowledged is repeated, what the blocks name included.
  std::size_t repeated = 0;
  e.guest.set_acknowledges(true);
  e.guest.forget();
  e.w.advance(5s);
  for (const GuestPeer::Seen& seen : e.guest.seen()) {
    repeated += seen.segment.payload.size();
  }
  CHECK(repeated > 0);
  CHECK(e.guest.received() == data);
}

void noise_changes_nothing() {
  Established e;
  std::mt19937 random(3);
  const std::uint32_t first = e.guest.snd_nxt();
  Data sent;
  for (int i = 0; i < 300; ++i) {
    TcpSegment noise = e.guest.make(static_cast<std::uint8_t>(random() % 64), random_data(random() % 50, 4));
    noise.seq = static_cast<std::uint32_t>(random());
    noise.ack = static_cast<std::uint32_t>(random());
    // Exact or near numbers are other rows' business.
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

void refused_segment_does_not_set_the_window() {
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

void every_second_segment_is_acknowledged() {
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
  e.w.advance(100ms);  // the RFC allows half a second
  CHECK(e.guest.seen().size() == 1);
  CHECK(e.guest.last_seen().ack == last.seq + 3);
}

void urgent_data_is_in_the_stream(std::uint16_t pointer) {
  Established e;
  TcpSegment segment = e.guest.make(Flags::kAck | Flags::kPsh | Flags::kUrg, bytes_of("urgent"));
  Data packet = integration::tcp_packet(
      kGuestAddress, kServer.address.v4(),
      [&segment] {
        segment.source_port = 40000;
        segment.destination_port = kServer.port;
        return segment;
      }(),
      false);
  // The urgent pointer is the segment's last field that the packet builder leaves out.
  sys::store_be16(&packet[38], pointer);
  std::uint32_t sum = sys::load_be16(&packet[36]);
  sum += 0xffffU - pointer;
  sys::store_be16(&packet[36], static_cast<std::uint16_t>((sum & 0xffffU) + (sum >> 16U)));
  e.guest.note_sent(segment);
  e.w.inject_ip(packet);
  e.w.settle();
  CHECK(e.socket.received() == bytes_of("urgent"));
  CHECK(counters_text(e.w).empty());
}

TEST_CASE("TCP: data") {
  check_rows({
      {"RFC 9293 3.10.7.4", "a segment that begins before what is expected gives what is new in it",
       overlapping_segment_gives_what_is_new},
      {"RFC 9293 3.1", "options of a data segment change nothing, malformed ones neither",
       options_of_data_segments_mean_nothing},
      {"RFC 2018 5", "SACK blocks that were not negotiated are not believed", sack_blocks_mean_nothing},
      {"RFC 5961", "segments at random do not change what is expected", noise_changes_nothing},
      {"RFC 9293 3.10.7.4", "the window of a segment that is refused is not taken",
       refused_segment_does_not_set_the_window},
      {"RFC 1122 4.2.3.2", "every second segment is acknowledged at once, the last one soon",
       every_second_segment_is_acknowledged},
      {"RFC 6093 4", "urgent data is part of the stream", [] { urgent_data_is_in_the_stream(6); }},
      {"RFC 6093 4", "an urgent pointer beyond the data means nothing",
       [] { urgent_data_is_in_the_stream(0xffff); }},
      {"RFC 6093 4", "an urgent pointer of 0 means nothing", [] { urgent_data_is_in_the_stream(0); }},
      {"RFC 894", "the padding of a short frame is no data",
       [] {
         Established e;
         const TcpSegment segment = e.guest.make(Flags::kAck | Flags::kPsh, bytes_of("data"));
         Data packet = integration::tcp_packet(kGuestAddress, kServer.address.v4(), segment, false);
         packet.resize(60, std::byte{'!'});
         e.guest.note_sent(segment);
         e.w.inject_ip(packet);
         e.w.settle();
         CHECK(e.socket.received() == bytes_of("data"));
       }},
      {"RFC 9293 3.10.7.4", "what came behind a hole is acknowledged with it",
       [] {
         Established e;
         TcpSegment second = e.guest.make(Flags::kAck | Flags::kPsh, bytes_of("second"));
         second.seq += 6;
         e.guest.note_sent(e.guest.make(Flags::kAck, bytes_of("first second")));
         e.send(second);
         CHECK(e.guest.last_seen().ack == second.seq - 6);
         e.send_data(bytes_of("first "));
         e.w.advance(100ms);
         CHECK(e.guest.last_seen().ack == second.seq + 6);
         CHECK(e.socket.received() == bytes_of("first second"));
       }},
  });
}

// --- retransmission ---

// The host sends 40,000 bytes; the data segment with this number is lost.
void lost_segment_is_repeated(std::uint64_t lost) {
  World w({.vnet = false});
  GuestPeer& guest = w.connect();
  std::uint64_t data_segments = 0;
  w.port.set_fates_to_guest([&data_segments, lost](const Packet& packet) {
    const bool data = packet.tcp && !packet.tcp->payload.empty();
    return data && data_segments++ == lost ? Fate::drop : Fate::pass;
  });
  const Data down = random_data(40'000, 3);
  w.host.last().write(down);
  w.settle();  // no time passes
  CHECK(guest.received() == down);
}

void duplicate_acknowledgments(int count, bool repeats) {
  Established e;
  e.socket.write(random_data(40'000, 3));
  e.w.settle();
  e.guest.forget();
  TcpSegment duplicate = e.guest.make(Flags::kAck);
  duplicate.ack = e.guest.remote_isn() + 1;
  for (int i = 0; i < count; ++i) {
    e.guest.raw(duplicate);
    e.w.settle();
  }
  REQUIRE(e.guest.seen().size() == (repeats ? 1 : 0));
  if (repeats) {
    CHECK(e.guest.last_seen().seq == duplicate.ack);
    CHECK_FALSE(e.guest.last_seen().payload.empty());
  }
}

void time_out_backs_off() {
  World w;
  GuestPeer& guest = w.connect();
  guest.vanish();
  guest.forget();
  const sys::Time start = w.clock.now();
  w.host.last().write(bytes_of("hello"));
  w.advance(20s);
  const auto& seen = guest.seen();
  REQUIRE(seen.size() >= 5);
  const sys::Duration first = seen[1].at - seen[0].at;
  CHECK(seen[0].at == start);
  CHECK(first >= 200ms);
  CHECK(first <= 1100ms);
  for (std::size_t i = 2; i < seen.size(); ++i) {
    CHECK(seen[i].at - seen[i - 1].at > (seen[i - 1].at - seen[i - 2].at) * 3 / 2);
    CHECK(seen[i].segment.payload == bytes_of("hello"));
  }
}

void syn_ack_is_repeated() {
  World w;
  PeerOptions options;
  options.acknowledges = false;
  GuestPeer& guest = w.peer(options);
  guest.connect();
  w.settle();
  REQUIRE(guest.seen().size() == 1);
  const std::uint32_t isn = guest.last_seen().seq;
  w.advance(10s);
  REQUIRE(guest.seen().size() >= 3);
  for (const GuestPeer::Seen& seen : guest.seen()) {
    CHECK(flags_text(seen.segment.flags) == "SYN ACK");
    CHECK(seen.segment.seq == isn);
  }
}

TEST_CASE("TCP: retransmission") {
  check_rows({
      {"RFC 5681 3.2", "three duplicate acknowledgments repeat the segment at once",
       [] { duplicate_acknowledgments(3, true); }},
      {"RFC 5681 3.2", "two do not", [] { duplicate_acknowledgments(2, false); }},
      {"RFC 5681 3.2", "more than three repeat it once", [] { duplicate_acknowledgments(8, true); }},
      {"RFC 5681 3.2", "the first segment of many is lost", [] { lost_segment_is_repeated(0); }},
      {"RFC 5681 3.2", "one in the middle is lost", [] { lost_segment_is_repeated(10); }},
      {"RFC 6298 5", "the time-out is a second at most at first, and doubles", time_out_backs_off},
      {"RFC 6298 5", "the SYN-ACK is repeated", syn_ack_is_repeated},
  });
}

// --- windows ---

void closed_window_is_probed() {
  Established e;
  e.guest.set_window(0);
  e.guest.acknowledge();
  e.w.settle();
  e.guest.forget();
  e.guest.keep_headers_only();
  const Data data = random_data(5000, 8);
  e.socket.write(data);
  e.w.advance(60s);
  const auto& seen = e.guest.seen();
  REQUIRE(seen.size() >= 4);
  for (std::size_t i = 2; i < seen.size(); ++i) {
    CHECK(seen[i].at - seen[i - 1].at >= seen[i - 1].at - seen[i - 2].at);
    CHECK(seen[i].segment.length() <= 1);
  }
  // No update is sent: the answer to the next probe tells of the window.
  e.guest.set_window(std::nullopt);
  e.guest.set_acknowledges(true);
  e.w.advance(60s);
  CHECK(e.guest.received() == data);
}

// Answers keep it alive, however long they tell of a closed window (RFC 9293 3.8.6.1).
void closed_window_is_no_reason_to_give_up() {
  World w;
  PeerOptions options;
  options.buffer = 10'000;
  options.reads = false;
  options.window_scale.reset();
  GuestPeer& guest = w.connect(options);
  const Data data = random_data(50'000, 4);
  w.host.last().write(data);
  w.settle();
  guest.forget();
  w.advance(10min);
  CHECK(guest.seen().size() > 20);
  CHECK(guest.seen().size() < 200);
  CHECK(w.flows() == 1);
  guest.set_reads(true);
  w.advance(1min);
  CHECK(guest.received() == data);
}

void window_update_resumes_at_once() {
  Established e;
  e.guest.set_window(0);
  e.guest.acknowledge();
  e.w.settle();
  const Data data = random_data(50'000, 9);
  e.socket.write(data);
  e.w.advance(5s);
  e.guest.set_window(std::nullopt);
  e.guest.set_acknowledges(true);
  e.guest.acknowledge();
  e.w.settle();  // no time passes
  CHECK(e.guest.received() == data);
}

void our_closed_window_answers_probes() {
  World w;
  GuestPeer& guest = w.connect();
  HostSocket& socket = w.host.last();
  socket.allow(0);
  const Data data = random_data(1'000'000, 12);
  guest.keep_headers_only();
  guest.send(data);
  w.advance(1s);
  REQUIRE(guest.send_window() == 0);
  const std::uint32_t taken = guest.snd_una();
  guest.forget();
  const unsigned probes = guest.repetitions();
  w.advance(60s);
  REQUIRE(guest.repetitions() > probes + 2);
  CHECK(guest.seen().size() >= guest.repetitions() - probes);
  CHECK(guest.snd_una() - taken < 256);  // a scaled window of 0 may still be a few bytes
  socket.allow(HostSocket::kUnlimited);
  w.settle();  // the update goes out by itself
  w.advance(1s);
  CHECK(socket.received() == data);
}

void window_is_not_exceeded(std::optional<std::uint8_t> scale) {
  PeerOptions options;
  options.window_scale = scale;
  options.buffer = 100U << scale.value_or(0);
  Established e(options);
  e.socket.write(random_data(100'000, 10));
  e.w.settle();
  // Less than a segment may be left over (RFC 9293 3.8.6.2.1).
  CHECK(e.guest.received().size() <= options.buffer);
  CHECK(e.guest.received().size() + std::min(1459U, options.buffer - 1) >= options.buffer);
}

TEST_CASE("TCP: windows") {
  check_rows({
      {"RFC 9293 3.8.6.1", "a closed window is probed, ever more slowly, and an answer resumes",
       closed_window_is_probed},
      {"RFC 9293 3.8.6.1", "as long as probes are answered a closed window is no reason to give up",
       closed_window_is_no_reason_to_give_up},
      {"RFC 9293 3.8.6.1", "a window update resumes at once", window_update_resumes_at_once},
      {"RFC 9293 3.8.6.1", "a probe of our closed window is answered, and it opens by itself",
       our_closed_window_answers_probes},
      {"RFC 9293 3.8.6", "the guest's window is not exceeded", [] { window_is_not_exceeded(std::nullopt); }},
      {"RFC 7323 2.3", "the window is scaled by the guest's shift", [] { window_is_not_exceeded(7); }},
      {"RFC 9293 3.8.6.2.2", "our window is not opened in crumbs",
       [] {
         World w;
         GuestPeer& guest = w.connect();
         HostSocket& socket = w.host.last();
         socket.allow(0);
         guest.send(random_data(1'000'000, 12));
         w.advance(1s);
         guest.forget();
         socket.allow(100);
         w.settle();
         CHECK(guest.seen().empty());
       }},
  });
}

// --- closing ---

void half_close_by_the_guest() {
  World w;
  GuestPeer& guest = w.connect();
  HostSocket& socket = w.host.last();
  guest.send(bytes_of("request"));
  guest.finish();
  w.settle();
  CHECK(socket.received() == bytes_of("request"));
  CHECK(socket.got_fin());
  w.advance(5min);
  const Data data = random_data(100'000, 11);
  socket.write(data);
  w.settle();
  CHECK(guest.received() == data);
  CHECK_FALSE(guest.got_fin());
  socket.finish();
  w.settle();
  CHECK(guest.got_fin());
  CHECK(w.flows() == 0);
}

void half_close_by_the_host() {
  World w;
  GuestPeer& guest = w.connect();
  HostSocket& socket = w.host.last();
  socket.write(bytes_of("greeting"));
  socket.finish();
  w.settle();
  CHECK(guest.received() == bytes_of("greeting"));
  CHECK(guest.got_fin());
  w.advance(5min);
  const Data data = random_data(100'000, 12);
  guest.send(data);
  w.settle();
  CHECK(socket.received() == data);
  CHECK_FALSE(socket.got_fin());
  guest.finish();
  w.settle();
  CHECK(socket.got_fin());
  CHECK_FALSE(socket.got_reset());
  CHECK(w.flows() == 0);
}

void simultaneous_close() {
  Established e;
  e.socket.finish();
  e.w.settle();
  REQUIRE(e.guest.got_fin());
  // The guest's FIN was sent before ours arrived: it does not acknowledge it.
  TcpSegment fin = e.guest.make(Flags::kFin | Flags::kAck);
  fin.ack -= 1;
  e.send(fin);
  REQUIRE(e.guest.seen().size() == 1);
  CHECK(flags_text(e.guest.last_seen().flags) == "ACK");
  CHECK(e.guest.last_seen().ack == fin.seq + 1);
  CHECK(e.w.flows() == 1);
  CHECK(e.socket.got_fin());
  TcpSegment last = e.guest.make(Flags::kAck);
  e.send(last);
  CHECK(e.guest.seen().empty());
  CHECK(e.w.flows() == 0);
  CHECK_FALSE(e.socket.got_reset());
}

// A connection that our end has closed first, and the guest's next SYN from the same port.
void reuse_in_time_wait(std::uint32_t distance, bool accepted) {
  World w;
  GuestPeer& old = w.connect();
  w.host.last().finish();
  w.settle();
  old.finish();
  w.settle();
  REQUIRE(w.flows() == 0);
  PeerOptions options;
  options.isn = old.snd_nxt() + distance;
  GuestPeer& guest = w.peer(options);
  w.advance(1ms);
  guest.connect();
  w.settle();
  CHECK(guest.established() == accepted);
  CHECK(w.host.connects() == (accepted ? 2 : 1));
  if (accepted) {
    CHECK(guest.remote_isn() != old.remote_isn());
    guest.send(bytes_of("again"));
    w.settle();
    CHECK(w.host.last().received() == bytes_of("again"));
  } else {
    guest.vanish();
  }
}

void time_wait_ends() {
  World w;
  GuestPeer& old = w.connect();
  w.host.last().finish();
  w.settle();
  old.finish();
  w.settle();
  const TcpSegment fin = [&old] {
    TcpSegment s = old.make(Flags::kFin | Flags::kAck);
    s.seq -= 1;
    return s;
  }();
  old.forget();
  w.advance(4900ms);
  old.raw(fin);
  w.settle();
  REQUIRE(old.seen().size() == 1);
  CHECK(flags_text(old.last_seen().flags) == "ACK");
  w.advance(5100ms);
  old.raw(fin);
  w.settle();
  CHECK(flags_text(old.last_seen().flags) == "RST");
}

TEST_CASE("TCP: closing") {
  check_rows({
      {"RFC 9293 3.6", "the guest closes, the host goes on sending", half_close_by_the_guest},
      {"RFC 9293 3.6", "the host closes, the guest goes on sending", half_close_by_the_host},
      {"RFC 9293 3.6", "both close at once", simultaneous_close},
      {"RFC 9293 3.10.7.4", "TIME-WAIT lets a newer SYN of the same port through",
       [] {
         reuse_in_time_wait(1, true);
         reuse_in_time_wait(100'000, true);
       }},
      {"RFC 9293 3.10.7.4", "TIME-WAIT does not let an older one through",
       [] {
         reuse_in_time_wait(0U - 1, false);
         reuse_in_time_wait(0U - 100'000, false);
       }},
      {"RFC 9293 3.6.1", "TIME-WAIT ends, here after five seconds", time_wait_ends},
      {"RFC 9293 3.5.3", "a refused connect is a reset",
       [] {
         World w;
         w.host.plan_connects({integration::FakeHost::Plan::Kind::refuse, ECONNREFUSED});
         PeerOptions options;
         options.acknowledges = false;
         GuestPeer& guest = w.peer(options);
         guest.connect();
         w.settle();
         REQUIRE(guest.seen().size() == 1);
         CHECK(flags_text(guest.last_seen().flags) == "RST ACK");
         CHECK(guest.last_seen().ack == guest.options().isn + 1);
       }},
  });
}

}  // namespace
}  // namespace l4n::conformance
