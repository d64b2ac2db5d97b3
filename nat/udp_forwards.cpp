#include "nat/udp_forwards.hpp"

#include <algorithm>
#include <utility>

#include "nat/udp_flow.hpp"

namespace l4n::nat {
namespace {

// Datagrams that one port may receive in one go, so that the others have their turn.
constexpr int kReceivesPerEvent = 32;

std::size_t datagrams(std::size_t bytes, std::size_t segment_size) noexcept {
  return segment_size == 0 ? 1 : (bytes + segment_size - 1) / segment_size;
}

}  // namespace

UdpForwards::UdpForwards(const Environment& environment)
    : environment_(environment),
      table_(sys::HashKey::random()),
      idle_timer_(environment.timers, idle_alarm_) {}

UdpForwards::~UdpForwards() = default;

sys::Result<std::unique_ptr<UdpForwards::Port>> UdpForwards::open(const sys::Endpoint& host,
                                                                  const sys::Endpoint& guest) {
  auto port = std::make_unique<Port>(*this, guest);
  if (auto started = port->start(host); !started) {
    return started.error();
  }
  return port;
}

// --- sessions ---

// Null when too many clients look alike to the guest.
UdpForwards::Session* UdpForwards::session(Port& port, const Client& client) {
  sys::Endpoint seen = forward_source(environment_.policy, client.endpoint, port.guest_.address);
  for (int i = 0; i < kMostSources; ++i) {
    const stack::FlowKey key(port.guest_, seen);
    const auto index = table_.find(key);
    if (!index) {
      return begin(port, client, key);
    }
    Session& known = sessions_.at(*index);
    if (known.client == client && known.port == &port) {
      used(known);
      return &known;
    }
    seen = next_source(seen);
  }
  return nullptr;
}

UdpForwards::Session* UdpForwards::begin(Port& port, const Client& client, const stack::FlowKey& key) {
  if (sessions_.size() >= kMostSessions) {
    ++counters_.evicted;
    end(*order_.front());
  }
  const Handle handle = sessions_.reserve();
  Session& session = sessions_.set(handle, std::make_unique<Session>());
  session.handle = handle;
  session.key = key;
  session.port = &port;
  session.client = client;
  session.place = order_.insert(order_.end(), &session);
  session.last_used = environment_.timers.now();
  table_.insert(key, handle.index);
  if (!idle_timer_.armed()) {
    idle_timer_.arm(kIdleTime);
  }
  return &session;
}

void UdpForwards::used(Session& session) noexcept {
  session.last_used = environment_.timers.now();
  order_.splice(order_.end(), order_, session.place);
}

void UdpForwards::end(Session& session) noexcept {
  order_.erase(session.place);
  table_.erase(session.key);
  static_cast<void>(sessions_.take(session.handle));
}

void UdpForwards::end_sessions_of(const Port& port) noexcept {
  for (auto next = order_.begin(); next != order_.end();) {
    Session& session = **next++;
    if (session.port == &port) {
      end(session);
    }
  }
}

void UdpForwards::on_idle() noexcept {
  const sys::Time now = environment_.timers.now();
  while (!order_.empty() && order_.front()->last_used + kIdleTime <= now) {
    end(*order_.front());
  }
  if (!order_.empty()) {
    idle_timer_.arm(order_.front()->last_used + kIdleTime - now);
  }
}

// --- guest to client ---

bool UdpForwards::on_datagram(const stack::UdpDatagram& datagram) noexcept {
  if (sessions_.size() == 0) {
    return false;
  }
  const auto index = table_.find({datagram.source(), datagram.destination()});
  if (!index) {
    return false;
  }
  const sys::IpAddress gateway = environment_.policy.gateway_for(datagram.packet.ip.source);
  if (ttl_expires_here(datagram.packet.ip, gateway)) {
    send_time_exceeded(environment_.link, gateway, datagram.packet);
    return true;
  }
  Session& session = sessions_.at(*index);
  used(session);
  UdpHeaderFields fields = outgoing_fields(datagram);
  fields.source = session.local;
  fields.scope_id = session.client.scope_id;
  const std::size_t count = datagrams(datagram.payload.size(), datagram.segment_size);
  if (session.port->send(session.client.endpoint, fields, datagram.payload, datagram.segment_size)) {
    counters_.sent += count;
  } else {
    counters_.lost += count;
  }
  return true;
}

// --- Port ---

UdpForwards::Port::~Port() {
  static_cast<void>(take_waiting());
  owner_.end_sessions_of(*this);
  owner_.environment_.neighbours.forget(*this);
}

sys::Result<void> UdpForwards::Port::start(const sys::Endpoint& host) {
  auto bound = owner_.environment_.host.bind_udp(host, *this);
  if (!bound) {
    return bound.error();
  }
  socket_ = std::move(bound->socket);
  address_ = bound->address;
  return {};
}

// One datagram, or with `batch` several of that size.
sys::IoStatus UdpForwards::Port::send_once(const sys::Endpoint& to, const UdpHeaderFields& fields,
                                           sys::Bytes data, std::uint16_t batch) noexcept {
  // sendmsg does not write to what it sends.
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast)
  iovec part{const_cast<std::byte*>(data.data()), data.size()};
  sys::IoResult result = socket_->send(to, fields, {&part, 1}, batch);
  if (result.status == sys::IoStatus::failed) {
    while (socket_->next_failure()) {  // of another client: it must not cost this one its answer
    }
    result = socket_->send(to, fields, {&part, 1}, batch);
  }
  return result.status;
}

bool UdpForwards::Port::send(const sys::Endpoint& to, const UdpHeaderFields& fields, sys::Bytes data,
                             std::uint16_t segment_size) noexcept {
  const std::uint16_t batch = data.size() > segment_size ? segment_size : std::uint16_t{0};
  const sys::IoStatus status = send_once(to, fields, data, batch);
  if (status != sys::IoStatus::failed || batch == 0) {
    return status == sys::IoStatus::done;
  }
  bool all = true;  // the way does not take batches: one by one
  for (std::size_t at = 0; at < data.size(); at += batch) {
    const sys::Bytes one = data.subspan(at, std::min<std::size_t>(batch, data.size() - at));
    all = send_once(to, fields, one, 0) == sys::IoStatus::done && all;
  }
  return all;
}

// --- client to guest ---

void UdpForwards::Port::on_udp_event(bool has_error) noexcept {
  while (has_error && socket_->next_failure()) {  // what a client does not take, the guest need not know
  }
  for (int i = 0; i < kReceivesPerEvent; ++i) {
    const stack::FrameBufferPtr buffer = owner_.environment_.buffers.take();
    if (!buffer) {
      socket_->skip();
      return;
    }
    const HostUdp::Received received = socket_->receive(buffer->data);
    if (received.status == sys::IoStatus::failed) {
      continue;
    }
    if (received.status != sys::IoStatus::done) {
      return;
    }
    deliver(received, std::span(buffer->data).first(received.bytes));
  }
}

void UdpForwards::Port::deliver(const HostUdp::Received& received, sys::Bytes data) noexcept {
  Session* session = owner_.session(*this, {received.source, received.scope_id});
  if (session == nullptr) {
    ++owner_.counters_.lost;
    return;
  }
  if (received.local) {
    session->local = *received.local;
  }
  const std::size_t segment_size = received.segment_size == 0 ? data.size() : received.segment_size;
  const sys::Endpoint seen = session->key.remote();
  stack::Neighbours& neighbours = owner_.environment_.neighbours;
  if (const auto mac = neighbours.find(guest_.address)) {
    to_guest(*mac, seen, data, segment_size);
  } else if (may_wait(data)) {
    owner_.waiting_bytes_ += data.size();
    waiting_.push_back({seen, {data.begin(), data.end()}, segment_size});
    if (waiting_.size() == 1) {
      static_cast<void>(neighbours.resolve(guest_.address, *this));
    }
  } else {
    ++owner_.counters_.lost;
  }
}

bool UdpForwards::Port::may_wait(sys::Bytes data) const noexcept {
  return waiting_.size() < kMostWaiting && owner_.waiting_bytes_ + data.size() <= kMostWaitingBytes;
}

std::vector<UdpForwards::Port::Waiting> UdpForwards::Port::take_waiting() noexcept {
  for (const Waiting& one : waiting_) {
    owner_.waiting_bytes_ -= one.data.size();
  }
  return std::exchange(waiting_, {});
}

void UdpForwards::Port::on_neighbour(const std::optional<stack::MacAddress>& mac) noexcept {
  for (const Waiting& one : take_waiting()) {
    if (mac) {
      to_guest(*mac, one.source, one.data, one.segment_size);
    } else {
      ++owner_.counters_.lost;
    }
  }
}

void UdpForwards::Port::to_guest(const stack::MacAddress& mac, const sys::Endpoint& source, sys::Bytes data,
                                 std::size_t segment_size) noexcept {
  owner_.counters_.received += datagrams(data.size(), segment_size);
  owner_.environment_.link.send_udp_batch(mac, source, guest_, data, segment_size);
}

}  // namespace l4n::nat
