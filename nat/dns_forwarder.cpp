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

  // Asks the next server; gives up after the last one of the last round.
  void ask_next() noexcept {
    while (tries_ < servers_.size() * kRounds) {
      const HostTarget& server = servers_[tries_++ % servers_.size()];
      socket_.reset();
      auto socket = forwarder_.host_.open_datagram(server, *this);
      if (socket && (*socket)->send(query_).status == sys::IoStatus::done) {
        socket_ = *std::move(socket);
        timer_.arm(kTryTime);
        return;
      }
    }
    ++forwarder_.counters_.failures;
    answer(dns_server_failure(query_));
  }

 private:
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
      forwarder_.resolvers_.answered(servers_[(tries_ - 1) % servers_.size()]);
      ++forwarder_.counters_.answers;
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
                           sys::Graveyard& graveyard) noexcept
    : link_(link), host_(host), resolvers_(resolvers), timers_(timers), graveyard_(graveyard) {}

DnsForwarder::~DnsForwarder() = default;

void DnsForwarder::on_datagram(const stack::UdpDatagram& datagram) {
  if (!is_dns_query(datagram.payload)) {
    return;
  }
  if (questions_.size() >= kMostQuestions) {
    evict_oldest();
  }
  ++counters_.questions;
  const Handle handle = questions_.reserve();
  Question& question = questions_.set(handle, std::make_unique<Question>(*this, handle, datagram));
  order_.push_back(handle);
  question.ask_next();
}

void DnsForwarder::evict_oldest() noexcept {
  while (!order_.empty()) {
    Question* question = questions_.get(order_.front());
    order_.pop_front();
    if (question != nullptr) {
      ++counters_.evicted;
      bury(*question);
      return;
    }
  }
}

void DnsForwarder::bury(Question& question) noexcept {
  graveyard_.bury(questions_.take(question.handle()));
  while (!order_.empty() && questions_.get(order_.front()) == nullptr) {
    order_.pop_front();
  }
}

}  // namespace l4n::nat
