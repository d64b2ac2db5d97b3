#include "nat/udp_nat.hpp"

#include <cerrno>

#include "stack/packet.hpp"

namespace l4n::nat {
namespace {

// UDP flows are found by the guest's endpoint alone: the remote half of the key is empty.
stack::FlowKey key_of(const sys::Endpoint& guest) noexcept { return {guest, {}}; }

}  // namespace

UdpNat::UdpNat(stack::GuestLink& link, stack::FrameBufferPool& buffers, Host& host, sys::TimerQueue& timers,
               sys::Graveyard& graveyard, sys::Log& log, const PolicyConfig& policy, std::size_t most_flows)
    : link_(link),
      buffers_(buffers),
      host_(host),
      timers_(timers),
      graveyard_(graveyard),
      log_(log),
      policy_(policy),
      most_flows_(most_flows),
      table_(sys::HashKey::random()) {}

void UdpNat::on_datagram(const stack::UdpDatagram& datagram, const sys::Endpoint& to,
                         stack::FrameBufferPtr frame) {
  const auto index = table_.find(key_of(datagram.source()));
  UdpFlow* flow = index ? &flows_.at(*index) : open(datagram);
  if (flow != nullptr) {
    flow->on_datagram(datagram, to, std::move(frame));
  }
}

UdpFlow* UdpNat::open(const stack::UdpDatagram& datagram) {
  const sys::Endpoint guest = datagram.source();
  if (!openings_.admit()) {
    ++counters_.dropped;
    return nullptr;
  }
  if (flows_.size() >= most_flows_) {
    if (unanswered_.empty()) {
      ++counters_.refused_full;
      log_.warning(sys::LogClass::udp, "UDP flow table full ({}), dropping a datagram of {}", most_flows_,
                   sys::to_string(guest));
      refuse(datagram);
      return nullptr;
    }
    make_room();
  }
  const Handle handle = flows_.reserve();
  UdpFlow& flow = flows_.set(handle, std::make_unique<UdpFlow>(*this, handle, guest));
  flow.unanswered_ = unanswered_.insert(unanswered_.end(), handle);
  table_.insert(key_of(guest), handle.index);
  if (auto started = openings_.timed([&] { return flow.start(); }); !started) {
    log_.warning(sys::LogClass::host, "{} for {}", started.error().message(), sys::to_string(guest));
    bury(flow);
    refuse(datagram);
    return nullptr;
  }
  // Until it is answered: a guest opens thousands of these before the first one has to make room.
  openings_.wasted();
  ++counters_.opened;
  return &flow;
}

void UdpNat::refuse(const stack::UdpDatagram& datagram) noexcept {
  const sys::IpAddress& guest = datagram.source().address;
  send_host_error(link_, datagram.packet.source_mac, policy_.gateway_for(guest),
                  local_error(EACCES, guest.is_v4()), datagram.packet.packet);
}

void UdpNat::make_room() noexcept {
  ++counters_.evicted;
  bury(*flows_.get(unanswered_.front()));
}

void UdpNat::used(UdpFlow& flow) noexcept {
  flow.last_used_ = timers_.now();
  if (!flow.answered_) {
    unanswered_.splice(unanswered_.end(), unanswered_, flow.unanswered_);
  }
}

void UdpNat::answered(UdpFlow& flow) noexcept {
  if (!flow.answered_) {
    flow.answered_ = true;
    unanswered_.erase(flow.unanswered_);
    openings_.answered();
  }
}

void UdpNat::flush() noexcept {
  for (const Handle handle : waiting_) {
    if (UdpFlow* flow = flows_.get(handle)) {
      flow->waiting_ = false;
      flow->flush();
    }
  }
  waiting_.clear();
}

void UdpNat::bury(UdpFlow& flow) noexcept {
  flow.flush();
  if (!flow.answered_) {
    unanswered_.erase(flow.unanswered_);
  }
  flow.timer_.cancel();
  flow.socket_.reset();
  table_.erase(key_of(flow.guest()));
  graveyard_.bury(flows_.take(flow.handle()));
}

// What comes from the host's loopback comes from the gateway, as the guest sees it.
std::optional<sys::Endpoint> UdpNat::visible_source(const sys::Endpoint& source) const noexcept {
  if (!sys::is_loopback(source.address)) {
    return source;
  }
  if (!policy_.host_loopback) {
    return std::nullopt;
  }
  return sys::Endpoint{policy_.gateway_for(source.address), source.port};
}

}  // namespace l4n::nat
