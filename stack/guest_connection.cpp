#include "stack/guest_connection.hpp"

#include <algorithm>

#include "lwip/priv/tcp_priv.h"
#include "stack/guest_tcp.hpp"

namespace l4n::stack {
namespace {

// Received pieces that fill less of their 64 KiB buffer than this are moved out by compact().
constexpr std::size_t kSparse = 16 * 1024;

bool is_frame_buffer(const pbuf* p) noexcept { return (p->flags & PBUF_FLAG_IS_CUSTOM) != 0; }

// Forgets the consumed head of a queue that is kept as a vector, and the memory of one that has grown.
template <class T>
void drop_head(std::vector<T>& queue, std::size_t& first) {
  constexpr std::size_t kIdleCapacity = 16;
  if (first == queue.size()) {
    queue.clear();
    first = 0;
    if (queue.capacity() > kIdleCapacity) {
      std::vector<T>().swap(queue);
    }
  } else if (first > kIdleCapacity && first * 2 > queue.size()) {
    queue.erase(queue.begin(), queue.begin() + static_cast<std::ptrdiff_t>(first));
    first = 0;
  }
}

std::uint32_t grown(std::uint32_t cap) noexcept { return std::min(cap * 2, GuestConnection::kLargestCap); }

}  // namespace

GuestConnection::~GuestConnection() {
  reset();
  tcp_.stop_ticking(*this);
}

// --- guest to host ---

void GuestConnection::on_received(pbuf* p) noexcept {
  while (p != nullptr) {
    // Keep the pieces one by one: each is freed when the host has taken it.
    pbuf* next = p->next;
    p->next = nullptr;
    p->tot_len = p->len;
    if (p->len == 0) {
      pbuf_free(p);
    } else {
      received_bytes_ += p->len;
      received_.push_back(p);
    }
    p = next;
  }
}

std::size_t GuestConnection::peek(std::span<iovec> parts) const noexcept {
  const std::size_t count = std::min(parts.size(), received_.size() - first_received_);
  for (std::size_t i = 0; i < count; ++i) {
    const pbuf* p = received_[first_received_ + i];
    parts[i] = {p->payload, p->len};
  }
  return count;
}

void GuestConnection::drop_first_received() noexcept {
  pbuf_free(received_[first_received_]);
  ++first_received_;
}

void GuestConnection::consume(std::size_t n) noexcept {
  received_bytes_ -= n;
  window_credit_ += static_cast<std::uint32_t>(n);
  while (n > 0) {
    pbuf* p = received_[first_received_];
    if (n < p->len) {
      pbuf_remove_header(p, n);
      break;
    }
    n -= p->len;
    drop_first_received();
  }
  drop_head(received_, first_received_);
  return_window();
}

// lwIP's own tcp_recved() does not fit: it holds an update back until the window has opened by pcb->mss,
// which is a super-segment here, and that starves a guest without window scaling.
void GuestConnection::return_window() noexcept {
  if (pcb_ == nullptr || window_credit_ < receive_cap_ / 4) {
    return;
  }
  const std::uint32_t window_before = pcb_->rcv_wnd;
  pcb_->rcv_wnd += window_credit_;
  window_credit_ = 0;
  // The guest used more than half of its window and the host has taken everything: the window is what
  // limits the flow.
  const bool scaled = (pcb_->flags & TF_WND_SCALE) != 0;
  if (scaled && received_bytes_ == 0 && window_before < receive_cap_ / 2) {
    const std::uint32_t cap = grown(receive_cap_);
    pcb_->rcv_wnd += cap - receive_cap_;
    receive_cap_ = cap;
  }
  pcb_->rcv_ann_wnd = pcb_->rcv_wnd;
  tcp_ack_now(pcb_);
}

void GuestConnection::compact() noexcept {
  for (std::size_t i = first_received_; i < received_.size(); ++i) {
    pbuf* p = received_[i];
    if (!is_frame_buffer(p) || p->len >= kSparse) {
      continue;
    }
    pbuf* dense = pbuf_alloc(PBUF_RAW, p->len, PBUF_RAM);
    if (dense == nullptr) {
      return;
    }
    std::memcpy(dense->payload, p->payload, p->len);
    pbuf_free(p);
    received_[i] = dense;
  }
}

// --- host to guest ---

bool GuestConnection::may_send() const noexcept {
  return pcb_ != nullptr && state_ == State::established && !finish_called_ && postponed_.empty();
}

std::size_t GuestConnection::room() const noexcept {
  if (!may_send()) {
    return 0;
  }
  const std::uint32_t queued = pcb_->snd_lbb - pcb_->lastack;
  const std::uint32_t window = std::min({pcb_->snd_wnd, pcb_->cwnd, send_cap_});
  if (queued >= window || pcb_->snd_queuelen >= TCP_SND_QUEUELEN / 2) {
    return 0;
  }
  // Avoid small segments while larger ones are on their way (RFC 9293 3.8.6.2.1).
  const std::uint32_t room = window - queued;
  return room < mss_ && queued > 0 ? 0 : room;
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
  if (tcp_write(pcb_, buffer->data.data(), size, copy ? TCP_WRITE_FLAG_COPY : 0) != ERR_OK) {
    return false;
  }
  if (!copy) {
    sent_.push_back({std::move(buffer), size});
  } else if (first_sent_ < sent_.size() && sent_.back().buffer == nullptr) {
    sent_.back().bytes += size;
  } else {
    sent_.push_back({nullptr, size});
  }
  return true;
}

void GuestConnection::write(FrameBufferPtr buffer) noexcept {
  if (pcb_ == nullptr || buffer->size == 0) {
    return;
  }
  const bool copy = buffer->size <= kCopyLimit;
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
    head.bytes -= part;
    bytes -= part;
    if (head.bytes == 0) {
      head.buffer.reset();
      ++first_sent_;
    }
  }
  drop_head(sent_, first_sent_);
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

void GuestConnection::reset() noexcept {
  if (pcb_ != nullptr) {
    tcp_pcb* pcb = pcb_;
    pcb_ = nullptr;
    tcp_err(pcb, nullptr);
    tcp_recv(pcb, nullptr);
    tcp_sent(pcb, nullptr);
    tcp_abort(pcb);
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
  while (first_received_ < received_.size()) {
    drop_first_received();
  }
  drop_head(received_, first_received_);
  received_bytes_ = 0;
  sent_.clear();
  first_sent_ = 0;
  postponed_.clear();
}

}  // namespace l4n::stack
