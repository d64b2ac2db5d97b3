#include "stack/neighbours.hpp"

#include <algorithm>
#include <array>

namespace l4n::stack {

class Neighbours::Entry final : private sys::TimerHandler {
 public:
  Entry(Neighbours& owner, const sys::IpAddress& address) noexcept
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

  [[nodiscard]] const std::optional<MacAddress>& mac() const noexcept { return mac_; }

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
  const sys::IpAddress address_;
  std::optional<MacAddress> mac_;
  sys::Time confirmed_{};
  int questions_ = 0;
  std::list<NeighbourWaiter*> waiters_;
  sys::Timer timer_;
};

Neighbours::Neighbours(GuestLink& link, sys::TimerQueue& timers, sys::Ipv4Address gateway,
                       const sys::Ipv6Address& router) noexcept
    : link_(link), timers_(timers), gateway_(gateway), router_(router) {}
Neighbours::~Neighbours() = default;

// Null when the table is full of addresses that somebody waits for.
Neighbours::Entry* Neighbours::entry(const sys::IpAddress& address) {
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

std::optional<MacAddress> Neighbours::find(const sys::IpAddress& address) {
  Entry* found = entry(address);
  return found == nullptr ? std::nullopt : found->use();
}

std::optional<MacAddress> Neighbours::resolve(const sys::IpAddress& address, NeighbourWaiter& waiter) {
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

Neighbours::Entry* Neighbours::known(const sys::IpAddress& address) noexcept {
  const auto found = entries_.find(address);
  return found == entries_.end() ? nullptr : found->second.get();
}

void Neighbours::learn(const ArpPacket& arp) noexcept { learn(arp.sender, arp.sender_mac); }

void Neighbours::learn(const sys::IpAddress& address, const MacAddress& mac) noexcept {
  Entry* entry = known(address);
  if (entry != nullptr && !is_multicast(mac)) {
    entry->confirm(mac);
  }
}

void Neighbours::learn(const NeighbourAdvertisement& advertisement, const MacAddress& sender) noexcept {
  const Entry* entry = known(advertisement.target);
  if (entry == nullptr || (!advertisement.solicited && !advertisement.target_mac)) {
    return;
  }
  const MacAddress mac = advertisement.target_mac.value_or(sender);
  if (!entry->mac()) {
    learn(advertisement.target, mac);
    return;
  }
  // Without the override flag it may confirm what is known, and not change it.
  const bool same = *entry->mac() == mac;
  if (advertisement.override || (advertisement.solicited && same)) {
    learn(advertisement.target, mac);
  }
}

void Neighbours::ask(const sys::IpAddress& address) noexcept {
  if (address.is_v4()) {
    ask_arp(address.v4());
  } else {
    ask_ndp(address.v6());
  }
}

void Neighbours::ask_arp(sys::Ipv4Address address) noexcept {
  ArpPacket request;
  request.sender_mac = kGatewayMac;
  request.sender = gateway_;
  request.target = address;
  link_.send_arp(kBroadcastMac, request);
}

void Neighbours::ask_ndp(const sys::Ipv6Address& address) noexcept {
  std::array<std::byte, kNeighbourMessageSize> message{};
  const std::size_t size = encode_neighbour_solicitation(message, {address, kGatewayMac});
  const sys::Ipv6Address group = solicited_node_multicast(address);
  link_.send_icmp(multicast_mac(group), ndp_header(router_, group), std::span(message).first(size));
}

}  // namespace l4n::stack
