#include "nat/dns_forwarder.hpp"

#include <array>

#include "nat/dns_message.hpp"

namespace l4n::nat {

class DnsForwarder::Question final : public sys::Buried, private HostObserver, private sys::TimerHandler {
 public:
  Question(DnsForwarder& forwarder, Handle handle, const stack::UdpDatagram& datagram)
      : forwarder_(forwarder),
        handle_(handle),
        asker_(datagram.source()),
        service_(datagram.destination()),
        mac_(datagram.packet.source_mac),
        query_(datagram.payload.begin(), datagram.payload.end()),
        servers_(forwarder.resolvers_.in_order()),
        timer_(forwarder.timers_, *this) {}

  [[nodiscard]] Handle handle() const noexcept { return handle_; }

  [[nodiscard]] std::size_t size() const noexcept { return query_.size(); }

  // Asks the next server; gives up after the last one of the last round.
  void ask_next() noexcept {
    while (tries_ < servers_.size() * kRounds) {
      const HostTarget& server = servers_[tries_++ % servers_.size()];
      give_up_socket();
      socket_ = open(server);
      if (socket_ && socket_->send(query_).status == sys::IoStatus::done) {
        timer_.arm(kTryTime);
        return;
      }
    }
    give_up_socket();
    ++forwarder_.counters_.failures;
    answer(dns_server_failure(query_));
  }

 private:
  std::unique_ptr<HostDatagram> open(const HostTarget& server) noexcept {
    if (auto spare = forwarder_.take_spare(asker_, server)) {
      spare->observe(*this);
      return spare;
    }
    auto socket = forwarder_.openings_.timed([&] { return forwarder_.host_.open_datagram(server, *this); });
    return socket ? *std::move(socket) : nullptr;
  }

  void give_up_socket() noexcept {
    if (socket_) {
      socket_.reset();
      forwarder_.openings_.wasted();
    }
  }

  void on_host_event() noexcept override {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): filled by receive()
    std::array<std::byte, 65535> buffer;
    const sys::IoResult result = socket_->receive(buffer);
    if (result.status == sys::IoStatus::failed) {
      ask_next();
      return;
    }
    const sys::Bytes response = std::span(buffer).first(result.bytes);
    if (result.status == sys::IoStatus::done && is_dns_response_to(response, query_)) {
      const HostTarget& server = servers_[(tries_ - 1) % servers_.size()];
      forwarder_.resolvers_.answered(server);
      ++forwarder_.counters_.answers;
      forwarder_.keep(asker_, server, std::move(socket_));
      answer(response);
    }
  }

  void on_timer() noexcept override { ask_next(); }

  void answer(sys::Bytes response) noexcept {
    forwarder_.link_.send_udp(mac_, service_, asker_, response);
    timer_.cancel();
    socket_.reset();
    forwarder_.bury(*this);
  }

  DnsForwarder& forwarder_;
  const Handle handle_;
  const sys::Endpoint asker_;
  const sys::Endpoint service_;
  const stack::MacAddress mac_;
  const std::vector<std::byte> query_;
  const std::vector<HostTarget> servers_;
  std::size_t tries_ = 0;
  std::unique_ptr<HostDatagram> socket_;
  sys::Timer timer_;
};

DnsForwarder::DnsForwarder(stack::GuestLink& link, Host& host, Resolvers& resolvers, sys::TimerQueue& timers,
                           sys::Graveyard& graveyard, std::size_t most_questions,
                           std::size_t most_spare) noexcept
    : link_(link),
      host_(host),
      resolvers_(resolvers),
      timers_(timers),
      graveyard_(graveyard),
      most_questions_(most_questions),
      most_spare_(most_spare),
      sweep_timer_(timers, sweep_alarm_) {}

DnsForwarder::~DnsForwarder() = default;

void DnsForwarder::on_datagram(const stack::UdpDatagram& datagram) {
  if (!is_dns_query(datagram.payload)) {
    return;
  }
  if (!openings_.admit()) {
    ++counters_.dropped;
    return;
  }
  make_room(datagram.payload.size());
  ++counters_.questions;
  const Handle handle = questions_.reserve();
  Question& question = questions_.set(handle, std::make_unique<Question>(*this, handle, datagram));
  order_.push_back(handle);
  bytes_ += question.size();
  question.ask_next();
}

// --- sockets that wait for another question ---

void DnsForwarder::Spare::on_host_event() noexcept {
  std::array<std::byte, 1> nothing{};
  static_cast<void>(socket->receive(nothing));
}

void DnsForwarder::keep(const sys::Endpoint& asker, const HostTarget& server,
                        std::unique_ptr<HostDatagram> socket) {
  if (spare_.size() >= most_spare_) {
    spare_.pop_back();
  }
  Spare& spare = spare_.emplace_front();
  spare.asker = asker;
  spare.server = server;
  spare.socket = std::move(socket);
  spare.socket->observe(spare);
  if (!sweep_timer_.armed()) {
    sweep_timer_.arm(kSpareTime);
  }
}

std::unique_ptr<HostDatagram> DnsForwarder::take_spare(const sys::Endpoint& asker,
                                                       const HostTarget& server) noexcept {
  for (auto spare = spare_.begin(); spare != spare_.end(); ++spare) {
    if (spare->asker == asker && spare->server == server) {
      std::unique_ptr<HostDatagram> socket = std::move(spare->socket);
      spare_.erase(spare);
      return socket;
    }
  }
  return nullptr;
}

// Closes those that have waited since the last time.
void DnsForwarder::sweep() noexcept {
  spare_.remove_if([](const Spare& spare) { return !spare.fresh; });
  for (Spare& spare : spare_) {
    spare.fresh = false;
  }
  if (!spare_.empty()) {
    sweep_timer_.arm(kSpareTime);
  }
}

// For one more question of so many bytes.
void DnsForwarder::make_room(std::size_t bytes) noexcept {
  while (questions_.size() >= most_questions_ || bytes_ + bytes > kMostBytes) {
    evict_oldest();
  }
}

void DnsForwarder::evict_oldest() noexcept {
  while (!order_.empty()) {
    Question* question = questions_.get(order_.front());
    order_.pop_front();
    if (question != nullptr) {
      ++counters_.evicted;
      openings_.wasted();
      bury(*question);
      return;
    }
  }
}

void DnsForwarder::bury(Question& question) noexcept {
  bytes_ -= question.size();
  graveyard_.bury(questions_.take(question.handle()));
  while (!order_.empty() && questions_.get(order_.front()) == nullptr) {
    order_.pop_front();
  }
}

}  // namespace l4n::nat
