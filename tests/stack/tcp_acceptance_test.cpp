// The rules of RFC 9293 3.10.7.4 for segments of an existing connection, with RFC 5961 3 to 5, as one table.
#include "stack/tcp_acceptance.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace l4n::stack {
namespace {

constexpr std::uint8_t kFin = TcpFlags::kFin;
constexpr std::uint8_t kSyn = TcpFlags::kSyn;
constexpr std::uint8_t kRst = TcpFlags::kRst;
constexpr std::uint8_t kAck = TcpFlags::kAck;
constexpr std::uint8_t kPsh = TcpFlags::kPsh;
constexpr std::uint8_t kUrg = TcpFlags::kUrg;

constexpr auto kAccept = SegmentVerdict::accept;
constexpr auto kDrop = SegmentVerdict::drop;
constexpr auto kChallenge = SegmentVerdict::acknowledge;
constexpr auto kSynAckAgain = SegmentVerdict::resend_syn_ack;

// Numbers are relative, so that the table can be run at any place of the sequence space.
struct Row {
  std::string description;
  std::uint8_t flags;
  std::int64_t seq;      // - RCV.NXT
  std::int64_t ack;      // - SND.UNA
  std::size_t payload;   // bytes
  std::uint32_t window;  // RCV.WND
  SegmentVerdict verdict;
};

// ESTABLISHED and later: 500 bytes are on their way to the guest, whose largest window was 10000.
constexpr std::uint32_t kInFlight = 500;
constexpr std::uint32_t kMaxWindow = 10000;

const std::vector<Row>& established_rows() {
  static const std::vector<Row> rows = {
      // First check, sequence number: the four cases of its table.
      {"no text, closed window, at RCV.NXT", kAck, 0, 0, 0, 0, kAccept},
      {"no text, closed window, one before", kAck, -1, 0, 0, 0, kChallenge},
      {"no text, closed window, one after", kAck, 1, 0, 0, 0, kChallenge},
      {"no text, open window, left edge", kAck, 0, 0, 0, 1000, kAccept},
      {"no text, open window, inside", kAck, 999, 0, 0, 1000, kAccept},
      {"no text, open window, right edge (allowed)", kAck, 1000, 0, 0, 1000, kAccept},
      {"no text, open window, beyond the right edge", kAck, 1001, 0, 0, 1000, kChallenge},
      {"no text, one before: a keep-alive", kAck, -1, 0, 0, 1000, kChallenge},
      {"no text, far before", kAck, -100000, 0, 0, 1000, kChallenge},
      {"no text, half the space away", kAck, 0x80000000LL, 0, 0, 1000, kChallenge},
      {"text, closed window, at RCV.NXT: a window probe (allowed)", kAck, 0, 0, 1, 0, kAccept},
      {"text, closed window, one before", kAck, -1, 0, 1, 0, kChallenge},
      {"text, closed window, one after", kAck, 1, 0, 1, 0, kChallenge},
      {"text at the left edge", kAck, 0, 0, 1, 1000, kAccept},
      {"text that fills the window", kAck, 0, 0, 1000, 1000, kAccept},
      {"text that begins inside and ends beyond", kAck, 999, 0, 1000, 1000, kAccept},
      {"text of one byte, the last of the window", kAck, 999, 0, 1, 1000, kAccept},
      {"text that begins at the right edge", kAck, 1000, 0, 1, 1000, kChallenge},
      {"text that begins before and ends with the first byte expected", kAck, -99, 0, 100, 1000, kAccept},
      {"text that is all old", kAck, -100, 0, 100, 1000, kChallenge},
      {"text of one byte, just old: a keep-alive with garbage", kAck, -1, 0, 1, 1000, kChallenge},
      {"text that overlaps both edges", kAck, -1, 0, 1002, 1000, kChallenge},
      {"text from far beyond", kAck, 1000000, 0, 100, 1000, kChallenge},
      {"text, window of one", kAck, 0, 0, 1, 1, kAccept},
      {"FIN at RCV.NXT", kAck | kFin, 0, 0, 0, 1000, kAccept},
      {"FIN behind text", kAck | kFin, 0, 0, 100, 1000, kAccept},
      {"FIN as the last of the window", kAck | kFin, 999, 0, 0, 1000, kAccept},
      {"FIN at the right edge", kAck | kFin, 1000, 0, 0, 1000, kChallenge},
      {"FIN at RCV.NXT, closed window", kAck | kFin, 0, 0, 0, 0, kAccept},
      {"the FIN of before again", kAck | kFin, -1, 0, 0, 1000, kChallenge},
      {"old text and the FIN that is expected", kAck | kFin, -100, 0, 100, 1000, kAccept},
      {"the largest window", kAck, (1 << 30) - 1, 0, 1, 1 << 30, kAccept},

      // Second check, RST: lwIP compares the number itself.
      {"RST at RCV.NXT", kRst, 0, 0, 0, 1000, kAccept},
      {"RST with ACK", kRst | kAck, 0, 0, 0, 1000, kAccept},
      {"RST elsewhere in the window", kRst, 999, 0, 0, 1000, kChallenge},
      {"RST before the window", kRst, -1, 0, 0, 1000, kDrop},
      {"RST behind the window", kRst, 1000, 0, 0, 1000, kDrop},
      {"RST at RCV.NXT of a closed window", kRst, 0, 0, 0, 0, kAccept},
      {"RST elsewhere, the window closed", kRst, 1, 0, 0, 0, kDrop},
      {"RST with a wrong acknowledgment", kRst | kAck, 0, 99999, 0, 1000, kAccept},

      // Fourth check, SYN: a challenge, wherever it lies.
      {"SYN inside the window", kSyn, 10, 0, 0, 1000, kChallenge},
      {"SYN with ACK", kSyn | kAck, 0, 0, 0, 1000, kChallenge},
      {"SYN outside", kSyn, -100000, 0, 0, 1000, kChallenge},
      {"the SYN that opened the connection", kSyn, -1, 0, 0, 1000, kChallenge},
      {"SYN and FIN", kSyn | kFin, 0, 0, 0, 1000, kChallenge},

      // Fifth check, ACK.
      {"no ACK: dropped", 0, 0, 0, 0, 1000, kDrop},
      {"text without ACK", kPsh, 0, 0, 10, 1000, kDrop},
      {"FIN without ACK", kFin, 0, 0, 0, 1000, kDrop},
      {"nothing without ACK, outside the window", 0, 5000, 0, 0, 1000, kDrop},
      {"everything but ACK, SYN and RST", kFin | kPsh | kUrg, 0, 0, 0, 1000, kDrop},
      {"acknowledges nothing new", kAck, 0, 0, 0, 1000, kAccept},
      {"acknowledges a part", kAck, 0, 1, 0, 1000, kAccept},
      {"acknowledges all", kAck, 0, kInFlight, 0, 1000, kAccept},
      {"acknowledges what was not sent", kAck, 0, kInFlight + 1, 0, 1000, kChallenge},
      {"acknowledges what was not sent, with text", kAck, 0, kInFlight + 1, 10, 1000, kChallenge},
      {"acknowledges what lies half the space away", kAck, 0, 0x80000000LL, 0, 1000, kChallenge},
      {"an old acknowledgment", kAck, 0, -1, 0, 1000, kAccept},
      {"an old acknowledgment with text", kAck, 0, -5000, 10, 1000, kAccept},
      {"the oldest acceptable", kAck, 0, -std::int64_t{kMaxWindow}, 0, 1000, kAccept},
      {"one that is too old", kAck, 0, -std::int64_t{kMaxWindow} - 1, 0, 1000, kChallenge},
      {"one that is too old, with text: blind injection", kAck, 0, -20000, 10, 1000, kChallenge},
      {"urgent data", kAck | kUrg, 0, 0, 10, 1000, kAccept},
  };
  return rows;
}

// SYN-RECEIVED: our SYN is on its way (SND.NXT is SND.UNA + 1).
const std::vector<Row>& syn_received_rows() {
  static const std::vector<Row> rows = {
      {"the third ACK", kAck, 0, 1, 0, 1000, kAccept},
      {"the third ACK with text", kAck, 0, 1, 100, 1000, kAccept},
      {"the third ACK with FIN", kAck | kFin, 0, 1, 0, 1000, kAccept},
      {"an acknowledgment of nothing: lwIP resets", kAck, 0, 0, 0, 1000, kAccept},
      {"a wrong acknowledgment: lwIP resets", kAck, 0, 77777, 0, 1000, kAccept},
      {"outside the window", kAck, 1001, 1, 0, 1000, kChallenge},
      {"before the window", kAck, -1, 1, 0, 1000, kChallenge},
      {"the SYN again", kSyn, -1, 0, 0, 1000, kSynAckAgain},
      {"the SYN again with ECN bits", kSyn | 0xc0, -1, 0, 0, 1000, kSynAckAgain},
      {"the SYN again with ACK", kSyn | kAck, -1, 1, 0, 1000, kChallenge},
      {"another SYN", kSyn, 0, 0, 0, 1000, kChallenge},
      {"a SYN from far away", kSyn, 123456, 0, 0, 1000, kChallenge},
      {"RST", kRst, 0, 0, 0, 1000, kAccept},
      {"RST with SYN", kRst | kSyn, -1, 0, 0, 1000, kDrop},
      {"no ACK", 0, 0, 0, 0, 1000, kDrop},
      {"text without ACK", 0, 0, 0, 10, 1000, kDrop},
  };
  return rows;
}

// Where RCV.NXT and SND.UNA stand: far from, just before, at, and around both wraps of the sequence space.
const std::vector<std::uint32_t>& places() {
  static const std::vector<std::uint32_t> all = {0,          1,          250,        1000000,    0x7fffffff,
                                                 0x80000000, 0xfffffe0c, 0xfffffc19, 0xffffffff, 0xffff0000};
  return all;
}

void run(const std::vector<Row>& rows, TcpView view, std::uint32_t in_flight) {
  for (const std::uint32_t rcv_nxt : places()) {
    for (const std::uint32_t snd_una : places()) {
      view.rcv_nxt = rcv_nxt;
      view.snd_una = snd_una;
      view.snd_nxt = snd_una + in_flight;
      for (const Row& row : rows) {
        view.rcv_wnd = row.window;
        TcpHeader tcp;
        tcp.flags = row.flags;
        tcp.seq = static_cast<std::uint32_t>(rcv_nxt + row.seq);
        tcp.ack = static_cast<std::uint32_t>(snd_una + row.ack);
        if (judge_segment(tcp, row.payload, view) != row.verdict) {
          CAPTURE(row.description);
          CAPTURE(rcv_nxt);
          CAPTURE(snd_una);
          CHECK(judge_segment(tcp, row.payload, view) == row.verdict);
        }
      }
    }
  }
}

TEST_CASE("tcp acceptance: the connection is established") {
  TcpView view;
  view.max_snd_wnd = kMaxWindow;
  run(established_rows(), view, kInFlight);
}

TEST_CASE("tcp acceptance: SYN-RECEIVED") {
  TcpView view;
  view.max_snd_wnd = kMaxWindow;
  view.syn_received = true;
  run(syn_received_rows(), view, 1);
}

TEST_CASE("tcp acceptance: nothing on its way, and a guest that never opened its window") {
  TcpView view;
  const std::vector<Row> rows = {
      {"acknowledges all there was", kAck, 0, 0, 0, 1000, kAccept},
      {"one more", kAck, 0, 1, 0, 1000, kChallenge},
      {"one less", kAck, 0, -1, 0, 1000, kChallenge},
  };
  run(rows, view, 0);
}

TEST_CASE("sequence numbers compare modulo 2^32") {
  struct Order {
    std::uint32_t a;
    std::uint32_t b;
    bool before;
  };
  const std::vector<Order> rows = {
      {0, 0, false},          {0, 1, true},           {1, 0, false},
      {0xffffffff, 0, true},  {0, 0xffffffff, false}, {0x7fffffff, 0x80000000, true},
      {0xfffffff0, 16, true}, {5, 5, false},          {0, 0x7fffffff, true},
  };
  for (const Order& row : rows) {
    CAPTURE(row.a);
    CAPTURE(row.b);
    CHECK(seq_before(row.a, row.b) == row.before);
  }
}

TEST_CASE("acceptance in SYN-SENT: only what answers our SYN (RFC 9293 3.10.7.3)") {
  struct SynSentRow {
    std::string description;
    std::uint8_t flags;
    std::uint32_t ack;  // - SND.NXT
    SegmentVerdict verdict;
  };
  const std::vector<SynSentRow> rows = {
      {"SYN-ACK", kSyn | kAck, 0, kAccept},
      {"SYN-ACK of something else: lwIP answers with a reset", kSyn | kAck, 1, kAccept},
      {"ACK of something else: the same", kAck, 0xffffffffU, kAccept},
      {"ACK of our SYN without a SYN", kAck, 0, kDrop},
      {"the same with FIN", kAck | kFin, 0, kDrop},
      {"RST with the right ACK", kRst | kAck, 0, kAccept},
      {"RST with a wrong ACK", kRst | kAck, 1, kDrop},
      {"RST without ACK", kRst, 0, kDrop},
      {"SYN alone", kSyn, 0, kDrop},
      {"FIN alone", kFin, 0, kDrop},
      {"no flags", 0, 0, kDrop},
  };
  for (const std::uint32_t snd_nxt : {0U, 1U, 0x7fffffffU, 0xffffffffU}) {
    for (const SynSentRow& row : rows) {
      CAPTURE(row.description);
      TcpHeader tcp;
      tcp.flags = row.flags;
      tcp.ack = snd_nxt + row.ack;
      CHECK(judge_syn_sent(tcp, snd_nxt) == row.verdict);
    }
  }
}

}  // namespace
}  // namespace l4n::stack
