// How lwIP is kept from walking.
//
// lwIP keeps all connections in global linked lists and searches them for every segment: with 20,000 of them
// that costs 100 microseconds a segment. We find the connection by our own hash table, so we keep every pcb
// out of the lists and show lwIP a list of exactly one element for the length of one call:
//
//     PcbLink link(pcb);            // tcp_active_pcbs = {pcb}
//     tcp_input(p, netif);
//     link.outcome();               // still active? moved to TIME-WAIT? freed?
//                                   // ~PcbLink: all lists empty again
//
// Invariants: at most one link exists at a time; between links every list of lwIP is empty; callbacks that
// run during a link touch no other pcb. tcp_output(), tcp_write() and tcp_shutdown() use no list and need no
// link; tcp_abort() removes from a list and is content with one that is empty.
//
// This header and pcb_link.cpp are the only place that touches the lists.
#pragma once

#include <span>

struct tcp_pcb;
struct tcp_pcb_listen;

namespace l4n::stack {

enum class PcbOutcome {
  active,     // as before
  time_wait,  // both ends have closed; the pcb stands in TIME-WAIT and is ours to free
  freed,      // lwIP has freed it (and has called the error callback)
};

// One connection, for tcp_input().
class PcbLink {
 public:
  explicit PcbLink(tcp_pcb* pcb) noexcept;
  PcbLink(const PcbLink&) = delete;
  PcbLink& operator=(const PcbLink&) = delete;
  ~PcbLink();

  [[nodiscard]] PcbOutcome outcome() const noexcept;

 private:
  tcp_pcb* pcb_;
};

// The wildcard listener, for the tcp_input() of a SYN. `taken()` is the new pcb, or null.
class ListenerLink {
 public:
  explicit ListenerLink(tcp_pcb_listen* listener) noexcept;
  ListenerLink(const ListenerLink&) = delete;
  ListenerLink& operator=(const ListenerLink&) = delete;
  ~ListenerLink();

  [[nodiscard]] tcp_pcb* taken() const noexcept;
};

// Many connections, for tcp_tmr(). Those that lwIP frees have their error callback called.
class PcbListLink {
 public:
  PcbListLink() noexcept;
  PcbListLink(const PcbListLink&) = delete;
  PcbListLink& operator=(const PcbListLink&) = delete;
  ~PcbListLink();

  void add(tcp_pcb* pcb) noexcept;
};

// Takes a pcb that tcp_connect() has put there out of lwIP's list.
void unlink_active(tcp_pcb* pcb) noexcept;
// Takes a fresh listener out of lwIP's list of listeners.
void unlink_listener(tcp_pcb_listen* listener) noexcept;
// Frees a pcb whose outcome was time_wait. No link may exist.
void free_time_wait_pcb(tcp_pcb* pcb) noexcept;

}  // namespace l4n::stack
