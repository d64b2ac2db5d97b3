#include "stack/pcb_link.hpp"

#include "lwip/priv/tcp_priv.h"

namespace l4n::stack {
namespace {

void assert_lists_empty() noexcept {
  LWIP_ASSERT("lwIP's pcb lists are empty between links",
              tcp_active_pcbs == nullptr && tcp_tw_pcbs == nullptr && tcp_listen_pcbs.pcbs == nullptr &&
                  tcp_bound_pcbs == nullptr);
}

}  // namespace

PcbLink::PcbLink(tcp_pcb* pcb) noexcept : pcb_(pcb) {
  assert_lists_empty();
  pcb->next = nullptr;
  tcp_active_pcbs = pcb;
}

PcbLink::~PcbLink() {
  tcp_active_pcbs = nullptr;
  tcp_tw_pcbs = nullptr;
}

PcbOutcome PcbLink::outcome() const noexcept {
  if (tcp_active_pcbs == pcb_) {
    return PcbOutcome::active;
  }
  return tcp_tw_pcbs == pcb_ ? PcbOutcome::time_wait : PcbOutcome::freed;
}

ListenerLink::ListenerLink(tcp_pcb_listen* listener) noexcept {
  assert_lists_empty();
  listener->next = nullptr;
  tcp_listen_pcbs.listen_pcbs = listener;
}

ListenerLink::~ListenerLink() {
  tcp_listen_pcbs.listen_pcbs = nullptr;
  tcp_active_pcbs = nullptr;
}

tcp_pcb* ListenerLink::taken() const noexcept { return tcp_active_pcbs; }

PcbListLink::PcbListLink() noexcept { assert_lists_empty(); }

PcbListLink::~PcbListLink() {
  while (tcp_active_pcbs != nullptr) {
    tcp_pcb* pcb = tcp_active_pcbs;
    tcp_active_pcbs = pcb->next;
    pcb->next = nullptr;
  }
}

void PcbListLink::add(tcp_pcb* pcb) noexcept {
  pcb->next = tcp_active_pcbs;
  tcp_active_pcbs = pcb;
}

void unlink_active(tcp_pcb* pcb) noexcept {
  tcp_active_pcbs = nullptr;
  pcb->next = nullptr;
}

void unlink_listener(tcp_pcb_listen* listener) noexcept {
  tcp_listen_pcbs.listen_pcbs = nullptr;
  listener->next = nullptr;
}

void free_time_wait_pcb(tcp_pcb* pcb) noexcept {
  assert_lists_empty();
  pcb->next = nullptr;
  tcp_tw_pcbs = pcb;
  tcp_pcb_remove(&tcp_tw_pcbs, pcb);
  tcp_free(pcb);
}

}  // namespace l4n::stack
