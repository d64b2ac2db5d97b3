#include "fuzz/world/guest_life.hpp"

#include <algorithm>

#include "fuzz/engine/oracle.hpp"
#include "fuzz/world/host_ends.hpp"

namespace l4n::fuzz {
namespace {

using integration::Flags;
using integration::TcpSegment;

// Comparison modulo 2^32 (RFC 9293 3.4).
bool before(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) < 0; }

// What lies further ahead of a stream than any window belongs to another connection on the same ports.
constexpr std::uint32_t kAhead = 16U * 1024 * 1024;

}  // namespace

GuestLife::GuestLife(std::uint8_t number, const sys::Endpoint& local, const sys::Endpoint& remote,
                     std::uint32_t isn, std::optional<std::uint8_t> window_scale)
    : number_(number),
      local_(local),
      remote_(remote),
      isn_(isn),
      window_scale_(window_scale),
      snd_una_(isn) {}

bool GuestLife::may_end_at(std::size_t offset) const noexcept {
  return offset <= sent() && !fins_.empty() && *fins_.begin() <= offset;
}

std::uint32_t GuestLife::acknowledged() const noexcept {
  if (!answered_) {
    return 0;
  }
  const std::uint32_t numbers = snd_una_ - isn_ - 1;
  const bool with_fin = !fins_.empty() && *fins_.begin() < numbers;
  return std::min(numbers - (with_fin ? 1U : 0U), sent());
}

bool GuestLife::is_orderly() const noexcept {
  return !claimed_too_much_ && !before(snd_una_, isn_ + 1 + furthest_);
}

void GuestLife::note_sent(const TcpSegment& segment) {
  claimed_too_much_ = claimed_too_much_ || (segment.has(Flags::kAck) && before(rcv_nxt_, segment.ack));
  // Behind the SYN's own number.
  std::uint32_t offset = segment.seq - isn_ - (segment.has(Flags::kSyn) ? 0U : 1U);
  auto size = static_cast<std::uint32_t>(segment.payload.size());
  if (const std::uint32_t ahead_of_stream = 0U - offset; ahead_of_stream < kAhead && offset != 0) {
    if (size + (segment.has(Flags::kFin) ? 1U : 0U) <= ahead_of_stream) {
      return;
    }
    size -= ahead_of_stream;
    offset = 0;
  }
  if (offset > kAhead) {
    return;  // no window reaches as far
  }
  sent_.add(offset, size);
  furthest_ = std::max(furthest_, offset + size + (segment.has(Flags::kFin) ? 1U : 0U));
  if (segment.has(Flags::kFin)) {
    fins_.insert(offset + size);
  }
}

// A SYN that comes again tells the same again, before anything else. Or the connection before was over, and
// this is another one, perhaps with the same number: there is a clock in it.
void GuestLife::learn(const TcpSegment& syn) {
  answered_ = true;
  reset_ = false;
  peer_finished_ = false;
  received_ = {};
  host_.reset();
  irs_ = syn.seq;
  rcv_nxt_ = irs_ + 1;
  snd_una_ = isn_ + 1;
  const auto scale = syn.window_scale();
  peer_scale_ = window_scale_ && scale ? *scale : std::uint8_t{0};
  right_edge_ = snd_una_ + syn.window;
}

void GuestLife::on_syn(const TcpSegment& syn) { learn(syn); }

bool GuestLife::on_syn_ack(const TcpSegment& segment) {
  if (segment.ack != isn_ + 1) {
    return false;
  }
  learn(segment);
  return true;
}

void GuestLife::on_segment(const TcpSegment& segment, HostEnds& hosts) {
  FUZZ_REQUIRE(segment.has(Flags::kAck), "a segment without an acknowledgment is sent");
  check_acknowledgment(segment);
  check_window(segment);
  check_text(segment, hosts);
  snd_una_ = before(snd_una_, segment.ack) ? segment.ack : snd_una_;
}

void GuestLife::check_acknowledgment(const TcpSegment& segment) const {
  const std::uint32_t last_fin = fins_.empty() || *fins_.begin() > sent() ? 0 : 1;
  const std::uint32_t limit = isn_ + 1 + sent() + last_fin;
  FUZZ_REQUIRE(!before(limit, segment.ack), "what was never sent is acknowledged: {} bytes too many",
               segment.ack - limit);
}

void GuestLife::check_window(const TcpSegment& segment) {
  const std::uint32_t edge = segment.ack + (std::uint32_t{segment.window} << peer_scale_);
  // TIME-WAIT does not know the window any more.
  const bool over = peer_finished_ && segment.length() == 0 && segment.window == 0;
  // A scaled window cannot tell the last few bytes (RFC 7323 2.4).
  FUZZ_REQUIRE(over || !before(edge + (1U << peer_scale_) - 1, right_edge_),
               "the right edge of the window moves back by {} bytes", right_edge_ - edge);
  right_edge_ = before(right_edge_, edge) ? edge : right_edge_;
}

void GuestLife::check_text(const TcpSegment& segment, HostEnds& hosts) {
  const std::uint32_t offset = segment.seq - irs_ - 1;
  const auto size = static_cast<std::uint32_t>(segment.payload.size());
  if (size > 0) {
    if (!host_ && offset > 0) {
      return;  // the first byte, which names the sender, was lost at a full interface
    }
    if (!host_) {
      host_ = hosts.sender_of(segment.payload.front());
    }
    hosts.check_written(*host_, offset, segment.payload);
    received_.add(offset, size);
  }
  if (segment.has(Flags::kFin)) {
    hosts.check_finished(host_, offset + size);
    peer_finished_ = true;
  }
  const bool ends = segment.has(Flags::kFin) && received_.contiguous() == offset + size;
  const std::uint32_t next = irs_ + 1 + received_.contiguous() + (ends ? 1U : 0U);
  rcv_nxt_ = before(rcv_nxt_, next) ? next : rcv_nxt_;
}

}  // namespace l4n::fuzz
