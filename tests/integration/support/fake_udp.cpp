#include "tests/integration/support/fake_udp.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "tests/support/fault.hpp"

namespace l4n::integration {

class FakeUdp final : public nat::HostUdp {
 public:
  explicit FakeUdp(std::shared_ptr<HostUdpSocket> socket) : socket_(std::move(socket)) {}
  ~FakeUdp() override { socket_->observer_ = nullptr; }

  sys::IoResult send(const sys::Endpoint& to, const nat::UdpHeaderFields& fields, std::span<iovec> parts,
                     std::uint16_t segment_size) noexcept override {
    HostUdpSocket& s = *socket_;
    HostUdpSocket::Sent call{to, fields, {}, segment_size};
    for (const iovec& part : parts) {
      append(call.payload, {static_cast<const std::byte*>(part.iov_base), part.iov_len});
    }
    ++s.sends_;
    if (const int error = s.send_error(call); error != 0) {
      return error == EAGAIN ? sys::IoResult::blocked() : sys::IoResult::error_of(error);
    }
    const std::size_t size = call.payload.size();
    s.sent_.push_back(std::move(call));
    return sys::IoResult::moved(size);
  }

  Received receive(sys::MutableBytes into) noexcept override {
    HostUdpSocket& s = *socket_;
    Received received;
    if (std::exchange(s.error_, 0) != 0) {
      received.status = sys::IoStatus::failed;
      return received;
    }
    if (s.arrived_.empty()) {
      return received;
    }
    const HostUdpSocket::Arrived arrived = std::move(s.arrived_.front());
    s.arrived_.pop_front();
    received.status = sys::IoStatus::done;
    received.bytes = std::min(arrived.payload.size(), into.size());
    received.local = arrived.local;
    received.scope_id = arrived.scope_id;
    received.source = arrived.from;
    received.segment_size = arrived.segment_size;
    std::copy_n(arrived.payload.begin(), received.bytes, into.begin());
    return received;
  }

  // Taking an entry replaces SO_ERROR by the next entry's.
  std::optional<Failure> next_failure() noexcept override {
    HostUdpSocket& s = *socket_;
    ++s.error_reads_;
    if (s.failures_.empty()) {
      return std::nullopt;
    }
    Failure failure = std::move(s.failures_.front());
    s.failures_.pop_front();
    s.error_ = s.failures_.empty() ? 0 : s.failures_.front().error.error;
    return failure;
  }

 private:
  std::shared_ptr<HostUdpSocket> socket_;
};

// --- HostUdpSocket ---

void HostUdpSocket::deliver(const sys::Endpoint& from, sys::Bytes payload, std::uint16_t segment_size) {
  if (from.address.is_v4() != is_v4_) {
    test::report_fault("a datagram arrives on a UDP socket of the other family");
  }
  arrived_.push_back({from, {payload.begin(), payload.end()}, segment_size, local_, scope_id_});
}

void HostUdpSocket::fail(const nat::HostError& error, const sys::Endpoint& destination, sys::Bytes payload) {
  failures_.push_back({error, destination, {payload.begin(), payload.end()}});
  error_ = error.error;
}

void HostUdpSocket::refuse(const sys::Endpoint& destination, const std::optional<sys::IpAddress>& offender,
                           sys::Bytes payload) {
  nat::HostError error;
  error.error = ECONNREFUSED;
  error.reason = nat::IcmpReason{3, 3};
  error.offender = offender;
  fail(error, destination, payload);
}

void HostUdpSocket::break_sends(int error, unsigned times) {
  broken_ = error;
  broken_times_ = times;
}

int HostUdpSocket::send_error(const Sent& call) {
  if (call.to.address.is_v4() != is_v4_) {
    test::report_fault("a datagram is sent by a UDP socket of the other family");
  }
  if (error_ != 0) {
    return std::exchange(error_, 0);
  }
  if (broken_times_ > 0) {
    --broken_times_;
    return broken_;
  }
  if (call.segment_size > segment_limit_) {
    return EMSGSIZE;
  }
  constexpr std::size_t kHeaders = 28;
  if (call.fields.dont_fragment && call.segment_size == 0 && call.payload.size() + kHeaders > mtu_) {
    // The entry of a datagram that never left names no port (ip_local_error of an unconnected socket).
    failures_.push_back(
        {nat::local_error(EMSGSIZE, call.to.address.is_v4(), mtu_), {call.to.address, 0}, {}});
    return EMSGSIZE;
  }
  return 0;
}

std::vector<Data> HostUdpSocket::datagrams() const {
  std::vector<Data> all;
  for (const Sent& call : sent_) {
    for (Data& datagram : call.datagrams()) {
      all.push_back(std::move(datagram));
    }
  }
  return all;
}

// --- FakeUdpHost ---

sys::Result<std::unique_ptr<nat::HostUdp>> FakeUdpHost::open(bool is_v4, nat::HostUdpObserver& observer) {
  if (open_error != 0) {
    return sys::errno_error(open_error, "cannot create a UDP socket");
  }
  if (on_open) {
    on_open();
  }
  auto socket = std::make_shared<HostUdpSocket>(is_v4);
  socket->observer_ = &observer;
  sockets_.push_back(socket);
  return std::unique_ptr<nat::HostUdp>(std::make_unique<FakeUdp>(std::move(socket)));
}

bool FakeUdpHost::deliver_events() {
  bool any = false;
  for (const auto& socket : sockets_) {
    if (socket->has_event()) {
      any = true;
      socket->observer_->on_udp_event(socket->has_error());
    }
  }
  return any;
}

bool FakeUdpHost::has_events() const {
  return std::any_of(sockets_.begin(), sockets_.end(), [](const auto& s) { return s->has_event(); });
}

std::size_t FakeUdpHost::open_count() const {
  return static_cast<std::size_t>(
      std::count_if(sockets_.begin(), sockets_.end(), [](const auto& s) { return !s->closed(); }));
}

}  // namespace l4n::integration
