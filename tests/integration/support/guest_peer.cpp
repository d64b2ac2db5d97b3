#include "tests/integration/support/guest_peer.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>

namespace l4n::integration {
namespace {

// RFC 6298 2.1, and what a guest knows about so short a way after the handshake.
constexpr sys::Duration kSynTimeout = std::chrono::seconds(1);
constexpr sys::Duration kTimeout = std::chrono::milliseconds(250);
constexpr unsigned kLargestBackoff = 7;

// Comparison modulo 2^32 (RFC 9293 3.4).
bool before(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) < 0; }

}  // namespace

GuestPeer::GuestPeer(const sys::Clock& clock, Send send, bool vnet, const PeerOptions& options)
    : clock_(clock),
      send_(std::move(send)),
      options_(options),
      snd_una_(options.isn),
      snd_nxt_(options.isn),
      snd_max_(options.isn),
      recover_(options.isn),
      vnet_(vnet) {}

// --- application ---

void GuestPeer::connect() {
  state_ = State::syn_sent;
  snd_nxt_ = options_.isn;
  raw(make_syn(Flags::kSyn));
  snd_nxt_ = options_.isn + 1;
  arm();
}

void GuestPeer::listen() { state_ = State::listening; }

TcpSegment GuestPeer::make_syn(std::uint8_t flags) const {
  TcpSegment syn = make(flags);
  syn.seq = options_.isn;
  if (options_.mss) {
    append(syn.options, mss_option(*options_.mss));
  }
  if (options_.window_scale) {
    append(syn.options, window_scale_option(*options_.window_scale));
  }
  syn.window = static_cast<std::uint16_t>(std::min<std::uint32_t>(window(), 0xffff));
  return syn;
}

void GuestPeer::send(sys::Bytes data) {
  append(output_, data);
  output();
}

void GuestPeer::finish() {
  fin_queued_ = true;
  output();
}

void GuestPeer::reset() {
  TcpSegment segment = make(Flags::kRst | Flags::kAck);
  segment.seq = snd_una_;
  raw(segment);
  state_ = State::reset;
  deadline_.reset();
}

void GuestPeer::vanish() {
  options_.acknowledges = false;
  deadline_.reset();
}

void GuestPeer::read(std::size_t bytes) {
  const std::uint32_t before_reading = window();
  read_ = std::min(received_.size(), read_ + bytes);
  // RFC 9293 3.8.6.2.2: tell when the window has opened by a segment or by half the buffer.
  const std::uint32_t step = std::min<std::uint32_t>(options_.buffer / 2, 1460);
  if (established() && options_.acknowledges && window() > before_reading && before_reading < step) {
    acknowledge();
  }
}

void GuestPeer::set_reads(bool reads) {
  options_.reads = reads;
  if (reads) {
    read(received_.size());
  }
}

// --- segments ---

std::uint8_t GuestPeer::scale_of_ours() const noexcept {
  return scaling_ ? options_.window_scale.value_or(0) : std::uint8_t{0};
}

std::uint32_t GuestPeer::window() const noexcept {
  if (fixed_window_) {
    return *fixed_window_;
  }
  const auto unread = static_cast<std::uint32_t>(received_.size() - read_);
  const std::uint32_t free = options_.buffer - std::min(options_.buffer, unread);
  // Never move the right edge back.
  const std::uint32_t promised =
      state_ == State::established && before(rcv_nxt_, announced_edge_) ? announced_edge_ - rcv_nxt_ : 0;
  return std::max(free, promised);
}

TcpSegment GuestPeer::make(std::uint8_t flags, sys::Bytes payload) const {
  TcpSegment s;
  s.source_port = options_.local.port;
  s.destination_port = options_.remote.port;
  s.seq = snd_nxt_;
  s.ack = (flags & Flags::kAck) != 0 ? rcv_nxt_ : 0;
  s.flags = flags;
  s.window = static_cast<std::uint16_t>(std::min<std::uint32_t>(window() >> scale_of_ours(), 0xffff));
  append(s.payload, payload);
  return s;
}

void GuestPeer::note_sent(const TcpSegment& segment) {
  const std::uint32_t end = segment.seq + segment.length();
  if (!before(snd_max_, segment.seq) && before(snd_max_, end)) {
    snd_max_ = end;
  }
}

void GuestPeer::raw(const TcpSegment& segment) {
  note_sent(segment);
  if (segment.has(Flags::kAck)) {
    const std::uint32_t edge = segment.ack + (std::uint32_t{segment.window} << scale_of_ours());
    announced_edge_ = before(announced_edge_, edge) ? edge : announced_edge_;
  }
  const bool partial = vnet_ && options_.checksum_offload;
  stack::VnetHeader vnet = partial ? partial_checksum(20, 16) : stack::VnetHeader{};
  const std::size_t mss = std::min<std::size_t>(options_.mss.value_or(536), remote_mss_);
  if (vnet_ && segment.payload.size() > mss) {
    vnet.gso_type = stack::VnetHeader::kGsoTcp4;
    vnet.gso_size = static_cast<std::uint16_t>(mss);
    vnet.header_length = 54;
  }
  send_(ip_frame(tcp_packet(options_.local.address, options_.remote.address, segment, partial)), vnet);
}

void GuestPeer::acknowledge() { raw(make(Flags::kAck)); }

// --- sending ---

std::uint32_t GuestPeer::end_of_output() const noexcept {
  return options_.isn + 1 + static_cast<std::uint32_t>(output_.size()) + (fin_queued_ ? 1U : 0U);
}

std::size_t GuestPeer::segment_limit() const noexcept {
  const std::size_t mss = std::min<std::size_t>(remote_mss_, 0xffff - 40);
  return options_.largest_segment != 0 ? options_.largest_segment : mss;
}

Data GuestPeer::output_at(std::uint32_t seq, std::size_t limit) const {
  const std::size_t offset = seq - (options_.isn + 1);
  const std::size_t n = offset < output_.size() ? std::min(limit, output_.size() - offset) : 0;
  const auto from = output_.begin() + static_cast<std::ptrdiff_t>(std::min(offset, output_.size()));
  return {from, from + static_cast<std::ptrdiff_t>(n)};
}

// One segment from `seq` on, with the FIN when it reaches the end.
void GuestPeer::send_from(std::uint32_t seq, std::size_t limit) {
  TcpSegment segment = make(Flags::kAck, output_at(seq, limit));
  segment.seq = seq;
  if (!segment.payload.empty()) {
    segment.flags |= Flags::kPsh;
  }
  const std::uint32_t end = seq + static_cast<std::uint32_t>(segment.payload.size());
  if (fin_queued_ && end == end_of_output() - 1) {
    segment.flags |= Flags::kFin;
  }
  raw(segment);
  const std::uint32_t next = seq + segment.length();
  snd_nxt_ = before(snd_nxt_, next) ? next : snd_nxt_;
}

void GuestPeer::output() {
  if (!established() || !options_.acknowledges) {
    return;
  }
  while (before(snd_nxt_, end_of_output())) {
    const std::uint32_t edge = snd_una_ + snd_wnd_;
    const std::uint32_t usable = before(snd_nxt_, edge) ? edge - snd_nxt_ : 0;
    const bool only_fin = snd_nxt_ == end_of_output() - 1 && fin_queued_;
    if (usable == 0 && !only_fin) {
      break;
    }
    send_from(snd_nxt_, std::min<std::size_t>(usable, segment_limit()));
  }
  arm();
}

void GuestPeer::arm() noexcept {
  const bool waiting = snd_una_ != snd_nxt_ || (established() && before(snd_nxt_, end_of_output()));
  if (!waiting || !options_.acknowledges || state_ == State::reset) {
    deadline_.reset();
  } else if (!deadline_) {
    const sys::Duration first = state_ == State::syn_sent ? kSynTimeout : kTimeout;
    deadline_ = clock_.now() + first * (1U << std::min(backoff_, kLargestBackoff));
  }
}

void GuestPeer::on_time(sys::Time now) {
  if (!deadline_ || now < *deadline_) {
    return;
  }
  deadline_.reset();
  ++backoff_;
  ++repetitions_;
  if (state_ == State::syn_sent) {
    connect();
    return;
  }
  if (snd_una_ == snd_nxt_) {
    send_from(snd_nxt_, 1);  // a closed window: probe it
    snd_nxt_ = snd_una_;
  } else {
    recover_ = snd_nxt_;
    send_from(snd_una_, segment_limit());
  }
  arm();
}

// --- receiving ---

void GuestPeer::on_segment(const TcpSegment& segment) {
  seen_.push_back({clock_.now(), segment});
  if (headers_only_) {
    seen_.back().segment.payload = Data{};
  }
  if (segment.has(Flags::kRst)) {
    on_reset(segment);
    return;
  }
  if (segment.has(Flags::kSyn)) {
    segment.has(Flags::kAck) ? on_syn_ack(segment) : on_syn(segment);
    return;
  }
  if (state_ == State::syn_received && segment.ack == options_.isn + 1) {
    state_ = State::established;
    snd_una_ = segment.ack;
    deadline_.reset();
  }
  if (!established()) {
    return;
  }
  CHECK_MESSAGE(segment.has(Flags::kAck), "a segment without ACK");
  on_ack(segment);
  const bool takes_numbers = segment.length() > 0;
  if (!takes_numbers && before(segment.seq, rcv_nxt_) && options_.acknowledges) {
    acknowledge();  // asked whether we are there (RFC 9293 3.8.4)
    return;
  }
  if (takes_numbers) {
    CHECK_MESSAGE(on_text(segment), "data beyond the window");
  }
  const std::uint32_t sent = snd_nxt_;
  output();
  if (takes_numbers && options_.acknowledges && sent == snd_nxt_) {
    acknowledge();
  }
}

void GuestPeer::on_reset(const TcpSegment& segment) {
  if (state_ == State::idle || state_ == State::reset || (fin_received_ && fin_acknowledged())) {
    return;  // a test is at the wheel; or it is over, and this answers what was still on its way
  }
  const bool acceptable = state_ == State::syn_sent
                              ? segment.has(Flags::kAck) && segment.ack == snd_nxt_
                              : !before(segment.seq, rcv_nxt_) && !before(announced_edge_, segment.seq);
  CHECK_MESSAGE(acceptable, "a reset that a guest would ignore");
  state_ = State::reset;
  deadline_.reset();
}

// What a SYN or SYN-ACK says about its sender.
void GuestPeer::learn_peer(const TcpSegment& syn) {
  irs_ = syn.seq;
  rcv_nxt_ = syn.seq + 1;
  announced_edge_ = rcv_nxt_;
  snd_wnd_ = syn.window;  // never scaled in a SYN
  right_edge_ = snd_una_ + snd_wnd_;
  remote_mss_ = syn.mss().value_or(536);
  scaling_ = options_.window_scale && syn.window_scale();
  remote_scale_ = scaling_ ? *syn.window_scale() : std::uint8_t{0};
}

void GuestPeer::on_syn(const TcpSegment& segment) {
  if (state_ != State::listening || !options_.acknowledges) {
    return;
  }
  learn_peer(segment);
  state_ = State::syn_received;
  snd_nxt_ = options_.isn;
  TcpSegment answer = make_syn(Flags::kSyn | Flags::kAck);
  raw(answer);
  snd_nxt_ = options_.isn + 1;
}

void GuestPeer::on_syn_ack(const TcpSegment& segment) {
  if (state_ != State::syn_sent) {
    if (established() && options_.acknowledges) {
      acknowledge();
    }
    return;
  }
  CHECK(segment.ack == options_.isn + 1);
  snd_una_ = segment.ack;
  learn_peer(segment);
  state_ = State::established;
  deadline_.reset();
  backoff_ = 0;
  if (options_.acknowledges) {
    acknowledge();
    output();
  }
}

void GuestPeer::on_ack(const TcpSegment& segment) {
  CHECK_MESSAGE(!before(snd_max_, segment.ack), "an acknowledgment of what was never sent");
  if (before(segment.ack, snd_una_)) {
    return;
  }
  snd_wnd_ = std::uint32_t{segment.window} << remote_scale_;
  // A scaled window cannot tell the last few bytes (RFC 7323 2.4).
  const std::uint32_t edge = segment.ack + snd_wnd_;
  // Nor does TIME-WAIT know the window any more.
  const bool over = fin_received_ && segment.length() == 0 && segment.window == 0;
  CHECK_MESSAGE((over || !before(edge + (1U << remote_scale_) - 1, right_edge_)),
                "the window was taken back");
  right_edge_ = before(right_edge_, edge) ? edge : right_edge_;
  if (before(snd_una_, segment.ack)) {
    snd_una_ = segment.ack;
    snd_nxt_ = before(snd_nxt_, snd_una_) ? snd_una_ : snd_nxt_;
    backoff_ = 0;
    deadline_.reset();
    if (before(snd_una_, recover_)) {
      send_from(snd_una_, segment_limit());
    }
  }
  if (snd_wnd_ > 0) {
    backoff_ = 0;
  }
  arm();
}

// False when the data lies beyond what was announced; one byte may, as a probe.
bool GuestPeer::on_text(const TcpSegment& segment) {
  const std::uint32_t end = segment.seq + static_cast<std::uint32_t>(segment.payload.size());
  const bool probe = segment.payload.size() == 1 && segment.seq == announced_edge_;
  if (before(announced_edge_, end) && !probe) {
    return false;
  }
  const bool refused = probe && window() == 0;
  if (before(rcv_nxt_, segment.seq)) {
    out_of_order_.insert_or_assign(segment.seq - irs_, segment);
  } else if (!refused) {
    take(segment);
  }
  while (!out_of_order_.empty() && !before(rcv_nxt_, out_of_order_.begin()->second.seq)) {
    take(out_of_order_.begin()->second);
    out_of_order_.erase(out_of_order_.begin());
  }
  if (options_.reads) {
    read_ = received_.size();
  }
  return true;
}

// What is new in a segment that begins at or before what is expected.
void GuestPeer::take(const TcpSegment& segment) {
  const std::uint32_t known = rcv_nxt_ - segment.seq;
  const std::size_t offset = segment.seq - (irs_ + 1);
  const std::size_t repeated = std::min<std::size_t>(known, segment.payload.size());
  if (offset + repeated <= received_.size()) {
    const auto at = received_.begin() + static_cast<std::ptrdiff_t>(offset);
    CHECK_MESSAGE(std::equal(segment.payload.begin(),
                             segment.payload.begin() + static_cast<std::ptrdiff_t>(repeated), at),
                  "bytes changed when they were repeated");
  }
  if (known < segment.length() && !fin_received_) {
    append(received_, sys::Bytes(segment.payload).subspan(repeated));
    fin_received_ = segment.has(Flags::kFin);
    rcv_nxt_ = segment.seq + segment.length();
  }
}

}  // namespace l4n::integration
