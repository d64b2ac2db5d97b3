// DnsForwarder: the DNS service at x.3 over UDP. (Over TCP it is an ordinary relay to the resolvers.)
//
// Every question has a host socket to itself, connected to the server that is asked, so an answer can come
// from nobody else, from no port that could be guessed, and goes to nobody but its asker. A socket whose
// question was answered waits a moment for another question from the same port of the guest: an asker who
// changes the port with every question, as resolvers do, gets a new one each time. A server that
// refuses makes way for the next one at once, one that is silent after a while; then all are asked once
// more, and at last the guest is told that it failed.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <vector>

#include "nat/host.hpp"
#include "nat/opening_limit.hpp"
#include "nat/resolvers.hpp"
#include "nat/slab.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/sys/member_handler.hpp"
#include "stack/guest_link.hpp"
#include "stack/ingress.hpp"

namespace l4n::nat {

class DnsForwarder {
 public:
  // Of all questions that wait for their answer.
  static constexpr std::size_t kMostBytes = 1024 * 1024;
  static constexpr sys::Duration kTryTime = std::chrono::milliseconds(1500);
  static constexpr unsigned kRounds = 2;
  // How long a socket waits for another question at least.
  static constexpr sys::Duration kSpareTime = std::chrono::seconds(2);

  struct Counters {
    std::uint64_t questions = 0;
    std::uint64_t answers = 0;
    std::uint64_t failures = 0;  // no server answered
    std::uint64_t evicted = 0;   // the oldest question made room
    std::uint64_t dropped = 0;   // in a flood of questions that nobody answers
  };

  DnsForwarder(stack::GuestLink& link, Host& host, Resolvers& resolvers, sys::TimerQueue& timers,
               sys::Graveyard& graveyard, std::size_t most_questions, std::size_t most_spare) noexcept;
  DnsForwarder(const DnsForwarder&) = delete;
  DnsForwarder& operator=(const DnsForwarder&) = delete;
  ~DnsForwarder();

  void on_datagram(const stack::UdpDatagram& datagram);

  [[nodiscard]] std::size_t pending() const noexcept { return questions_.size(); }
  [[nodiscard]] std::size_t spare_sockets() const noexcept { return spare_.size(); }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  class Question;

  // An open socket whose question was answered. Nothing more is expected of it: what comes is thrown away.
  struct Spare final : HostObserver {
    sys::Endpoint asker;
    HostTarget server;
    std::unique_ptr<HostDatagram> socket;
    bool fresh = true;  // since the last sweep

    void on_host_event() noexcept override;
  };

  void keep(const sys::Endpoint& asker, const HostTarget& server, std::unique_ptr<HostDatagram> socket);
  [[nodiscard]] std::unique_ptr<HostDatagram> take_spare(const sys::Endpoint& asker,
                                                         const HostTarget& server) noexcept;
  void sweep() noexcept;
  void make_room(std::size_t bytes) noexcept;
  void evict_oldest() noexcept;
  void bury(Question& question) noexcept;

  stack::GuestLink& link_;
  Host& host_;
  Resolvers& resolvers_;
  sys::TimerQueue& timers_;
  sys::Graveyard& graveyard_;
  const std::size_t most_questions_;
  const std::size_t most_spare_;  // sockets that wait for another question
  Slab<Question> questions_;
  std::size_t bytes_ = 0;     // of these
  std::deque<Handle> order_;  // oldest first; may name questions that are answered
  std::list<Spare> spare_;    // the one kept last is first
  sys::MemberTimer<DnsForwarder> sweep_alarm_{*this, &DnsForwarder::sweep};
  sys::Timer sweep_timer_;
  OpeningLimit openings_{timers_, WastedPart::kDns};
  Counters counters_;
};

}  // namespace l4n::nat
