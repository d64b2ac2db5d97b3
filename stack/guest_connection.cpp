#include "stack/guest_connection.hpp"

#include <algorithm>

#include "lwip/priv/tcp_priv.h"
#include "stack/guest_tcp.hpp"
#include "stack/queue_head.hpp"

namespace l4n::stack {
namespace {

// While memory is short, pieces up to this are copied toward the guest: less would waste most of a 64 KiB
// buffer.
constexpr std::size_t kSparse = 32 * 1024;

// What it costs to hold `size` bytes for the guest: a buffer, or lwIP's copy with pbuf, headers and tcp_seg.
std::size_t cost_of(std::size_t size, bool copy) noexcept {
  constexpr std::size_t kBesides = 256;
  return copy ? size + kBesides : sizeof(FrameBuffer);
}

std::uint32_t grown(std::uint32_t cap) noexcept { return std::min(cap * 2, GuestConnection::kLargestCap); }

}  // namespace

GuestConnection::GuestConnection(GuestTcp& tcp, ConnectionObserver& observer) noexcept
    : tcp_(tcp),
      observer_(observer),
      receive_memory_(tcp.memory_),
      send_memory_(tcp.memory_),
      received_(receive_memory_) {}

GuestConnection::~GuestConnection() {
  reset();
  tcp_.stop_ticking(*this);
}

// --- guest to host ---

void GuestConnection::consume(std::size_t n) noexcept {
  received_.consume(n);
  window_credit_ += static_cast<std::uint32_t>(n);
  return_window();
}

// lwIP's own tcp_recved() does not fit: it holds an update back until the window has opened by pcb->mss,
// which is a super-segment here, and that starves a guest without window scaling.
void GuestConnection::return_window() noexcept {
  const std::uint32_t step = receive_cap_ / 4;
  if (pcb_ == nullptr || window_credit_ < step) {
    return;
  }
  const std::size_t most = receive_memory_.promisable(pcb_->rcv_wnd);
  const auto opened = static_cast<std::uint32_t>(std::min<std::size_t>(window_credit_, most));
  if (opened < window_credit_) {
    ++tcp_.counters_.windows_withheld;
    // Also what is less than it should be does not come in silly pieces (RFC 9293 3.8.6.2.2).
    if (opened < std::min<std::size_t>(step, receive_memory_.budget().threshold() / 4)) {
      return;
    }
  }
  const std::uint32_t window_before = pcb_->rcv_wnd;
  pcb_->rcv_wnd += opened;
  window_credit_ -= opened;
  // The guest used more than half of its window and the host has taken everything: the window is what
  // limits the flow.
  const bool scaled = (pcb_->flags & TF_WND_SCALE) != 0;
  const std::uint32_t more = grown(receive_cap_) - receive_cap_;
  if (scaled && received_.bytes() == 0 && window_before < receive_cap_ / 2 && opened + more <= most) {
    pcb_->rcv_wnd += more;
    receive_cap_ += more;
  }
  pcb_->rcv_ann_wnd = pcb_->rcv_wnd;
  tcp_ack_now(pcb_);
}

// --- host to guest ---

bool GuestConnection::may_send() const noexcept {
  return pcb_ != nullptr && state_ == State::established && !finish_called_ && postponed_.empty();
}

// What the guest takes and the flow may have on its way, whatever the memory.
std::size_t GuestConnection::window_room() const noexcept {
  if (!may_send()) {
    return 0;
  }
  const std::uint32_t queued = pcb_->snd_lbb - pcb_->lastack;
  const std::uint32_t window = std::min({pcb_->snd_wnd, pcb_->cwnd, send_cap_});
  const bool full = queued >= window || pcb_->snd_queuelen >= TCP_SND_QUEUELEN / 2;
  return full ? 0 : window - queued;
}

// Avoid small segments while larger ones are on their way (RFC 9293 3.8.6.2.1).
bool GuestConnection::is_worth_sending(std::size_t room) const noexcept {
  return room >= mss_ || pcb_->snd_lbb == pcb_->lastack;
}

std::size_t GuestConnection::room() const noexcept {
  const std::size_t room = std::min(window_room(), send_memory_.promisable());
  return room > 0 && is_worth_sending(room) ? room : 0;
}

bool GuestConnection::short_of_memory() const noexcept {
  const std::size_t wanted = window_room();
  return wanted > 0 && is_worth_sending(wanted) && room() == 0;
}

std::size_t GuestConnection::write_size() const noexcept {
  // lwIP makes no segment larger than half the largest window that the guest ever announced.
  const std::size_t half_window = pcb_->snd_wnd_max / 2;
  const std::size_t largest = std::min({static_cast<std::size_t>(pcb_->mss), half_window, room()});
  return largest >= mss_ ? largest / mss_ * mss_ : std::min<std::size_t>(room(), mss_);
}

std::size_t GuestConnection::probe_room() const noexcept {
  // One byte, the most that lwIP probes with: of a longer piece the guest could acknowledge the beginning,
  // which lwIP would then send for ever to a guest whose window stays at that.
  constexpr std::size_t kProbe = 1;
  const bool nothing_queued = may_send() && pcb_->snd_lbb == pcb_->lastack;
  return nothing_queued && pcb_->snd_wnd == 0 ? kProbe : 0;
}

bool GuestConnection::queue_write(FrameBufferPtr& buffer, bool copy) noexcept {
  const auto size = static_cast<u16_t>(buffer->size);
  const std::size_t cost = cost_of(size, copy);
  if (tcp_write(pcb_, buffer->data.data(), size, copy ? TCP_WRITE_FLAG_COPY : 0) != ERR_OK) {
    return false;
  }
  if (!copy) {
    sent_.push_back({std::move(buffer), size, cost});
  } else if (first_sent_ < sent_.size() && sent_.back().buffer == nullptr) {
    sent_.back().bytes += size;
    sent_.back().charged += cost;
  } else {
    sent_.push_back({nullptr, size, cost});
  }
  return true;
}

void GuestConnection::write(FrameBufferPtr buffer) noexcept {
  if (pcb_ == nullptr || buffer->size == 0) {
    return;
  }
  const std::size_t most = send_memory_.budget().under_pressure() ? kSparse : kCopyLimit;
  const bool copy = buffer->size <= most;
  send_memory_.charge(cost_of(buffer->size, copy));
  if (!postponed_.empty() || !queue_write(buffer, copy)) {
    postponed_.push_back({std::move(buffer), copy});
  }
}

void GuestConnection::retry_postponed() noexcept {
  while (!postponed_.empty() && queue_write(postponed_.front().buffer, postponed_.front().copy)) {
    postponed_.erase(postponed_.begin());
  }
}

void GuestConnection::on_acknowledged(std::size_t bytes) noexcept {
  // The cap was what limited the flow, not the guest's window: let it grow.
  if (sent_.size() - first_sent_ > 1 && pcb_->snd_lbb - pcb_->lastack + bytes + pcb_->mss > send_cap_ &&
      pcb_->snd_wnd > send_cap_) {
    send_cap_ = grown(send_cap_);
  }
  while (bytes > 0 && first_sent_ < sent_.size()) {
    Sent& head = sent_[first_sent_];
    const std::size_t part = std::min(bytes, head.bytes);
    acknowledged(head, part);
    bytes -= part;
    if (head.bytes == 0) {
      head.buffer.reset();
      ++first_sent_;
    }
  }
  drop_head(sent_, first_sent_);
}

// A buffer is charged until its last byte is acknowledged, copies are given back piece by piece.
void GuestConnection::acknowledged(Sent& head, std::size_t bytes) noexcept {
  std::size_t given_back = head.charged;
  if (bytes < head.bytes) {
    const std::uint64_t share = std::uint64_t{head.charged} * bytes / head.bytes;
    given_back = head.buffer != nullptr ? 0 : static_cast<std::size_t>(share);
  }
  send_memory_.release(given_back);
  head.charged -= given_back;
  head.bytes -= bytes;
}

void GuestConnection::flush() noexcept {
  if (pcb_ == nullptr) {
    return;
  }
  if (!postponed_.empty()) {
    retry_postponed();
  }
  tcp_output(pcb_);
  tcp_.update_ticking(*this);
}

void GuestConnection::finish() noexcept {
  if (pcb_ == nullptr || finish_called_) {
    return;
  }
  retry_postponed();
  if (!postponed_.empty()) {
    return;  // without memory; the caller comes again
  }
  finish_called_ = true;
  // Not tcp_close(): it sends a reset when the receive window is not at its maximum, which is the rule here.
  tcp_shutdown(pcb_, 0, 1);
  tcp_.update_ticking(*this);
}

void GuestConnection::keep_alive() noexcept {
  if (pcb_ != nullptr) {
    tcp_keepalive(pcb_);
  }
}

void GuestConnection::reset() noexcept {
  if (pcb_ != nullptr) {
    tcp_pcb* pcb = pcb_;
    pcb_ = nullptr;
    tcp_err(pcb, nullptr);
    tcp_recv(pcb, nullptr);
    tcp_sent(pcb, nullptr);
    tcp_abort(pcb);
    tcp_.stop_ticking(*this);  // the next tick may come before the connection is destroyed
  }
  close_with(End::none);
}

// lwIP has freed the pcb, or is about to. Its segments may still be in use until it returns, so the buffers
// are kept until the connection is destroyed or reset.
void GuestConnection::on_gone(End end) noexcept {
  pcb_ = nullptr;
  state_ = State::closed;
  end_ = end;
}

void GuestConnection::close_with(End end) noexcept {
  if (state_ != State::closed) {
    state_ = State::closed;
    end_ = end;
  }
  release_buffers();
}

void GuestConnection::release_buffers() noexcept {
  received_.clear();
  sent_.clear();
  first_sent_ = 0;
  postponed_.clear();
  send_memory_.release(send_memory_.held());
}

}  // namespace l4n::stack
