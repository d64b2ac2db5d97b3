#include "tests/integration/support/fake_host.hpp"

#include <algorithm>
#include <cerrno>

namespace l4n::integration {
namespace {

// What the system chooses for port 0.
constexpr std::uint16_t kFreePort = 45678;

}  // namespace

// Readiness as epoll tells it, edge by edge; calls as the kernel answers them.
class FakeStream final : public nat::HostStream {
 public:
  explicit FakeStream(std::shared_ptr<HostSocket> socket) : socket_(std::move(socket)) {
    socket_->stream_ = this;
    if (socket_->connect_ == HostSocket::Connect::connected) {
      phase_ = Phase::connected;
      writable_ = true;
    }
  }
  ~FakeStream() override {
    socket_->stream_ = nullptr;
    socket_->observer_ = nullptr;
    socket_->closed_ = true;
    // Closing with unread data sends a reset (RFC 2525 2.17).
    socket_->reset_ = socket_->reset_ || socket_->unread() > 0;
  }

  sys::IoResult send(std::span<iovec> parts) noexcept override {
    HostSocket& s = *socket_;
    ++s.sends_;
    if (const int error = take_send_error(); error != 0) {
      writable_ = false;
      readable_ = true;
      return sys::IoResult::error_of(error);
    }
    std::size_t offered = 0;
    std::size_t taken = 0;
    const std::size_t room = std::min(s.room_, s.send_limit_);
    for (const iovec& part : parts) {
      const std::size_t now = std::min(part.iov_len, room - taken);
      append(s.received_, {static_cast<const std::byte*>(part.iov_base), now});
      taken += now;
      offered += part.iov_len;
    }
    if (s.room_ != HostSocket::kUnlimited) {
      s.room_ -= taken;
    }
    if (s.room_ == 0 && taken < offered) {
      writable_ = false;
    }
    return taken == 0 && offered > 0 ? sys::IoResult::blocked() : sys::IoResult::moved(taken);
  }

  using HostStream::receive;
  sys::IoResult receive(std::span<iovec> parts) noexcept override {
    HostSocket& s = *socket_;
    std::size_t room = 0;
    std::size_t n = 0;
    for (const iovec& part : parts) {
      room += part.iov_len;
      const std::size_t now = std::min({part.iov_len, s.unread(), s.receive_limit_ - n});
      std::copy_n(s.to_read_.begin() + static_cast<std::ptrdiff_t>(s.read_), now,
                  static_cast<std::byte*>(part.iov_base));
      s.read_ += now;
      n += now;
    }
    if (n > 0) {
      if (s.unread() == 0 && n < room && !s.told_hung_up_) {
        readable_ = false;
      }
      return sys::IoResult::moved(n);
    }
    readable_ = false;
    if (s.error_ != 0) {
      return sys::IoResult::error_of(std::exchange(s.error_, 0));
    }
    return s.fin_ ? sys::IoResult::finished() : sys::IoResult::blocked();
  }

  void observe(nat::HostObserver& observer) noexcept override {
    socket_->observer_ = &observer;
    if (socket_->new_input_ || socket_->hung_up_) {
      socket_->changed();
    }
  }
  void finish() noexcept override { socket_->finished_ = true; }
  void reset() noexcept override { socket_->reset_ = true; }

  void take_event() {
    HostSocket& s = *socket_;
    if (s.connect_ == HostSocket::Connect::connected) {
      phase_ = Phase::connected;
    } else if (s.connect_ == HostSocket::Connect::failed) {
      phase_ = Phase::failed;
      connect_error_ = s.connect_error_;
    }
    s.told_hung_up_ = s.hung_up_;
    readable_ = readable_ || s.new_input_ || s.hung_up_;
    writable_ = writable_ || s.new_room_ || s.hung_up_;
    s.new_input_ = false;
    s.new_room_ = false;
  }

 private:
  int take_send_error() noexcept {
    HostSocket& s = *socket_;
    if (s.send_error_ != 0) {
      return s.send_error_;
    }
    if (s.error_ != 0) {
      s.send_error_ = EPIPE;
      return std::exchange(s.error_, 0);
    }
    return 0;
  }

  std::shared_ptr<HostSocket> socket_;
};

class FakeDatagram final : public nat::HostDatagram {
 public:
  explicit FakeDatagram(std::shared_ptr<HostDatagramSocket> socket) : socket_(std::move(socket)) {}
  ~FakeDatagram() override { socket_->observer_ = nullptr; }

  void observe(nat::HostObserver& observer) noexcept override { socket_->observer_ = &observer; }

  sys::IoResult send(sys::Bytes datagram) noexcept override {
    if (socket_->error_ != 0) {
      return sys::IoResult::error_of(std::exchange(socket_->error_, 0));
    }
    socket_->sent_.emplace_back(datagram.begin(), datagram.end());
    return sys::IoResult::moved(datagram.size());
  }

  sys::IoResult receive(sys::MutableBytes into) noexcept override {
    if (socket_->error_ != 0) {
      return sys::IoResult::error_of(std::exchange(socket_->error_, 0));
    }
    if (socket_->incoming_.empty()) {
      return sys::IoResult::blocked();
    }
    const Data datagram = std::move(socket_->incoming_.front());
    socket_->incoming_.pop_front();
    const std::size_t n = std::min(datagram.size(), into.size());
    std::copy_n(datagram.begin(), n, into.begin());
    return n == 0 ? sys::IoResult::finished() : sys::IoResult::moved(n);
  }

 private:
  std::shared_ptr<HostDatagramSocket> socket_;
};

class FakeListener final : public nat::HostListener {
 public:
  explicit FakeListener(std::shared_ptr<HostListeningSocket> socket) : socket_(std::move(socket)) {}
  // The kernel resets the clients that nobody has accepted.
  ~FakeListener() override {
    socket_->observer_ = nullptr;
    for (const auto& client : socket_->clients_) {
      client->closed_ = true;
      client->reset_ = true;
    }
    socket_->clients_.clear();
  }

  sys::Result<Client> accept() noexcept override {
    HostListeningSocket& s = *socket_;
    ++s.accepts_;
    if (s.accept_error_ != 0) {
      return sys::errno_error(s.accept_error_, "cannot accept");
    }
    if (s.clients_.empty()) {
      return sys::errno_error(EAGAIN, "cannot accept");
    }
    const std::shared_ptr<HostSocket> client = s.clients_.front();
    s.clients_.pop_front();
    return Client{std::make_unique<FakeStream>(client), client->target().endpoint};
  }
  void set_listening(bool listening) noexcept override { socket_->listening_ = listening; }
  [[nodiscard]] sys::Endpoint address() const noexcept override { return socket_->address_; }

 private:
  std::shared_ptr<HostListeningSocket> socket_;
};

// --- HostSocket ---

void HostSocket::changed() {
  if (!event_ && observer_ != nullptr) {
    event_ = true;
    host_.pending_.push_back(this);
  }
}

void HostSocket::accept() {
  connect_ = Connect::connected;
  new_room_ = true;
  changed();
}

void HostSocket::refuse(int error) {
  connect_ = Connect::failed;
  connect_error_ = error;
  changed();
}

void HostSocket::write(sys::Bytes data) {
  append(to_read_, data);
  new_input_ = true;
  changed();
}

void HostSocket::finish() {
  fin_ = true;
  hung_up_ = true;
  changed();
}

void HostSocket::reset(int error) {
  error_ = error;
  fin_ = true;  // what recv(2) says after the error was told
  hung_up_ = true;
  changed();
}

void HostSocket::allow(std::size_t bytes) {
  room_ = bytes;
  new_room_ = bytes > 0;
  if (bytes > 0) {
    changed();
  }
}

// --- HostListeningSocket ---

HostSocket& HostListeningSocket::connect_from(const sys::Endpoint& client) {
  auto socket = std::make_shared<HostSocket>(host_, nat::HostTarget{client});
  socket->connect_ = HostSocket::Connect::connected;
  socket->is_client_ = true;
  host_.sockets_.push_back(socket);
  clients_.push_back(socket);
  return *socket;
}

// --- HostDatagramSocket ---

void HostDatagramSocket::answer(sys::Bytes datagram) {
  incoming_.emplace_back(datagram.begin(), datagram.end());
  host_.pending_datagrams_.push_back(this);
}

void HostDatagramSocket::fail(int error) {
  error_ = error;
  host_.pending_datagrams_.push_back(this);
}

// --- FakeHost ---

sys::Result<std::unique_ptr<nat::HostStream>> FakeHost::connect(const nat::HostTarget& target,
                                                                nat::HostObserver& observer) {
  const Plan plan = connect_plan_ ? connect_plan_(target) : Plan{};
  auto socket = std::make_shared<HostSocket>(*this, target);
  sockets_.push_back(socket);
  if (plan.kind == Plan::Kind::no_socket) {
    socket->closed_ = true;
    socket->reset_ = true;
    return sys::errno_error(plan.error, "cannot create a TCP socket");
  }
  socket->observer_ = &observer;
  if (plan.kind == Plan::Kind::accept) {
    socket->connect_ = HostSocket::Connect::connected;
  } else if (plan.kind == Plan::Kind::refuse) {
    socket->refuse(plan.error);
  }
  return std::unique_ptr<nat::HostStream>(std::make_unique<FakeStream>(std::move(socket)));
}

sys::Result<std::unique_ptr<nat::HostDatagram>> FakeHost::open_datagram(const nat::HostTarget& target,
                                                                        nat::HostObserver& observer) {
  auto socket = std::make_shared<HostDatagramSocket>(*this, target);
  datagrams_.push_back(socket);
  if (const int error = datagram_plan_ ? datagram_plan_(target) : 0; error != 0) {
    return sys::errno_error(error, "cannot create a UDP socket");
  }
  socket->observer_ = &observer;
  return std::unique_ptr<nat::HostDatagram>(std::make_unique<FakeDatagram>(std::move(socket)));
}

sys::Result<std::unique_ptr<nat::HostListener>> FakeHost::listen(const sys::Endpoint& address,
                                                                 nat::HostListenerObserver& observer) {
  if (const auto refused = refused_ports_.find(address.port); refused != refused_ports_.end()) {
    return sys::errno_error(refused->second, "cannot bind to " + sys::to_string(address));
  }
  const sys::Endpoint at{address.address, address.port == 0 ? kFreePort : address.port};
  auto socket = std::make_shared<HostListeningSocket>(*this, at);
  listeners_.push_back(socket);
  socket->observer_ = &observer;
  return std::unique_ptr<nat::HostListener>(std::make_unique<FakeListener>(std::move(socket)));
}

// Level-triggered, as the seam says.
bool FakeHost::deliver_clients() {
  bool any = false;
  for (const auto& socket : listeners_) {
    if (socket->observer_ != nullptr && socket->listening_ && !socket->clients_.empty()) {
      any = true;
      socket->observer_->on_clients();
    }
  }
  return any;
}

bool FakeHost::has_events() const noexcept {
  return !pending_.empty() || !pending_datagrams_.empty() || udp.has_events() ||
         std::any_of(listeners_.begin(), listeners_.end(), [](const auto& s) {
           return s->observer_ != nullptr && s->listening_ && !s->clients_.empty();
         });
}

sys::Result<std::unique_ptr<nat::HostUdp>> FakeHost::open_udp(bool is_v4, nat::HostUdpObserver& observer) {
  return udp.open(is_v4, observer);
}

sys::Result<nat::Host::BoundUdp> FakeHost::bind_udp(const sys::Endpoint& address,
                                                    nat::HostUdpObserver& observer) {
  if (const auto refused = refused_ports_.find(address.port); refused != refused_ports_.end()) {
    return sys::errno_error(refused->second, "cannot bind to " + sys::to_string(address));
  }
  auto socket = udp.open(address.address.is_v4(), observer);
  if (!socket) {
    return socket.error();
  }
  return BoundUdp{*std::move(socket), {address.address, address.port == 0 ? kFreePort : address.port}};
}

bool FakeHost::deliver_events() {
  const bool any_clients = deliver_clients();
  std::vector<HostSocket*> streams;
  streams.swap(pending_);
  for (HostSocket* socket : streams) {
    socket->event_ = false;
    if (socket->stream_ != nullptr) {
      socket->stream_->take_event();
      socket->observer_->on_host_event();
    }
  }
  std::vector<HostDatagramSocket*> datagrams;
  datagrams.swap(pending_datagrams_);
  for (HostDatagramSocket* socket : datagrams) {
    if (socket->observer_ != nullptr) {
      socket->observer_->on_host_event();
    }
  }
  const bool any_udp = udp.deliver_events();
  return any_clients || any_udp || !streams.empty() || !datagrams.empty();
}

void FakeHost::release_all() {
  for (const auto& socket : sockets_) {
    if (!socket->closed_) {
      socket->limit_send(HostSocket::kUnlimited);
      socket->limit_receive(HostSocket::kUnlimited);
      socket->allow(HostSocket::kUnlimited);
    }
  }
}

std::size_t FakeHost::open_sockets() const {
  const auto streams =
      std::count_if(sockets_.begin(), sockets_.end(), [](const auto& s) { return !s->closed_; });
  const auto datagrams =
      std::count_if(datagrams_.begin(), datagrams_.end(), [](const auto& s) { return !s->closed(); });
  return static_cast<std::size_t>(streams + datagrams) + udp.open_count() + ping.open_count();
}

}  // namespace l4n::integration
