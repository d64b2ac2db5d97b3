#include "stack/tcp_acceptance.hpp"

namespace l4n::stack {
namespace {

// RFC 9293 3.10.7.4, first check, with two allowances: a segment without text at the right edge (its sender
// has filled a window of which we lost a part), and the text of a window probe, which lwIP drops itself
// after it has taken the acknowledgment.
bool sequence_acceptable(std::uint32_t seq, std::uint32_t length, const TcpView& v) noexcept {
  const std::uint32_t right_edge = v.rcv_nxt + v.rcv_wnd;
  if (length == 0) {
    return !seq_before(seq, v.rcv_nxt) && !seq_before(right_edge, seq);
  }
  if (v.rcv_wnd == 0) {
    return seq == v.rcv_nxt;
  }
  const bool starts_inside = !seq_before(seq, v.rcv_nxt) && seq_before(seq, right_edge);
  const std::uint32_t last = seq + length - 1;
  const bool ends_inside = !seq_before(last, v.rcv_nxt) && seq_before(last, right_edge);
  return starts_inside || ends_inside;
}

// RFC 5961 5.2: SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT.
bool acknowledgment_acceptable(std::uint32_t ack, const TcpView& v) noexcept {
  return !seq_before(v.snd_nxt, ack) && !seq_before(ack, v.snd_una - v.max_snd_wnd);
}

// RFC 5961 3.2: only the exact number resets; what else is in the window is challenged.
SegmentVerdict judge_reset(std::uint32_t seq, const TcpView& v) noexcept {
  if (seq == v.rcv_nxt) {
    return SegmentVerdict::accept;
  }
  const bool inside = !seq_before(seq, v.rcv_nxt) && seq_before(seq, v.rcv_nxt + v.rcv_wnd);
  return inside ? SegmentVerdict::acknowledge : SegmentVerdict::drop;
}

}  // namespace

SegmentVerdict judge_segment(const TcpHeader& tcp, std::size_t payload_size, const TcpView& v) noexcept {
  if (tcp.has(TcpFlags::kRst)) {
    return judge_reset(tcp.seq, v);
  }
  if (tcp.has(TcpFlags::kSyn)) {
    // RFC 5961 4: never a reason to reset. In SYN-RECEIVED the very same SYN asks for our answer again.
    const bool repeated = v.syn_received && tcp.seq + 1 == v.rcv_nxt && !tcp.has(TcpFlags::kAck);
    return repeated ? SegmentVerdict::resend_syn_ack : SegmentVerdict::acknowledge;
  }
  if (!tcp.has(TcpFlags::kAck)) {
    return SegmentVerdict::drop;
  }
  const auto length = static_cast<std::uint32_t>(payload_size) + (tcp.has(TcpFlags::kFin) ? 1U : 0U);
  if (!sequence_acceptable(tcp.seq, length, v)) {
    return SegmentVerdict::acknowledge;
  }
  if (v.syn_received) {
    return SegmentVerdict::accept;  // lwIP answers a wrong acknowledgment with a reset, as it must
  }
  return acknowledgment_acceptable(tcp.ack, v) ? SegmentVerdict::accept : SegmentVerdict::acknowledge;
}

// lwIP takes a reset without ACK, which anybody could send, and answers a plain acknowledgment of our SYN
// with a reset. A wrong acknowledgment it does answer with a reset, as it must. A SYN without ACK
// (simultaneous open) cannot come: the guest does not know the port that we connect from.
SegmentVerdict judge_syn_sent(const TcpHeader& tcp, std::uint32_t snd_nxt) noexcept {
  if (!tcp.has(TcpFlags::kAck)) {
    return SegmentVerdict::drop;
  }
  const bool of_our_syn = tcp.ack == snd_nxt;
  if (tcp.has(TcpFlags::kRst)) {
    return of_our_syn ? SegmentVerdict::accept : SegmentVerdict::drop;
  }
  return of_our_syn && !tcp.has(TcpFlags::kSyn) ? SegmentVerdict::drop : SegmentVerdict::accept;
}

}  // namespace l4n::stack
