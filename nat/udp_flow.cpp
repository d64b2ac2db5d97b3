#include "nat/udp_flow.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>

#include "nat/udp_nat.hpp"

namespace l4n::nat {
namespace {

// What UDP_SEGMENT takes in one call (UDP_MAX_SEGMENTS of the oldest kernels that have it, and the largest
// datagram).
constexpr std::size_t kMostSegments = 64;
constexpr std::size_t kMostBytes = 65507;
// A guest datagram with DF that is longer than this exists only because the TAP's MTU is larger than any real
// link's: the host may cut it (design: it would be lost otherwise).
constexpr std::size_t kLargestRealMtu = 1500;

constexpr std::uint16_t kDnsPort = 53;

// Datagrams for the guest after which its reader should get the processor that it may have to share with us:
// its socket holds about a hundred of them, and what comes on top is lost.
constexpr std::size_t kBurst = 8;

}  // namespace

UdpHeaderFields outgoing_fields(const stack::UdpDatagram& datagram) noexcept {
  const stack::IpHeader& ip = datagram.packet.ip;
  return {static_cast<std::uint8_t>(ip.ttl > 1 ? ip.ttl - 1 : 1), ip.tos,
          ip.dont_fragment && ip.total_length <= kLargestRealMtu};
}

UdpFlow::UdpFlow(UdpNat& nat, Handle handle, const sys::Endpoint& guest)
    : nat_(nat), handle_(handle), guest_(guest), last_used_(nat.timers_.now()), timer_(nat.timers_, *this) {}

sys::Result<void> UdpFlow::start() {
  auto socket = nat_.host_.open_udp(guest_.address.is_v4(), *this);
  if (!socket) {
    return socket.error();
  }
  socket_ = *std::move(socket);
  timer_.arm(UdpNat::kUnansweredTime);
  return {};
}

// --- guest to host ---

bool UdpFlow::fits(const stack::UdpDatagram& datagram, const sys::Endpoint& to,
                   const UdpHeaderFields& fields) const noexcept {
  const bool same = to == batch_.to && fields == batch_.fields && datagram.destination() == batch_.named;
  const std::size_t size = datagram.payload.size();
  // A shorter datagram may only be the last, and after an empty one nothing can be told apart.
  const bool last_was_whole = batch_.bytes == batch_.parts.size() * batch_.segment_size;
  return same && last_was_whole && size > 0 && size <= batch_.segment_size && size <= segment_limit_ &&
         batch_.segment_size <= segment_limit_ && batch_.parts.size() < kMostSegments &&
         batch_.bytes + size <= kMostBytes;
}

void UdpFlow::on_datagram(const stack::UdpDatagram& datagram, const sys::Endpoint& to,
                          stack::FrameBufferPtr frame) {
  mac_ = datagram.packet.source_mac;
  guest_id_ = datagram.packet.ip.id;
  last_destination_port_ = datagram.udp.destination_port;
  nat_.used(*this);
  const UdpHeaderFields fields = outgoing_fields(datagram);
  const bool joins = !batch_.parts.empty() && datagram.segment_size == 0 && fits(datagram, to, fields);
  if (!joins) {
    flush();
    batch_.to = to;
    batch_.named = datagram.destination();
    batch_.fields = fields;
    batch_.segment_size = static_cast<std::uint16_t>(datagram.segment_size == 0 ? datagram.payload.size()
                                                                                : datagram.segment_size);
  }
  // sendmsg does not write to what it sends.
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast)
  batch_.parts.push_back({const_cast<std::byte*>(datagram.payload.data()), datagram.payload.size()});
  batch_.bytes += datagram.payload.size();
  batch_.frames.push_back(std::move(frame));
  if (!waiting_) {
    waiting_ = true;
    nat_.waiting_.push_back(handle_);
  }
}

void UdpFlow::flush() noexcept {
  if (batch_.parts.empty()) {
    return;
  }
  const bool several = batch_.bytes > batch_.segment_size;
  send(batch_.parts, several ? batch_.segment_size : std::uint16_t{0});
  batch_.parts.clear();
  batch_.frames.clear();
  batch_.bytes = 0;
}

void UdpFlow::send(std::span<iovec> parts, std::uint16_t segment_size) noexcept {
  const sys::IoResult result = send_once_more_after_failure(parts, segment_size);
  const std::size_t datagrams = segment_size == 0 ? 1 : (batch_.bytes + segment_size - 1) / segment_size;
  if (result.status == sys::IoStatus::done) {
    nat_.counters_.sent += datagrams;
  } else if (segment_size > 0 && result.status == sys::IoStatus::failed) {
    // The way does not take segments of this size, or the kernel no batches at all.
    segment_limit_ = std::min(segment_limit_, static_cast<std::uint16_t>(segment_size - 1));
    send_one_by_one(parts, segment_size);
  } else {
    nat_.counters_.lost += datagrams;
  }
}

// The datagrams of a batch, each by itself. A part is one datagram, or a whole frame of several.
void UdpFlow::send_one_by_one(std::span<iovec> parts, std::uint16_t segment_size) noexcept {
  for (const iovec& part : parts) {
    for (std::size_t at = 0; at < part.iov_len; at += segment_size) {
      iovec one{static_cast<std::byte*>(part.iov_base) + at,
                std::min<std::size_t>(segment_size, part.iov_len - at)};
      const sys::IoResult result = send_once_more_after_failure({&one, 1}, 0);
      ++(result.status == sys::IoStatus::done ? nat_.counters_.sent : nat_.counters_.lost);
    }
  }
}

// One socket has many peers: an ICMP error from one of them makes the next send fail, to whomever it goes.
// That datagram must not be lost for it.
sys::IoResult UdpFlow::send_once_more_after_failure(std::span<iovec> parts,
                                                    std::uint16_t segment_size) noexcept {
  sys::IoResult result = socket_->send(batch_.to, batch_.fields, parts, segment_size);
  if (result.status != sys::IoStatus::failed) {
    return result;
  }
  const bool told = drain_failures();
  if (result.error != EMSGSIZE) {
    result = socket_->send(batch_.to, batch_.fields, parts, segment_size);
  }
  // What fails at once (no route, forbidden) is in no queue, and neither is the size of a batch.
  const bool own = result.status == sys::IoStatus::failed && segment_size == 0;
  if (own && !(told && result.error == EMSGSIZE)) {
    relay_failure({local_error(result.error, batch_.to.address.is_v4()), batch_.to, {}});
  }
  return result;
}

// --- errors ---

// True when there was one.
bool UdpFlow::drain_failures() noexcept {
  bool any = false;
  while (const auto failure = socket_->next_failure()) {
    any = true;
    relay_failure(*failure);
  }
  return any;
}

void UdpFlow::relay_failure(const HostUdp::Failure& failure) noexcept {
  // An error of the host itself (a datagram with DF too large for its interface) names no port; it comes
  // during the send that it is about.
  const bool own = failure.destination.port == 0;
  const auto named = nat_.visible_source(own ? batch_.to : failure.destination);
  if (!named) {
    return;
  }
  stack::IpHeader header;
  header.source = guest_.address;
  header.destination = named->address;
  header.id = guest_id_;
  const std::vector<std::byte> quote = guest_udp_packet(header, guest_.port, named->port, failure.payload);
  if (send_host_error(nat_.link_, mac_, nat_.policy_.gateway_for(guest_.address), failure.error, quote)) {
    ++nat_.counters_.errors_relayed;
  }
}

// --- host to guest ---

void UdpFlow::on_udp_event(bool has_error) noexcept {
  if (has_error) {
    drain_failures();
  }
  ReceivedBatch batch;
  for (std::size_t i = 0; i < ReceivedBatch::kMost; ++i) {
    stack::FrameBufferPtr buffer = nat_.buffers_.take();
    if (!buffer) {
      if (i == 0) {  // else there are some again when these are delivered
        socket_->skip();
      }
      break;
    }
    const HostUdp::Received received = socket_->receive(buffer->data);
    if (received.status == sys::IoStatus::failed) {
      drain_failures();
      continue;
    }
    if (received.status != sys::IoStatus::done) {
      break;
    }
    if (!batch.takes(received)) {
      deliver(batch);
      batch.clear();
    }
    batch.add(received, std::move(buffer));
  }
  deliver(batch);
}

void UdpFlow::deliver(const ReceivedBatch& batch) noexcept {
  if (batch.empty()) {
    return;
  }
  const auto source = nat_.visible_source(batch.source());
  if (!source) {
    nat_.counters_.denied_inbound += batch.datagrams();
    return;
  }
  last_used_ = nat_.timers_.now();
  if (!answered_) {
    nat_.answered(*this);
    timer_.arm(idle_time());  // may be shorter than that of a flow without an answer
  }
  nat_.counters_.received += batch.datagrams();
  nat_.link_.send_udp_batch(mac_, *source, guest_, batch.parts(), batch.segment_size());
  if (batch.datagrams() >= kBurst) {
    std::this_thread::yield();
  }
}

// --- idle ---

sys::Duration UdpFlow::idle_time() const noexcept {
  if (!answered_) {
    return UdpNat::kUnansweredTime;
  }
  return last_destination_port_ == kDnsPort ? UdpNat::kDnsTime : UdpNat::kIdleTime;
}

// The timer is not moved with every datagram: it looks whether the time is really over.
void UdpFlow::on_timer() noexcept {
  const sys::Duration left = last_used_ + idle_time() - nat_.timers_.now();
  if (left > sys::Duration::zero()) {
    timer_.arm(left);
  } else {
    nat_.bury(*this);
  }
}

}  // namespace l4n::nat
