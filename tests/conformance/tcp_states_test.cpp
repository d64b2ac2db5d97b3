// RFC 9293 3.10.7 and RFC 5961: what a segment does in each state. States are the gateway's, RFC 9293 3.3.2.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "tests/conformance/row.hpp"

namespace l4n::conformance {
namespace {

using namespace std::chrono_literals;
using integration::bytes_of;
using integration::Data;
using integration::Fate;
using integration::Flags;
using integration::GuestPeer;
using integration::HostSocket;
using integration::Packet;
using integration::PeerOptions;
using integration::TcpSegment;

constexpr std::uint32_t kWindow = stack::GuestConnection::kInitialCap;

enum class State {
  closed,
  syn_held,  // LISTEN, as RFC 9293 sees it: the host has not connected yet
  syn_received,
  established,
  fin_wait_1,
  fin_wait_2,
  close_wait,
  closing,
  last_ack,
  time_wait,
};

const char* name_of(State state) {
  switch (state) {
    case State::closed:
      return "CLOSED";
    case State::syn_held:
      return "SYN held";
    case State::syn_received:
      return "SYN-RECEIVED";
    case State::established:
      return "ESTABLISHED";
    case State::fin_wait_1:
      return "FIN-WAIT-1";
    case State::fin_wait_2:
      return "FIN-WAIT-2";
    case State::close_wait:
      return "CLOSE-WAIT";
    case State::closing:
      return "CLOSING";
    case State::last_ack:
      return "LAST-ACK";
    case State::time_wait:
      return "TIME-WAIT";
  }
  return "?";
}

const std::vector<State> kEstablished{State::established};
// Those in which the guest may still send data.
const std::vector<State> kReceiving{State::established, State::fin_wait_1, State::fin_wait_2};
const std::vector<State> kSynchronized{State::established, State::fin_wait_1, State::fin_wait_2,
                                       State::close_wait,  State::closing,    State::last_ack};

// A connection in one state, with a guest that does nothing by itself.
class Scene {
 public:
  explicit Scene(State state) : state_(state) {
    if (state == State::closed) {
      return;
    }
    if (state == State::syn_held) {
      w.host.plan_connects({integration::FakeHost::Plan::Kind::wait});
    }
    PeerOptions options;
    options.acknowledges = false;
    guest_ = &w.peer(options);
    guest_->connect();
    w.settle();
    if (state != State::syn_held && state != State::syn_received) {
      guest_->acknowledge();
      w.settle();
      synchronize();
    }
    fin_unacknowledged_ = state == State::fin_wait_1 || state == State::closing || state == State::last_ack;
  }

  // What the guest would send next and expects next.
  [[nodiscard]] std::uint32_t seq() const { return guest_ == nullptr ? 1000 : guest_->snd_nxt(); }
  [[nodiscard]] std::uint32_t ack() const { return guest_ == nullptr ? 5000 : guest_->rcv_nxt(); }

  // The answers. A reset does not reach the guest, which would check whether it believes it.
  std::vector<std::string> send(TcpSegment segment) {
    segment.source_port = 40000;
    segment.destination_port = integration::kServer.port;
    std::vector<std::string> answers;
    const std::uint32_t seq_before = seq();
    w.port.set_fates_to_guest([&, expected = ack()](const Packet& packet) {
      answers.push_back(text(packet, seq_before, expected));
      return packet.tcp && packet.tcp->has(Flags::kRst) ? Fate::drop : Fate::pass;
    });
    if (guest_ != nullptr) {
      guest_->note_sent(segment);
    }
    w.inject_ip(integration::tcp_packet(integration::kGuestAddress, integration::kServer.address.v4(),
                                        segment, false));
    w.settle();
    w.port.set_fates_to_guest({});
    return answers;
  }

  // An acknowledgment of all but a FIN of ours, which the states that wait for it need.
  [[nodiscard]] std::uint32_t ack_that_keeps_the_state() const {
    return ack() - (fin_unacknowledged_ ? 1 : 0);
  }

  // The host's end connects. True when that answers the guest's SYN.
  bool connect_host() {
    socket().accept();
    w.settle();
    return guest_->established();
  }

  [[nodiscard]] HostSocket& socket() { return w.host.last(); }
  [[nodiscard]] bool has_socket() const { return state_ != State::closed; }

  World w;

 private:
  void guest_fin() {
    guest_->raw(guest_->make(Flags::kFin | Flags::kAck));
    w.settle();
  }
  void host_fin() {
    w.host.last().finish();
    w.settle();
  }
  void acknowledge_our_fin() {
    guest_->acknowledge();
    w.settle();
  }

  void synchronize() {
    switch (state_) {
      case State::fin_wait_1:
        host_fin();
        break;
      case State::fin_wait_2:
        host_fin();
        acknowledge_our_fin();
        break;
      case State::close_wait:
        guest_fin();
        break;
      case State::closing: {
        host_fin();
        TcpSegment fin = guest_->make(Flags::kFin | Flags::kAck);
        fin.ack -= 1;
        guest_->raw(fin);
        w.settle();
        break;
      }
      case State::last_ack:
        guest_fin();
        host_fin();
        break;
      case State::time_wait:
        host_fin();
        acknowledge_our_fin();
        guest_fin();
        break;
      default:
        break;
    }
  }

  // "ACK +0 +0": the sequence number relative to what the guest expects, the acknowledgment to what it sends
  // next; "=N" where the RFC gives the number itself.
  [[nodiscard]] static std::string text(const Packet& packet, std::uint32_t seq, std::uint32_t ack) {
    if (!packet.tcp) {
      return answer_text(packet);
    }
    const TcpSegment& s = *packet.tcp;
    const auto relative = [](std::uint32_t n, std::uint32_t base) {
      return fmt::format("{:+d}", static_cast<std::int32_t>(n - base));
    };
    std::string out = flags_text(s.flags);
    if (s.has(Flags::kSyn)) {
      return out;  // its sequence number is for the guest to learn
    }
    const bool absolute = s.has(Flags::kRst) && s.has(Flags::kAck) && s.seq == 0;
    out += " " + (absolute ? std::string("=0") : relative(s.seq, ack));
    return s.has(Flags::kAck) ? out + " " + relative(s.ack, seq) : out;
  }

  State state_;
  GuestPeer* guest_ = nullptr;
  bool fin_unacknowledged_ = false;
};

// What has become of the connection.
enum class After {
  same,
  reset,  // gone, and the host's end reset where it was open
  fin,    // the host's end got the guest's FIN
};

struct SegmentRow {
  const char* rfc;
  const char* name;
  std::vector<State> states;
  std::vector<std::uint8_t> flags;
  std::vector<std::string> answers;  // Scene::text()
  // Added to what the guest sends next, and to what it expects next. The row holds for each value.
  std::vector<std::uint32_t> seq = {0};
  std::vector<std::uint32_t> ack = {0};
  std::string payload = {};
  std::string received = {};  // by the host
  After after = After::same;
  bool waits = false;  // what it brings is kept for later
};

struct Shape {
  std::uint8_t flags = 0;
  std::uint32_t seq = 0;
  std::uint32_t ack = 0;
};

void check_after(Scene& scene, After after, std::size_t flows_before) {
  if (after == After::reset) {
    CHECK(scene.w.flows() == 0);
    CHECK(scene.w.host.open_sockets() == 0);
    return;
  }
  CHECK(scene.w.flows() == flows_before);
  if (scene.has_socket()) {
    CHECK(scene.socket().got_reset() == false);
    if (after == After::fin) {
      CHECK(scene.socket().got_fin());
    }
  }
}

// As if nothing had happened: what the guest sends next is taken.
void check_goes_on(Scene& scene) {
  TcpSegment segment;
  segment.flags = Flags::kAck | Flags::kPsh;
  segment.seq = scene.seq();
  segment.ack = scene.ack();
  segment.window = 1000;
  segment.payload = bytes_of("goes on");
  CHECK(scene.send(segment).empty());
  CHECK(scene.socket().received() == bytes_of("goes on"));
}

bool is_one_of(State state, const std::vector<State>& states) {
  return std::find(states.begin(), states.end(), state) != states.end();
}

void check_segment(const SegmentRow& row, State state, const Shape& shape) {
  INFO(std::string(name_of(state)), ", ", flags_text(shape.flags), ", seq +", shape.seq, ", ack +",
       shape.ack);
  Scene scene(state);
  const std::size_t flows = scene.w.flows();
  const bool fin_before = scene.has_socket() && scene.socket().got_fin();
  TcpSegment segment;
  segment.flags = shape.flags;
  segment.seq = scene.seq() + shape.seq;
  segment.ack = segment.has(Flags::kAck) ? scene.ack_that_keeps_the_state() + shape.ack : 0;
  segment.window = 1000;
  segment.payload = bytes_of(row.payload);
  CHECK(fmt::format("{}", fmt::join(scene.send(segment), "; ")) ==
        fmt::format("{}", fmt::join(row.answers, "; ")));
  if (scene.has_socket()) {
    CHECK(scene.socket().received() == bytes_of(row.received));
    if (row.after == After::same) {
      CHECK(scene.socket().got_fin() == fin_before);
    }
  }
  check_after(scene, row.after, flows);
  const bool receives = state == State::syn_received || is_one_of(state, kReceiving);
  if (receives && row.after == After::same && row.received.empty() && !row.waits) {
    check_goes_on(scene);
  }
  if (state == State::syn_held && row.after == After::same) {
    CHECK(scene.connect_host());
  }
  CHECK(scene.w.host.connects() <= 1);
}

void check_segment_row(const SegmentRow& row) {
  for (const State state : row.states) {
    for (const std::uint8_t flags : row.flags) {
      for (const std::uint32_t seq : row.seq) {
        for (const std::uint32_t ack : row.ack) {
          check_segment(row, state, {flags, seq, ack});
        }
      }
    }
  }
}

void check_segment_rows(const std::vector<SegmentRow>& rows) {
  std::vector<Row> plain;
  plain.reserve(rows.size());
  for (const SegmentRow& row : rows) {
    plain.push_back({row.rfc, row.name, [&row] { check_segment_row(row); }});
  }
  check_rows(plain);
}

constexpr std::uint8_t operator""_f(const char* text, std::size_t size) {
  std::uint8_t flags = 0;
  for (const char c : std::string_view(text, size)) {
    flags = static_cast<std::uint8_t>(flags | 1U << std::string_view("FSRPAU").find(c));
  }
  return flags;
}

// Negative distances.
constexpr std::uint32_t minus(std::uint32_t n) { return 0U - n; }

TEST_CASE("TCP: CLOSED") {
  const std::vector<State> closed{State::closed};
  check_segment_rows({
      {"RFC 9293 3.10.7.1",
       "an acknowledgment is answered with a reset of its number",
       closed,
       {"A"_f, "AP"_f, "AF"_f, "SA"_f, "SAF"_f, "AU"_f},
       {"RST +0"},
       {0, 7}},
      {"RFC 9293 3.10.7.1", "data with an acknowledgment", closed, {"AP"_f}, {"RST +0"}, {0}, {0}, "stray"},
      {"RFC 9293 3.10.7.1",
       "without one the reset acknowledges what came",
       closed,
       {"P"_f, ""_f, "U"_f},
       {"RST ACK =0 +5"},
       {0},
       {0},
       "stray"},
      {"RFC 9293 3.10.7.1", "a FIN counts", closed, {"F"_f, "FP"_f}, {"RST ACK =0 +6"}, {0}, {0}, "stray"},
      {"RFC 9293 3.10.7.1",
       "a reset is never answered",
       closed,
       {"R"_f, "RA"_f, "RS"_f, "RF"_f, "RSAF"_f},
       {},
       {0, 5},
       {0, 5},
       "stray"},
  });
}

TEST_CASE("TCP: before the host has connected") {
  const std::vector<State> held{State::syn_held};
  check_segment_rows({
      {"RFC 9293 3.10.7.2", "the SYN again is not answered yet", held, {"S"_f, "SP"_f}, {}, {minus(1)}},
      {"RFC 9293 3.10.7.2",
       "nothing else is answered",
       held,
       {"A"_f, "AP"_f, "P"_f, "F"_f, "AF"_f, "SA"_f, "SAF"_f},
       {},
       {0, 9},
       {0, 9},
       "early"},
      {"RFC 9293 3.10.7.2",
       "a reset ends the attempt",
       held,
       {"R"_f, "RA"_f},
       {},
       {0},
       {0},
       "",
       "",
       After::reset},
  });
}

TEST_CASE("TCP: SYN-RECEIVED") {
  const std::vector<State> received{State::syn_received};
  check_segment_rows({
      {"RFC 9293 3.10.7.4",
       "the SYN again gets the SYN-ACK again",
       received,
       {"S"_f},
       {"SYN ACK"},
       {minus(1)}},
      {"RFC 5961 4.2",
       "another SYN is challenged",
       received,
       {"S"_f},
       {"ACK +0 +0"},
       {0, 1, 1000, 0x40000000}},
      {"RFC 9293 3.10.7.4",
       "a wrong acknowledgment gets a reset of its number",
       received,
       {"A"_f, "AP"_f},
       {"RST ACK +50 +0"},
       {0},
       {50}},
      {"RFC 9293 3.10.7.4",
       "an acknowledgment that is too old too",
       received,
       {"A"_f},
       {"RST ACK -1 +0"},
       {0},
       {minus(1)}},
      {"RFC 9293 3.10.7.4", "the right acknowledgment opens", received, {"A"_f}, {}},
      {"RFC 9293 3.10.7.4",
       "data with the acknowledgment is taken",
       received,
       {"AP"_f},
       {},
       {0},
       {0},
       "early",
       "early"},
      {"RFC 9293 3.10.7.4",
       "a FIN with the acknowledgment is taken",
       received,
       {"AF"_f},
       {"ACK +0 +6"},
       {0},
       {0},
       "early",
       "early",
       After::fin},
      {"RFC 9293 3.10.7.4",
       "without the ACK flag nothing is taken",
       received,
       {"P"_f, ""_f, "F"_f},
       {},
       {0},
       {0},
       "early"},
      {"RFC 9293 3.10.7.4",
       "a reset of the expected number ends it",
       received,
       {"R"_f, "RA"_f},
       {},
       {0},
       {0},
       "",
       "",
       After::reset},
      {"RFC 5961 3.2",
       "a reset elsewhere in the window is challenged",
       received,
       {"R"_f},
       {"ACK +0 +0"},
       {1, 1000, 60'000}},
      {"RFC 5961 3.2",
       "a reset outside of the window is dropped",
       received,
       {"R"_f},
       {},
       {minus(2), minus(1000), 0x10000000}},
  });
}

TEST_CASE("TCP: SYN on a connection") {
  check_segment_rows({
      {"RFC 5961 4.2",
       "a SYN is challenged, whatever its number",
       kSynchronized,
       {"S"_f, "SA"_f, "SP"_f},
       {"ACK +0 +0"},
       {0, 1, 0x20000000, 0x80000000, minus(16)}},
      {"RFC 5961 4.2", "also the very SYN that opened it", kSynchronized, {"S"_f}, {"ACK +0 +0"}, {minus(1)}},
  });
}

TEST_CASE("TCP: RST on a connection") {
  check_segment_rows({
      {"RFC 5961 3.2",
       "exactly the expected number ends it",
       kSynchronized,
       {"R"_f, "RA"_f},
       {},
       {0},
       {0},
       "",
       "",
       After::reset},
      {"RFC 5961 3.2",
       "another number in the window is challenged",
       kSynchronized,
       {"R"_f},
       {"ACK +0 +0"},
       {1, 1000, 60'000}},
      {"RFC 5961 3.2",
       "outside of the window it is dropped",
       kSynchronized,
       {"R"_f, "RA"_f},
       {},
       {minus(1), minus(1000), minus(0x40000000), 0x10000000}},
  });
}

TEST_CASE("TCP: acknowledgments and sequence numbers") {
  const std::uint32_t beyond = kWindow;
  check_segment_rows({
      {"RFC 9293 3.10.7.4",
       "without the ACK flag nothing is taken",
       kSynchronized,
       {"P"_f, ""_f, "F"_f, "FP"_f},
       {},
       {0},
       {0},
       "no ack"},
      {"RFC 9293 3.10.7.4",
       "what was never sent is acknowledged: answered, and no data taken",
       kReceiving,
       {"A"_f, "AP"_f},
       {"ACK +0 +0"},
       {0},
       {2, 1000, 0x7ffffff0},
       "data"},
      {"RFC 9293 3.10.7.4",
       "the one that was not sent yet, too",
       {State::established, State::fin_wait_2},
       {"A"_f, "AP"_f},
       {"ACK +0 +0"},
       {0},
       {1},
       "data"},
      {"RFC 5961 5.2",
       "an acknowledgment that is too old: answered, and no data taken",
       kReceiving,
       {"AP"_f},
       {"ACK +0 +0"},
       {0},
       {minus(100'000'000)},
       "data"},
      {"RFC 5961 5.2",
       "an old one within the largest window does not spoil the data",
       kReceiving,
       {"AP"_f},
       {},
       {0},
       {minus(1), minus(60'000)},
       "data",
       "data"},
      {"RFC 9293 3.10.7.4",
       "before the window: answered, not taken",
       kSynchronized,
       {"AP"_f, "AF"_f},
       {"ACK +0 +0"},
       {minus(5), minus(100), minus(0x40000000)},
       {0},
       "data"},
      {"RFC 9293 3.10.7.4",
       "beyond the window: answered, not taken",
       kReceiving,
       {"AP"_f, "AF"_f},
       {"ACK +0 +0"},
       {beyond + 1, beyond + 100, 0x40000000},
       {0},
       "data"},
      {"RFC 9293 3.10.7.4",
       "a bare acknowledgment beyond the window: answered",
       kReceiving,
       {"A"_f},
       {"ACK +0 +0"},
       {beyond + 1, 0x40000000}},
      {"RFC 1122 4.2.3.6",
       "a keep-alive probe is answered",
       kSynchronized,
       {"A"_f},
       {"ACK +0 +0"},
       {minus(1)}},
      {"RFC 9293 3.10.7.4",
       "data behind a hole waits, and the hole is asked for",
       kReceiving,
       {"AP"_f},
       {"ACK +0 +0"},
       {1, 1000},
       {0},
       "data",
       "",
       After::same,
       true},
      {"RFC 9293 3.10.7.4",
       "a FIN behind a hole waits",
       kReceiving,
       {"AF"_f},
       {"ACK +0 +0"},
       {1000},
       {0},
       "data",
       "",
       After::same,
       true},
  });
}

TEST_CASE("TCP: FIN on a connection") {
  check_segment_rows({
      {"RFC 9293 3.10.7.4",
       "a FIN is acknowledged and passed on",
       kEstablished,
       {"AF"_f},
       {"ACK +0 +1"},
       {0},
       {0},
       "",
       "",
       After::fin},
      {"RFC 9293 3.10.7.4",
       "with data",
       kEstablished,
       {"AFP"_f},
       {"ACK +0 +5"},
       {0},
       {0},
       "last",
       "last",
       After::fin},
      {"RFC 9293 3.10.7.4",
       "in FIN-WAIT-1 it is acknowledged",
       {State::fin_wait_1},
       {"AF"_f},
       {"ACK +0 +1"},
       {0},
       {0},
       "",
       "",
       After::fin},
      {"RFC 9293 3.10.7.4",
       "a FIN again is acknowledged again",
       {State::close_wait, State::closing, State::last_ack},
       {"AF"_f},
       {"ACK +0 +0"},
       {minus(1)}},
      {"RFC 9293 3.10.7.4",
       "data behind the guest's FIN is not taken",
       {State::close_wait, State::closing, State::last_ack},
       {"AP"_f},
       {},
       {0, 1},
       {0},
       "late"},
  });
}

TEST_CASE("TCP: TIME-WAIT") {
  const std::vector<State> waiting{State::time_wait};
  check_segment_rows({
      {"RFC 9293 3.10.7.4",
       "a FIN again is acknowledged again",
       waiting,
       {"AF"_f},
       {"ACK +0 +0"},
       {minus(1)}},
      {"RFC 9293 3.10.7.4",
       "data is acknowledged, not taken",
       waiting,
       {"AP"_f},
       {"ACK +0 +0"},
       {0, minus(4)},
       {0},
       "late"},
      {"RFC 9293 3.10.7.4",
       "a SYN that is not newer is acknowledged",
       waiting,
       {"S"_f},
       {"ACK +0 +0"},
       {0, minus(1), minus(1000)}},
      {"RFC 9293 3.10.7.4", "a SYN-ACK is acknowledged", waiting, {"SA"_f}, {"ACK +0 +0"}, {0, 1000}},
      {"RFC 1337 3", "a reset does not end it", waiting, {"R"_f, "RA"_f}, {}, {0, 1, minus(1)}},
      {"RFC 9293 3.10.7.4", "a bare acknowledgment is not answered", waiting, {"A"_f}, {}},
  });
}

}  // namespace
}  // namespace l4n::conformance
