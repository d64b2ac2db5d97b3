#include "nat/tcp_flow.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include "nat/tcp_nat.hpp"

namespace l4n::nat {
namespace {

// Bytes per direction that one flow may move in one turn.
constexpr std::size_t kTurnBudget = 256 * 1024;
constexpr std::size_t kMostParts = 64;

constexpr sys::Duration kConnectTime = std::chrono::seconds(30);
// A DNS server that does not answer makes way for the next one sooner than the guest's resolver gives up.
constexpr sys::Duration kDnsConnectTime = std::chrono::seconds(2);

bool legal(TcpFlow::State from, TcpFlow::State to) noexcept {
  using State = TcpFlow::State;
  switch (from) {
    case State::connecting:
      return to == State::opening || to == State::closed;
    case State::opening:
      return to == State::relaying || to == State::closed;
    case State::relaying:
      return to == State::closed;
    case State::closed:
      return false;
  }
  return false;
}

stack::TcpHeader syn_header(const stack::HeldSyn& syn) noexcept {
  stack::TcpHeader header;
  header.seq = syn.isn;
  header.flags = stack::TcpFlags::kSyn;
  return header;
}

}  // namespace

std::vector<std::byte> to_quote(sys::Bytes packet) {
  constexpr std::size_t kMostQuoted = 1280;
  const sys::Bytes head = packet.first(std::min(packet.size(), kMostQuoted));
  return {head.begin(), head.end()};
}

TcpFlow::TcpFlow(TcpNat& nat, Handle handle, Attempt attempt)
    : nat_(nat),
      handle_(handle),
      key_(attempt.syn.key),
      attempt_(std::make_unique<Attempt>(std::move(attempt))),
      guest_(nat.guest_tcp(), *this),
      timer_(nat.timers(), *this) {}

TcpFlow::TcpFlow(TcpNat& nat, Handle handle, const stack::FlowKey& key, std::unique_ptr<HostStream> client)
    : nat_(nat),
      handle_(handle),
      key_(key),
      host_(std::move(client)),
      guest_(nat.guest_tcp(), *this),
      timer_(nat.timers(), *this) {
  host_->observe(*this);
}

void TcpFlow::transition(State next) noexcept {
  if (!legal(state_, next)) {
    std::abort();  // a flow in the wrong state would mix up connections
  }
  const bool was_attempt = state_ == State::connecting || state_ == State::opening;
  state_ = next;
  if (was_attempt && next != State::opening) {
    nat_.attempt_over(*this);
  }
}

void TcpFlow::start() {
  if (attempt_) {
    connect_next(0);
  } else if (const auto mac = nat_.neighbours().resolve(key_.guest().address, *this)) {
    on_neighbour(mac);
  }
}

// --- connecting ---

// Tries the next target; `error` is why the last one failed, 0 for none.
void TcpFlow::connect_next(int error) noexcept {
  while (next_target_ < attempt_->targets.size()) {
    const HostTarget& target = attempt_->targets[next_target_++];
    auto stream = nat_.connect(target, *this);
    if (stream) {
      host_ = *std::move(stream);
      timer_.arm(attempt_->dns ? kDnsConnectTime : kConnectTime);
      nat_.mark_dirty(*this);
      return;
    }
    error = stream.error().code;
  }
  refuse(error);
}

void TcpFlow::check_connect() noexcept {
  if (host_->phase() == HostStream::Phase::connected) {
    open_guest();
  } else if (host_->phase() == HostStream::Phase::failed) {
    connect_next(host_->connect_error());
  }
}

void TcpFlow::on_timer() noexcept {
  if (state_ == State::connecting) {
    connect_next(ETIMEDOUT);
  } else {
    watch_silence();
  }
}

void TcpFlow::open_guest() noexcept {
  timer_.cancel();
  if (attempt_->dns) {
    nat_.resolver_answered(attempt_->targets[next_target_ - 1]);
  }
  transition(State::opening);
  if (!nat_.guest_tcp().open(guest_, attempt_->syn)) {
    close();
    return;
  }
  attempt_.reset();
}

// The guest of a forwarded connection was found, or not.
void TcpFlow::on_neighbour(const std::optional<stack::MacAddress>& mac) noexcept {
  if (!mac) {
    abandon();
    return;
  }
  transition(State::opening);
  if (!nat_.guest_tcp().connect(guest_, key_, *mac)) {
    abandon();
  }
}

// Tells the guest why there is no connection (RFC 792, RFC 1122 4.2.3.9).
void TcpFlow::refuse(int error) noexcept {
  if (host_ && host_->connect_failure()) {
    nat_.send_host_error(attempt_->syn.mac, *host_->connect_failure(), attempt_->packet);
    close();
    return;
  }
  switch (error) {
    case 0:
    case ETIMEDOUT:
      ++nat_.counters_.attempts_timed_out;
      break;  // silence: the guest repeats its SYN, which starts us again, until it gives up itself
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case EACCES:
    case EPERM:
      nat_.send_host_error(attempt_->syn.mac, local_error(error, key_.guest().address.is_v4()),
                           attempt_->packet);
      break;
    default:
      nat_.link().send_tcp_reset(attempt_->syn.mac, key_.remote(), key_.guest(), syn_header(attempt_->syn),
                                 0);
  }
  close();
}

// --- events ---

void TcpFlow::on_early_segment(const stack::TcpSegment& segment) noexcept {
  if (!attempt_) {
    return;  // it has not heard of this connection yet
  }
  if (segment.tcp.has(stack::TcpFlags::kRst)) {
    close();
  } else if (segment.tcp.opens()) {
    attempt_->syn = stack::HeldSyn::of(segment);  // the guest's latest word counts
    attempt_->packet = to_quote(segment.packet.packet);
  }
}

void TcpFlow::on_host_event() noexcept { nat_.mark_dirty(*this); }

void TcpFlow::on_connection_change() noexcept {
  nat_.mark_dirty(*this);
  if (guest_.readable() > 0) {
    nat_.mark_fed(*this);
  }
}

void TcpFlow::pass_on() noexcept {
  begin_relaying();
  if (state_ == State::relaying && !guest_broke()) {
    to_host();
  }
}

bool TcpFlow::pump(sys::Time now) noexcept {
  more_ = false;
  last_active_ = now;
  if (state_ == State::connecting && attempt_) {
    check_connect();
  }
  begin_relaying();
  if (state_ == State::relaying) {
    relay();
  }
  return more_;
}

// --- relaying ---

// Once the guest has finished the handshake.
void TcpFlow::begin_relaying() noexcept {
  using Guest = stack::GuestConnection::State;
  if (state_ == State::opening && guest_.state() != Guest::syn_received &&
      guest_.state() != Guest::syn_sent) {
    transition(State::relaying);
    last_active_ = nat_.timers().now();
    watch_silence();
  }
}

bool TcpFlow::guest_broke() const noexcept {
  using End = stack::GuestConnection::End;
  return guest_.end() == End::reset || guest_.end() == End::lost;
}

void TcpFlow::relay() noexcept {
  if (guest_broke()) {
    abandon();
    return;
  }
  to_host();
  to_guest();
  guest_.flush();
  if (half_closed() && !watches_half_close_) {
    watches_half_close_ = true;
    timer_.arm(kHalfClosedTime);
  }
  finish_if_done();
}

// The timer is not moved with everything that happens: it looks whether its time is really over.
void TcpFlow::watch_silence() noexcept {
  const sys::Duration silence = nat_.timers().now() - last_active_;
  if (half_closed()) {
    on_half_closed_silence(silence);
  } else if (nat_.limits_.tcp_keepalive > sys::Duration::zero()) {
    on_silence(silence);
  }
}

void TcpFlow::on_half_closed_silence(sys::Duration silence) noexcept {
  if (silence < kHalfClosedTime) {
    timer_.arm(kHalfClosedTime - silence);
    return;
  }
  ++nat_.counters_.half_closed_ended;
  abandon();
}

void TcpFlow::on_silence(sys::Duration silence) noexcept {
  const sys::Duration keepalive = nat_.limits_.tcp_keepalive;
  if (silence < keepalive) {
    unanswered_probes_ = 0;
    timer_.arm(keepalive - silence);
  } else if (unanswered_probes_ == kKeepaliveProbes) {
    ++nat_.counters_.keepalive_ended;
    abandon();
  } else {
    ++unanswered_probes_;
    ++nat_.counters_.keepalive_probes;
    guest_.keep_alive();
    timer_.arm(kKeepaliveInterval);
  }
}

void TcpFlow::to_host() noexcept {
  std::size_t budget = kTurnBudget;
  while (guest_.readable() > 0 && !host_broken_ && host_->writable()) {
    if (budget == 0) {
      more_ = true;
      return;
    }
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): filled by peek()
    std::array<iovec, kMostParts> parts;
    const std::size_t count = guest_.peek(parts);
    const sys::IoResult result = host_->send(std::span(parts).first(count));
    if (result.status == sys::IoStatus::failed) {
      host_broke();
      return;
    }
    if (result.status != sys::IoStatus::done) {
      break;
    }
    guest_.consume(result.bytes);
    budget -= std::min(budget, result.bytes);
  }
  if (host_broken_) {
    guest_.consume(guest_.readable());  // nobody will ever read it
  } else if (guest_.readable() > 0) {
    guest_.compact();
  } else if (guest_.guest_finished() && !host_finished_) {
    host_finished_ = true;
    if (!host_ended_) {  // else closing the socket says the same with one call less
      host_->finish();
    }
  }
}

void TcpFlow::to_guest() noexcept {
  std::size_t budget = kTurnBudget;
  while (!host_ended_ && host_->readable()) {
    const std::size_t size = guest_.write_size();
    if (size == 0) {
      nat_.counters_.reads_paused += guest_.short_of_memory() ? 1 : 0;
      probe_guest();
      return;
    }
    if (budget == 0) {
      more_ = true;
      return;
    }
    const std::size_t wanted = std::clamp<std::size_t>(guest_.room() / size, 1, kMostWrites);
    Buffers buffers;
    const std::size_t count = take_buffers(buffers, wanted);
    if (count == 0) {
      nat_.wait_for_memory(*this);
      return;
    }
    std::array<iovec, kMostWrites> parts{};
    for (std::size_t i = 0; i < count; ++i) {
      parts[i] = {buffers[i]->data.data(), size};
    }
    const sys::IoResult result = host_->receive(std::span(parts).first(count));
    switch (result.status) {
      case sys::IoStatus::done:
        write_to_guest(buffers, size, result.bytes);
        budget -= std::min(budget, result.bytes);
        break;
      case sys::IoStatus::would_block:
        return;
      case sys::IoStatus::end:
        host_ended_ = true;
        break;
      case sys::IoStatus::failed:
        host_ended_ = true;
        host_broken_ = true;
        break;
    }
  }
  // A FIN, or a reset after what could still be read, rides behind the last data.
  if (host_ended_ && !host_broken_ && !guest_.finish_called()) {
    guest_.finish();
  }
}

std::size_t TcpFlow::take_buffers(Buffers& buffers, std::size_t wanted) noexcept {
  std::size_t count = 0;
  while (count < wanted && (buffers[count] = nat_.guest_tcp().buffers().take()) != nullptr) {
    ++count;
  }
  return count;
}

// `bytes` fill the buffers up to `size` each, one after the other.
void TcpFlow::write_to_guest(Buffers& buffers, std::size_t size, std::size_t bytes) noexcept {
  for (std::size_t i = 0; bytes > 0; ++i) {
    buffers[i]->size = std::min(size, bytes);
    bytes -= buffers[i]->size;
    guest_.write(std::move(buffers[i]));
  }
}

// The guest's window is closed and lwIP has nothing queued: give it something to probe the window with.
void TcpFlow::probe_guest() noexcept {
  const std::size_t size = guest_.probe_room();
  if (size == 0) {
    return;
  }
  stack::FrameBufferPtr buffer = nat_.guest_tcp().buffers().take();
  if (!buffer) {
    nat_.wait_for_memory(*this);
    return;
  }
  const sys::IoResult result = host_->receive(std::span(buffer->data).first(size));
  if (result.status == sys::IoStatus::done) {
    buffer->size = result.bytes;
    guest_.write(std::move(buffer));
  } else if (result.status != sys::IoStatus::would_block) {
    host_ended_ = true;
    host_broken_ = host_broken_ || result.status == sys::IoStatus::failed;
    if (!host_broken_) {
      guest_.finish();
    }
  }
}

// The host has reset the connection or does not take data any more. What it sent before is still delivered.
void TcpFlow::host_broke() noexcept {
  host_broken_ = true;
  guest_.consume(guest_.readable());
}

void TcpFlow::finish_if_done() noexcept {
  if (host_broken_ && (host_ended_ || !host_->readable())) {
    guest_.flush();
    abandon();
    return;
  }
  const bool guest_gone = guest_.state() == stack::GuestConnection::State::closed;
  if (host_ended_ && host_finished_) {
    host_.reset();  // both directions are done: give the descriptor back at once
  }
  if (guest_gone && guest_.readable() == 0) {
    close();
  }
}

void TcpFlow::abandon() noexcept {
  if (state_ == State::closed) {
    return;
  }
  guest_.reset();
  if (host_) {
    host_->reset();
  }
  close();
}

void TcpFlow::close() noexcept {
  if (state_ == State::connecting && !attempt_) {
    nat_.neighbours().forget(*this);
  }
  transition(State::closed);
  timer_.cancel();
  host_.reset();
  nat_.bury(*this);
}

}  // namespace l4n::nat
