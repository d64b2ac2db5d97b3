#include "nat/icmp_nat.hpp"

#include <algorithm>
#include <vector>

namespace l4n::nat {
namespace {

// What a reply or an error is held against, and what the error is told with.
struct Asked {
  stack::IpHeader header;  // of the guest's packet
  std::uint16_t sequence = 0;
  std::uint16_t checksum = 0;
};

// The latest requests of a flow.
class AskedRing {
 public:
  void add(const Asked& asked) {
    if (ring_.size() < IcmpNat::kMostRequests) {
      ring_.push_back(asked);
    } else {
      ring_[oldest_] = asked;
      oldest_ = (oldest_ + 1) % ring_.size();
    }
  }

  // The latest that fits; null when there is none.
  [[nodiscard]] const Asked* find(const sys::IpAddress& destination, std::uint16_t sequence) const noexcept {
    for (std::size_t i = ring_.size(); i-- > 0;) {
      const Asked& asked = ring_[(oldest_ + i) % ring_.size()];
      if (asked.sequence == sequence && asked.header.destination == destination) {
        return &asked;
      }
    }
    return nullptr;
  }

 private:
  std::vector<Asked> ring_;
  std::size_t oldest_ = 0;
};

}  // namespace

class IcmpNat::Flow final : private HostPingObserver {
 public:
  Flow(IcmpNat& nat, const stack::FlowKey& key) noexcept : nat_(nat), key_(key) {}

  [[nodiscard]] const stack::FlowKey& key() const noexcept { return key_; }

  sys::Result<void> open() {
    auto ping = nat_.host_.open_ping(key_.guest().address.is_v4(), *this);
    if (!ping) {
      return ping.error();
    }
    ping_ = *std::move(ping);
    return {};
  }

  void request(const stack::IcmpMessage& message) noexcept {
    const stack::IpPacket& packet = message.packet;
    mac_ = packet.source_mac;
    asked_.add({packet.ip, stack::echo_sequence(message.message), sys::load_be16(&message.message[2])});
    EchoRequest request;
    request.destination = packet.ip.destination;
    request.ttl = static_cast<std::uint8_t>(packet.ip.ttl - 1);
    request.tos = packet.ip.tos;
    request.dont_fragment = packet.ip.dont_fragment && packet.ip.total_length <= kLargestWithDf;
    request.message = message.message;
    if (const auto error = ping_->send(request)) {
      nat_.tell(mac_, key_.guest().address, *error, packet.packet);
    } else {
      ++nat_.counters_.requests;
    }
  }

  // IcmpNat's own notes.
  sys::Time last_used;
  bool answered = false;
  Order::iterator position;

 private:
  [[nodiscard]] std::uint16_t guest_id() const noexcept { return key_.guest().port; }

  void on_echo_reply(const EchoReply& reply) noexcept override {
    if (asked_.find(reply.source, stack::echo_sequence(reply.message)) == nullptr) {
      ++nat_.counters_.unexpected;
      return;
    }
    stack::set_echo_id(reply.message, guest_id());
    stack::IpHeader header;
    header.source = reply.source;
    header.destination = key_.guest().address;
    header.ttl = static_cast<std::uint8_t>(std::max(reply.ttl - 1, 1));
    header.tos = reply.tos;
    ++nat_.counters_.replies;
    nat_.link_.send_icmp(mac_, header, reply.message);
    nat_.touch(*this, true);
  }

  void on_echo_failure(const EchoFailure& failure) noexcept override {
    const Asked* asked = asked_.find(failure.destination, stack::echo_sequence(failure.request));
    if (asked == nullptr) {
      ++nat_.counters_.unexpected;
      return;
    }
    std::vector<std::byte> packet = guest_packet(asked->header, failure.request);
    const sys::MutableBytes message = std::span(packet).subspan(stack::ip_header_size(key_.guest().address));
    sys::store_be16(&message[2], asked->checksum);
    sys::store_be16(&message[4], guest_id());
    nat_.tell(mac_, key_.guest().address, failure.error, packet);
  }

  IcmpNat& nat_;
  const stack::FlowKey key_;
  stack::MacAddress mac_{};  // that the guest's address last used
  AskedRing asked_;
  std::unique_ptr<HostPing> ping_;
};

IcmpNat::IcmpNat(stack::GuestLink& link, PingHost& host, sys::TimerQueue& timers, sys::Log& log,
                 const PolicyConfig& policy, std::size_t most_flows)
    : link_(link),
      host_(host),
      timers_(timers),
      log_(log),
      policy_(policy),
      most_flows_(most_flows),
      table_(sys::HashKey::random()),
      timer_(timers, *this) {}

IcmpNat::~IcmpNat() = default;

void IcmpNat::on_echo_request(const stack::IcmpMessage& message) {
  if (ttl_expires(message.packet.ip)) {
    ++counters_.ttl_expired;
    send_time_exceeded(link_, policy_.gateway_for(message.packet.ip.source), message.packet);
    return;
  }
  const stack::FlowKey key({message.packet.ip.source, stack::echo_id(message.message)}, {});
  if (Flow* flow = find_or_open(key)) {
    flow->request(message);
    touch(*flow, false);
  }
}

IcmpNat::Flow* IcmpNat::find_or_open(const stack::FlowKey& key) {
  if (const auto index = table_.find(key)) {
    return &flows_.at(*index);
  }
  if (!openings_.admit()) {
    ++counters_.dropped;
    return nullptr;
  }
  if (flows_.size() >= most_flows_) {
    ++counters_.evicted;
    openings_.wasted();
    close_oldest(order_[0].empty() ? order_[1] : order_[0]);
  }
  const Handle handle = flows_.reserve();
  Flow& flow = flows_.set(handle, std::make_unique<Flow>(*this, key));
  if (auto opened = openings_.timed([&] { return flow.open(); }); !opened) {
    ++counters_.unavailable;
    if (!unavailable_logged_) {
      unavailable_logged_ = true;
      log_.warning(sys::LogClass::host, "no ping of other machines (see net.ipv4.ping_group_range): {}",
                   opened.error().message());
    }
    flows_.take(handle).reset();
    return nullptr;
  }
  table_.insert(key, handle.index);
  flow.position = order_[0].insert(order_[0].end(), handle);
  if (!timer_.armed()) {
    timer_.arm(kIdleTime);
  }
  return &flow;
}

IcmpNat::Order& IcmpNat::order_of(const Flow& flow) noexcept { return order_.at(flow.answered ? 1 : 0); }

void IcmpNat::touch(Flow& flow, bool answered) noexcept {
  Order& from = order_of(flow);
  flow.answered = flow.answered || answered;
  flow.last_used = timers_.now();
  Order& to = order_of(flow);
  to.splice(to.end(), from, flow.position);
}

void IcmpNat::close_oldest(Order& order) noexcept {
  const Handle handle = order.front();
  table_.erase(flows_.get(handle)->key());
  order.pop_front();
  flows_.take(handle).reset();
}

void IcmpNat::on_timer() noexcept {
  const sys::Time now = timers_.now();
  sys::Time next = sys::Time::max();
  for (Order& order : order_) {
    while (!order.empty() && flows_.get(order.front())->last_used + kIdleTime <= now) {
      close_oldest(order);
    }
    if (!order.empty()) {
      next = std::min(next, flows_.get(order.front())->last_used + kIdleTime);
    }
  }
  if (next != sys::Time::max()) {
    timer_.arm(next - now);
  }
}

void IcmpNat::tell(const stack::MacAddress& mac, const sys::IpAddress& guest, const HostError& error,
                   sys::Bytes packet) noexcept {
  ++(send_host_error(link_, mac, policy_.gateway_for(guest), error, packet) ? counters_.errors
                                                                            : counters_.failed);
}

}  // namespace l4n::nat
