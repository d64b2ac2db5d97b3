// Neighbours: the MAC addresses of the guest's IP addresses, asked for by ARP (RFC 826) or by neighbour
// solicitation (RFC 4861 7.2) when we are the one who speaks first, which only port forwards do. Answers to
// the guest need none of this: they go to the MAC that the question came from.
//
// An entry exists only because somebody here asked for it, so nothing that the guest sends makes the table
// grow. It is believed for a minute and asked for again while it is used (RFC 1122 2.3.2.1),
// always by multicast: one who has moved is found too. Whatever confirms an entry does so for as long; the
// finer states of RFC 4861 7.3 would save a question a minute.
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
#include "stack/ndp.hpp"

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

  // The senders of our questions: the gateway, and the router's link-local address.
  Neighbours(GuestLink& link, sys::TimerQueue& timers, sys::Ipv4Address gateway,
             const sys::Ipv6Address& router) noexcept;
  Neighbours(const Neighbours&) = delete;
  Neighbours& operator=(const Neighbours&) = delete;
  ~Neighbours();

  // The MAC when it is known; else the waiter will be told, and must live until then or call forget().
  std::optional<MacAddress> resolve(const sys::IpAddress& address, NeighbourWaiter& waiter);
  // The MAC when it is known, and a question on the wire when it is not or is no longer believed.
  std::optional<MacAddress> find(const sys::IpAddress& address);
  void forget(const NeighbourWaiter& waiter) noexcept;
  // Any ARP packet of the guest, request or reply: its sender is who it says (RFC 826, "merge flag").
  void learn(const ArpPacket& arp) noexcept;
  // The source of a neighbour or router solicitation, and its source link-layer address (RFC 4861 7.2.3).
  void learn(const sys::IpAddress& address, const MacAddress& mac) noexcept;
  // RFC 4861 7.2.5. `sender`: the source of its frame, for one that is solicited and does not say more.
  void learn(const NeighbourAdvertisement& advertisement, const MacAddress& sender) noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  class Entry;

  Entry* entry(const sys::IpAddress& address);
  [[nodiscard]] Entry* known(const sys::IpAddress& address) noexcept;
  void ask(const sys::IpAddress& address) noexcept;
  void ask_arp(sys::Ipv4Address address) noexcept;
  void ask_ndp(const sys::Ipv6Address& address) noexcept;

  GuestLink& link_;
  sys::TimerQueue& timers_;
  sys::Ipv4Address gateway_;
  sys::Ipv6Address router_;
  std::map<sys::IpAddress, std::unique_ptr<Entry>> entries_;
};

}  // namespace l4n::stack
