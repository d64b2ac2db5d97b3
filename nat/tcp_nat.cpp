#include "nat/tcp_nat.hpp"

#include <algorithm>
#include <cerrno>

namespace l4n::nat {
namespace {

// How long a flow waits that got no memory from the system, and how many of them try again at once.
constexpr sys::Duration kMemoryWait = std::chrono::milliseconds(20);
constexpr std::size_t kStarvingAtOnce = 64;

// No real path is as long as the TTL that hosts start with. One so low is a traceroute's.
std::uint8_t limited_ttl(const stack::IpHeader& ip) noexcept {
  constexpr std::uint8_t kLongestPath = 32;
  return ip.ttl > 1 && ip.ttl <= kLongestPath ? static_cast<std::uint8_t>(ip.ttl - 1) : std::uint8_t{0};
}

}  // namespace

TcpNat::TcpNat(stack::GuestLink& link, stack::GuestTcp& guest_tcp, stack::Neighbours& neighbours, Host& host,
               Resolvers& resolvers, sys::TimerQueue& timers, sys::Graveyard& graveyard, sys::Log& log,
               const PolicyConfig& policy, const Limits& limits)
    : link_(link),
      guest_tcp_(guest_tcp),
      neighbours_(neighbours),
      host_(host),
      resolvers_(resolvers),
      timers_(timers),
      graveyard_(graveyard),
      log_(log),
      policy_(policy),
      limits_(limits),
      table_(sys::HashKey::random()),
      memory_timer_(timers, memory_alarm_) {}

void TcpNat::on_segment(const stack::TcpSegment& segment, stack::FrameBufferPtr frame) {
  const auto index = table_.find(segment.key);
  TcpFlow* const flow = index ? &flows_.at(*index) : nullptr;
  if (flow != nullptr && flow->state() == TcpFlow::State::connecting) {
    flow->on_early_segment(segment);
  } else if (flow != nullptr && flow->guest().state() != stack::GuestConnection::State::closed) {
    guest_tcp_.input(flow->guest(), segment, std::move(frame));
  } else if (!guest_tcp_.stray(segment)) {
    if (flow != nullptr) {
      unlist(*flow);
    }
    open(segment);
  }
}

// The flow is over for the guest, while the host may still take its data: its key is free for another.
void TcpNat::unlist(TcpFlow& flow) noexcept {
  if (flow.listed_) {
    table_.erase(flow.key());
    flow.listed_ = false;
  }
}

void TcpNat::open(const stack::TcpSegment& segment) {
  const Decision decision = decide(policy_, Protocol::tcp, segment.key.remote());
  switch (decision.verdict) {
    case Verdict::allow:
      if (const sys::IpAddress gateway = policy_.gateway_for(segment.packet.ip.source);
          ttl_expires_here(segment.packet.ip, gateway)) {
        send_time_exceeded(link_, gateway, segment.packet);
      } else {
        start_flow(segment, {{decision.target, 0, limited_ttl(segment.packet.ip)}}, false);
      }
      return;
    case Verdict::dns:
      if (auto servers = resolvers_.in_order(); !servers.empty()) {
        start_flow(segment, std::move(servers), true);
        return;
      }
      [[fallthrough]];
    case Verdict::unreachable:
      ++counters_.denied;
      send_host_error(segment.packet.source_mac, local_error(ENETUNREACH, segment.packet.ip.is_v4()),
                      segment.packet.packet);
      return;
    case Verdict::answer_echo:
    case Verdict::drop:
      ++counters_.denied;
      return;
  }
}

void TcpNat::start_flow(const stack::TcpSegment& segment, std::vector<HostTarget> targets, bool dns) {
  if (!openings_.admit() || (attempts_.size() >= limits_.tcp_attempts && !evictions_.admit(timers_.now()))) {
    ++counters_.attempts_dropped;
    return;
  }
  if (flows_.size() >= limits_.tcp_flows && !make_room()) {
    ++counters_.refused_full;
    log_.warning(sys::LogClass::tcp, "TCP flow table full ({}), refusing {}", limits_.tcp_flows,
                 stack::to_string(segment.key));
    link_.send_tcp_reset(segment.packet.source_mac, segment.key.remote(), segment.key.guest(), segment.tcp,
                         segment.payload_size());
    return;
  }
  TcpFlow::Attempt attempt{stack::HeldSyn::of(segment), to_quote(segment.packet.packet), std::move(targets),
                           dns};
  const Handle handle = flows_.reserve();
  begin(segment.key, handle, std::make_unique<TcpFlow>(*this, handle, std::move(attempt)));
}

// Puts a new flow into the table and starts it.
void TcpNat::begin(const stack::FlowKey& key, Handle handle, std::unique_ptr<TcpFlow> flow) {
  if (attempts_.size() >= limits_.tcp_attempts) {
    static_cast<void>(make_room());
  }
  TcpFlow& started = flows_.set(handle, std::move(flow));
  table_.insert(key, handle.index);
  started.attempt_place_ = attempts_.insert(attempts_.end(), handle);
  ++counters_.opened;
  started.start();
}

void TcpNat::on_client(std::unique_ptr<HostStream> client, const sys::Endpoint& seen,
                       const sys::Endpoint& guest) {
  const bool has_room = flows_.size() < limits_.tcp_flows || make_room();
  const auto key = has_room ? free_key(guest, seen) : std::nullopt;
  if (!key) {
    ++counters_.refused_full;
    log_.warning(sys::LogClass::tcp, "no room for a connection from {} to {}", sys::to_string(seen),
                 sys::to_string(guest));
    client->reset();
    return;
  }
  const Handle handle = flows_.reserve();
  begin(*key, handle, std::make_unique<TcpFlow>(*this, handle, *key, std::move(client)));
}

// A key that no flow has. Two clients may look alike to the guest (several addresses of the host's loopback
// are one gateway): the second one gets another port.
std::optional<stack::FlowKey> TcpNat::free_key(const sys::Endpoint& guest, sys::Endpoint seen) const {
  for (int i = 0; i < kMostSources; ++i) {
    const stack::FlowKey key(guest, seen);
    if (!table_.find(key)) {
      return key;
    }
    seen = next_source(seen);
  }
  return std::nullopt;
}

// The oldest connection that is not established goes. False when there is none. (One that was established in
// this very turn is not out of the list yet.)
bool TcpNat::make_room() noexcept {
  for (const Handle handle : attempts_) {
    TcpFlow& flow = *flows_.get(handle);
    if (flow.guest().state() != stack::GuestConnection::State::established) {
      ++counters_.attempts_evicted;
      flow.abandon();
      return true;
    }
  }
  return false;
}

void TcpNat::mark_dirty(TcpFlow& flow) noexcept {
  if (!flow.dirty_) {
    flow.dirty_ = true;
    dirty_.push_back(flow.handle());
  }
}

void TcpNat::mark_fed(TcpFlow& flow) noexcept {
  if (!flow.fed_) {
    flow.fed_ = true;
    fed_.push_back(flow.handle());
  }
}

void TcpNat::wait_for_memory(TcpFlow& flow) noexcept {
  if (!flow.waits_for_memory_) {
    flow.waits_for_memory_ = true;
    starving_.push_back(flow.handle());
  }
  if (!memory_timer_.armed()) {
    memory_timer_.arm(kMemoryWait);
  }
}

void TcpNat::on_memory_timer() {
  for (std::size_t i = 0; i < kStarvingAtOnce && !starving_.empty(); ++i) {
    if (TcpFlow* flow = flows_.get(starving_.front()); flow != nullptr) {
      flow->waits_for_memory_ = false;
      mark_dirty(*flow);
    }
    starving_.pop_front();
  }
  if (!starving_.empty()) {
    memory_timer_.arm(kMemoryWait);
  }
}

bool TcpNat::pump() noexcept {
  for (const Handle handle : fed_) {
    if (TcpFlow* flow = flows_.get(handle); flow != nullptr) {
      flow->fed_ = false;
      flow->pass_on();
    }
  }
  fed_.clear();
  const sys::Time begin = dirty_.empty() ? sys::Time() : timers_.now();
  sys::Time now = begin;
  // What is marked meanwhile waits for the next turn, behind the others.
  for (std::size_t left = dirty_.size(); left > 0 && now - begin < kPumpTime; --left) {
    TcpFlow* flow = flows_.get(dirty_.front());
    dirty_.pop_front();
    if (flow == nullptr) {
      continue;
    }
    flow->dirty_ = false;
    if (flow->pump(now)) {
      mark_dirty(*flow);
    }
    now = timers_.now();
  }
  return !dirty_.empty();
}

sys::Result<std::unique_ptr<HostStream>> TcpNat::connect(const HostTarget& target, HostObserver& observer) {
  return openings_.timed([&] { return host_.connect(target, observer); });
}

void TcpNat::attempt_over(TcpFlow& flow) noexcept {
  attempts_.erase(flow.attempt_place_);
  if (flow.state() == TcpFlow::State::closed && flow.opened_by_guest()) {
    openings_.wasted();
  }
}

void TcpNat::bury(TcpFlow& flow) noexcept {
  unlist(flow);
  graveyard_.bury(flows_.take(flow.handle()));
}

void TcpNat::abandon_all() noexcept {
  std::vector<TcpFlow*> all;
  flows_.for_each([&all](TcpFlow& flow) { all.push_back(&flow); });
  for (TcpFlow* flow : all) {
    flow->abandon();
  }
}

void TcpNat::send_host_error(const stack::MacAddress& to, const HostError& error,
                             sys::Bytes packet) noexcept {
  const sys::IpAddress source = stack::decode_quoted_ip(packet).value_or(stack::IpHeader{}).source;
  nat::send_host_error(link_, to, policy_.gateway_for(source), error, packet);
}

}  // namespace l4n::nat
