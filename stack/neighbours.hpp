// Neighbours: the MAC addresses of the guest's IPv4 addresses, asked for by ARP (RFC 826) when we are the one
// who speaks first, which only port forwards do. Answers to the guest need none of this: they go to the MAC
// that the question came from.
//
// An entry exists only because somebody here asked for it, so nothing that the guest sends makes the table
// grow. It is believed for a minute and asked for again while it is used (RFC 1122 2.3.2.1).
#pragma once

#include <list>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "netns/sys/ip_address.hpp"
#include "netns/sys/timers.hpp"
#include "stack/arp.hpp"
#include "stack/guest_link.hpp"
#include "stack/mac_address.hpp"

namespace l4n::stack {

class NeighbourWaiter {
 public:
  // The answer, or nothing when nobody answered. Called once for each resolve() that said "not yet".
  virtual void on_neighbour(const std::optional<MacAddress>& mac) noexcept = 0;

 protected:
  ~NeighbourWaiter() = default;
};

class Neighbours {
 public:
  static constexpr sys::Duration kBelieved = std::chrono::seconds(60);
  static constexpr sys::Duration kAskAgain = std::chrono::seconds(1);
  static constexpr int kQuestions = 3;  // before the waiters are told that nobody answers
  // Addresses; beyond them one that nobody waits for makes room.
  static constexpr std::size_t kMost = 256;

  // `own`: the sender of our requests, the gateway.
  Neighbours(GuestLink& link, sys::TimerQueue& timers, sys::Ipv4Address own) noexcept;
  Neighbours(const Neighbours&) = delete;
  Neighbours& operator=(const Neighbours&) = delete;
  ~Neighbours();

  // The MAC when it is known; else the waiter will be told, and must live until then or call forget().
  std::optional<MacAddress> resolve(sys::Ipv4Address address, NeighbourWaiter& waiter);
  // The MAC when it is known, and a question on the wire when it is not or is no longer believed.
  std::optional<MacAddress> find(sys::Ipv4Address address);
  void forget(const NeighbourWaiter& waiter) noexcept;
  // Any ARP packet of the guest, request or reply: its sender is who it says (RFC 826, "merge flag").
  void learn(const ArpPacket& arp) noexcept;
  // What neighbour discovery has told.
  void learn(const sys::IpAddress& address, const MacAddress& mac) noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  class Entry;

  Entry* entry(sys::Ipv4Address address);
  void ask(sys::Ipv4Address address) noexcept;

  GuestLink& link_;
  sys::TimerQueue& timers_;
  sys::Ipv4Address own_;
  std::map<sys::Ipv4Address, std::unique_ptr<Entry>> entries_;
};

}  // namespace l4n::stack
