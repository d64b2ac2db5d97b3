// Which segments of an existing connection lwIP may see.
//
// lwIP 2.2.1 is lenient where RFC 9293 3.10.7.4 and RFC 5961 are not: it delivers data without the ACK flag,
// takes acknowledgments beyond what was sent, and reads ACK and window from segments outside the window.
// This pure function stands in front of it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stack/packet.hpp"

namespace l4n::stack {

// The part of a connection's state that the decision needs, named as in RFC 9293 3.3.1.
struct TcpView {
  std::uint32_t rcv_nxt = 0;
  std::uint32_t rcv_wnd = 0;
  std::uint32_t snd_una = 0;
  std::uint32_t snd_nxt = 0;
  std::uint32_t max_snd_wnd = 0;  // the largest window the guest ever announced (RFC 5961 5.2)
  bool syn_received = false;      // SYN-RECEIVED state
};

enum class SegmentVerdict {
  accept,
  drop,            // silently
  acknowledge,     // answer with an ACK of what we expect ("challenge ACK"), and drop
  resend_syn_ack,  // the guest's SYN again: our SYN-ACK was lost
};

[[nodiscard]] SegmentVerdict judge_segment(const TcpHeader& tcp, std::size_t payload_size,
                                           const TcpView& view) noexcept;

// The same in SYN-SENT (RFC 9293 3.10.7.3), where we have sent the SYN and `snd_nxt` is what acknowledges it.
[[nodiscard]] SegmentVerdict judge_syn_sent(const TcpHeader& tcp, std::uint32_t snd_nxt) noexcept;

// Sequence number comparison modulo 2^32 (RFC 9293 3.4).
[[nodiscard]] constexpr bool seq_before(std::uint32_t a, std::uint32_t b) noexcept {
  return static_cast<std::int32_t>(a - b) < 0;
}

}  // namespace l4n::stack
