#include "stack/neighbours.hpp"

#include <algorithm>

namespace l4n::stack {

class Neighbours::Entry final : private sys::TimerHandler {
 public:
  Entry(Neighbours& owner, sys::Ipv4Address address) noexcept
      : owner_(owner), address_(address), timer_(owner.timers_, *this) {}

  // The MAC, also one that has to be confirmed again; asks where that is due.
  std::optional<MacAddress> use() noexcept {
    const bool believed = mac_ && owner_.timers_.now() - confirmed_ < kBelieved;
    if (!believed && !timer_.armed()) {
      questions_ = 0;
      on_timer();
    }
    return mac_;
  }

  void confirm(const MacAddress& mac) noexcept {
    mac_ = mac;
    confirmed_ = owner_.timers_.now();
    timer_.cancel();
    tell();
  }

  void wait(NeighbourWaiter& waiter) { waiters_.push_back(&waiter); }
  void forget(const NeighbourWaiter& waiter) noexcept { std::erase(waiters_, &waiter); }
  [[nodiscard]] bool idle() const noexcept { return waiters_.empty(); }

 private:
  void on_timer() noexcept override {
    if (questions_ == kQuestions) {
      mac_.reset();
      tell();
      return;
    }
    ++questions_;
    owner_.ask(address_);
    timer_.arm(kAskAgain);
  }

  // A waiter may resolve() again from within, or forget() others.
  void tell() noexcept {
    while (!waiters_.empty()) {
      NeighbourWaiter* waiter = waiters_.front();
      waiters_.pop_front();
      waiter->on_neighbour(mac_);
    }
  }

  Neighbours& owner_;
  const sys::Ipv4Address address_;
  std::optional<MacAddress> mac_;
  sys::Time confirmed_{};
  int questions_ = 0;
  std::list<NeighbourWaiter*> waiters_;
  sys::Timer timer_;
};

Neighbours::Neighbours(GuestLink& link, sys::TimerQueue& timers, sys::Ipv4Address own) noexcept
    : link_(link), timers_(timers), own_(own) {}
Neighbours::~Neighbours() = default;

// Null when the table is full of addresses that somebody waits for.
Neighbours::Entry* Neighbours::entry(sys::Ipv4Address address) {
  if (const auto found = entries_.find(address); found != entries_.end()) {
    return found->second.get();
  }
  if (entries_.size() >= kMost) {
    const auto idle =
        std::find_if(entries_.begin(), entries_.end(), [](const auto& e) { return e.second->idle(); });
    if (idle == entries_.end()) {
      return nullptr;
    }
    entries_.erase(idle);
  }
  return entries_.emplace(address, std::make_unique<Entry>(*this, address)).first->second.get();
}

std::optional<MacAddress> Neighbours::find(sys::Ipv4Address address) {
  Entry* found = entry(address);
  return found == nullptr ? std::nullopt : found->use();
}

std::optional<MacAddress> Neighbours::resolve(sys::Ipv4Address address, NeighbourWaiter& waiter) {
  Entry* found = entry(address);
  if (found == nullptr) {
    waiter.on_neighbour(std::nullopt);
    return std::nullopt;
  }
  const auto mac = found->use();
  if (!mac) {
    found->wait(waiter);
  }
  return mac;
}

void Neighbours::forget(const NeighbourWaiter& waiter) noexcept {
  for (auto& [address, entry] : entries_) {
    entry->forget(waiter);
  }
}

void Neighbours::learn(const ArpPacket& arp) noexcept {
  if (entries_.empty() || is_multicast(arp.sender_mac)) {
    return;
  }
  if (const auto found = entries_.find(arp.sender); found != entries_.end()) {
    found->second->confirm(arp.sender_mac);
  }
}

void Neighbours::learn(const sys::IpAddress& address, const MacAddress& mac) noexcept {
  if (!address.is_v4() || is_multicast(mac)) {
    return;
  }
  if (const auto found = entries_.find(address.v4()); found != entries_.end()) {
    found->second->confirm(mac);
  }
}

void Neighbours::ask(sys::Ipv4Address address) noexcept {
  ArpPacket request;
  request.sender_mac = kGatewayMac;
  request.sender = own_;
  request.target = address;
  link_.send_arp(kBroadcastMac, request);
}

}  // namespace l4n::stack
