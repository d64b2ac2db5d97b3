#include "stack/guest_tcp.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "stack/frame_pbuf.hpp"
#include "stack/lwip_hooks.hpp"
#include "stack/pcb_link.hpp"
#include "stack/segment_copy.hpp"
#include "stack/tcp_output.hpp"

namespace l4n::stack {
namespace {

constexpr sys::Duration kTick = std::chrono::milliseconds(TCP_TMR_INTERVAL);
// How often buffers that nobody needed are given back, while there are any.
constexpr sys::Duration kTidy = std::chrono::seconds(1);
// Of what is given to the guest's kernel to cut, in bytes with the IP header: what it takes in one frame.
constexpr std::uint32_t kLargestPacket = 65535;
// A guest that announces less gets this (as Linux does): a tiny MSS would only multiply packets.
constexpr std::uint16_t kSmallestMss = 48;
// The TAP does not lose packets to congestion: open the congestion window once and for all.
constexpr std::uint32_t kWideOpen = 2 * TCP_SND_BUF;

static_assert(GuestConnection::kLargestCap == TCP_WND);

ip_addr_t to_lwip(const sys::IpAddress& address) noexcept {
  ip_addr_t out{};
  if (address.is_v4()) {
    IP_SET_TYPE_VAL(out, IPADDR_TYPE_V4);
    ip_2_ip4(&out)->addr = lwip_htonl(address.v4().value);
  } else {
    IP_SET_TYPE_VAL(out, IPADDR_TYPE_V6);
    std::memcpy(ip_2_ip6(&out)->addr, address.v6().bytes.data(), address.v6().bytes.size());
  }
  return out;
}

bool needs_timer(const tcp_pcb& pcb) noexcept {
  constexpr tcpflags_t kPending = TF_ACK_DELAY | TF_ACK_NOW | TF_CLOSEPEND | TF_NAGLEMEMERR;
  const bool waiting = pcb.unacked != nullptr || pcb.unsent != nullptr || pcb.ooseq != nullptr ||
                       pcb.refused_data != nullptr || (pcb.flags & kPending) != 0;
  const bool resting = pcb.state == ESTABLISHED || pcb.state == CLOSE_WAIT || pcb.state == FIN_WAIT_2;
  return waiting || !resting;
}

// The segment with its header moved up against the payload, so that lwIP sees no options: it would take an
// MSS option from any segment.
sys::MutableBytes without_options(const TcpSegment& segment) noexcept {
  const std::size_t skip = segment.tcp.header_length - kTcpHeaderSize;
  const sys::MutableBytes plain = segment.segment.subspan(skip);
  if (skip > 0) {
    std::memmove(plain.data(), segment.segment.data(), kTcpHeaderSize);
  }
  plain[12] = std::byte{kTcpHeaderSize / 4 << 4U};
  return plain;
}

// The first `text` bytes of a segment, to which its end does not belong any more.
sys::MutableBytes trimmed(sys::MutableBytes plain, std::size_t text) noexcept {
  plain[13] &= ~std::byte{TcpFlags::kFin | TcpFlags::kPsh};
  return plain.first(kTcpHeaderSize + text);
}

// A SYN or SYN-ACK for lwIP, made anew with the options that it may see. Null without memory.
pbuf* make_syn(const FlowKey& key, TcpHeader header, std::uint16_t mss,
               std::optional<std::uint8_t> window_scale) noexcept {
  constexpr std::size_t kOptions = 8;  // MSS, window scale, padding
  pbuf* p = pbuf_alloc(PBUF_RAW, kTcpHeaderSize + kOptions, PBUF_RAM);
  if (p == nullptr) {
    return nullptr;
  }
  header.source_port = key.guest().port;
  header.destination_port = key.remote().port;
  header.header_length = kTcpHeaderSize + kOptions;
  const std::span<std::byte> segment(static_cast<std::byte*>(p->payload), p->len);
  encode_tcp(segment, header);
  sys::ByteWriter options(segment.subspan(kTcpHeaderSize));
  options.be32(0x02040000U | std::max(mss, kSmallestMss));
  // NOP, window scale; or four NOPs
  options.be32(window_scale ? 0x01030300U | *window_scale : 0x01010101U);
  return p;
}

}  // namespace

// lwIP calls these; each finds its object and calls one member.
struct LwipCallbacks {
  static err_t accept(void* /*arg*/, tcp_pcb* /*pcb*/, err_t /*err*/) noexcept { return ERR_OK; }
  static err_t connected(void* arg, tcp_pcb* /*pcb*/, err_t /*err*/) noexcept {
    auto* connection = static_cast<GuestConnection*>(arg);
    connection->tcp_.start_transfer(*connection);
    return ERR_OK;
  }
  static err_t recv(void* arg, tcp_pcb* /*pcb*/, pbuf* p, err_t /*err*/) noexcept {
    auto* connection = static_cast<GuestConnection*>(arg);
    p == nullptr ? static_cast<void>(connection->guest_finished_ = true) : connection->on_received(p);
    return ERR_OK;
  }
  static err_t sent(void* arg, tcp_pcb* /*pcb*/, u16_t bytes) noexcept {
    static_cast<GuestConnection*>(arg)->on_acknowledged(bytes);
    return ERR_OK;
  }
  static void error(void* arg, err_t err) noexcept {
    const auto end = err == ERR_RST    ? GuestConnection::End::reset
                     : err == ERR_CLSD ? GuestConnection::End::finished
                                       : GuestConnection::End::lost;
    static_cast<GuestConnection*>(arg)->on_gone(end);
  }
  template <class Address>
  static err_t output(netif* interface, pbuf* p, const Address* /*to*/) noexcept {
    auto* tcp = static_cast<GuestTcp*>(interface->state);
    tcp->transmit(connection_of(interface->hints), p);
    return ERR_OK;
  }
  static void attach(tcp_pcb* pcb, GuestConnection& connection) noexcept {
    tcp_arg(pcb, &connection);
    tcp_recv(pcb, recv);
    tcp_sent(pcb, sent);
    tcp_err(pcb, error);
    tcp_nagle_disable(pcb);
  }
  static err_t start_interface(netif* interface) noexcept {
    interface->output = output<ip4_addr_t>;
    interface->output_ip6 = output<ip6_addr_t>;
    interface->name[0] = 'g';
    return ERR_OK;
  }
  static err_t no_input(pbuf* p, netif* /*interface*/) noexcept {
    pbuf_free(p);  // nothing enters lwIP this way
    return ERR_OK;
  }

  // The hints that lwIP sets around output are a member of the pcb that sends; null for a reset without one.
  static GuestConnection* connection_of(netif_hint* hints) noexcept {
    if (hints == nullptr) {
      return nullptr;
    }
    auto* pcb =
        reinterpret_cast<tcp_pcb*>(reinterpret_cast<std::byte*>(hints) - offsetof(tcp_pcb, netif_hints));
    return static_cast<GuestConnection*>(pcb->callback_arg);
  }
};

struct GuestTcp::Interface {
  netif lwip{};
};

HeldSyn HeldSyn::of(const TcpSegment& segment) noexcept {
  HeldSyn syn;
  syn.key = segment.key;
  syn.mac = segment.packet.source_mac;
  syn.isn = segment.tcp.seq;
  syn.window = segment.tcp.window;
  syn.mss = segment.tcp.mss.value_or(default_mss(segment.packet.ip.is_v4()));
  syn.window_scale = segment.tcp.window_scale;
  return syn;
}

GuestTcp::GuestTcp(GuestLink& link, sys::TimerQueue& timers, const sys::Clock& clock, MemoryBudget& memory,
                   sys::Ipv4Address address)
    : link_(link),
      clock_(clock),
      memory_(memory),
      time_wait_(sys::HashKey::random()),
      interface_(std::make_unique<Interface>()),
      tick_timer_(timers, tick_alarm_),
      tidy_timer_(timers, tidy_alarm_) {
  set_isn_source(sys::HashKey::random(), &clock);
  lwip_init();
  netif& lwip = interface_->lwip;
  const ip4_addr_t own{lwip_htonl(address.value)};
  netif_add(&lwip, &own, nullptr, nullptr, this, LwipCallbacks::start_interface, LwipCallbacks::no_input);
  lwip.mtu = static_cast<u16_t>(link.mtu());
  netif_set_default(&lwip);
  netif_set_up(&lwip);
  netif_set_link_up(&lwip);

  tcp_pcb* any = tcp_new_ip_type(IPADDR_TYPE_ANY);
  LWIP_ASSERT("memory for the listener", any != nullptr);
  // The port is a placeholder: open() sets it for every SYN.
  tcp_bind(any, IP_ANY_TYPE, 1);
  tcp_pcb* listener = tcp_listen(any);
  LWIP_ASSERT("memory for the listener", listener != nullptr);
  tcp_accept(listener, LwipCallbacks::accept);
  listener_ = reinterpret_cast<tcp_pcb_listen*>(listener);
  unlink_listener(listener_);
}

GuestTcp::~GuestTcp() {
  memp_free(MEMP_TCP_PCB_LISTEN, listener_);
  netif_remove(&interface_->lwip);
  set_isn_source({}, nullptr);
}

// Lets lwIP process one segment whose addresses are those of `key`. Takes over `p`, which begins at the TCP
// header.
void GuestTcp::feed(const FlowKey& key, pbuf* p) noexcept {
  netif* interface = &interface_->lwip;
  ip_data.current_netif = interface;
  ip_data.current_input_netif = interface;
  ip_data.current_iphdr_src = to_lwip(key.guest().address);
  ip_data.current_iphdr_dest = to_lwip(key.remote().address);
  tcp_input(p, interface);
}

bool GuestTcp::open(GuestConnection& connection, const HeldSyn& syn) noexcept {
  TcpHeader header;
  header.seq = syn.isn;
  header.flags = TcpFlags::kSyn;
  header.window = syn.window;
  pbuf* p = make_syn(syn.key, header, syn.mss, syn.window_scale);
  if (p == nullptr) {
    return false;
  }
  connection.key_ = syn.key;
  connection.mac_ = syn.mac;
  tcp_pcb* pcb = nullptr;
  {
    ListenerLink link(listener_);
    listener_->local_port = syn.key.remote().port;
    listener_->callback_arg = &connection;
    feed(syn.key, p);
    pcb = link.taken();
  }
  if (pcb == nullptr) {
    return false;
  }
  pcb->next = nullptr;
  connection.pcb_ = pcb;
  connection.state_ = GuestConnection::State::syn_received;
  LwipCallbacks::attach(pcb, connection);
  start_transfer(connection);
  update_ticking(connection);
  return true;
}

bool GuestTcp::connect(GuestConnection& connection, const FlowKey& key, const MacAddress& mac) noexcept {
  tcp_pcb* pcb = tcp_new_ip_type(key.guest().address.is_v4() ? IPADDR_TYPE_V4 : IPADDR_TYPE_V6);
  if (pcb == nullptr) {
    return false;
  }
  time_wait_.erase(key);  // whoever connects again is done with the old connection
  connection.key_ = key;
  connection.mac_ = mac;
  LwipCallbacks::attach(pcb, connection);
  pcb->local_ip = to_lwip(key.remote().address);
  pcb->local_port = key.remote().port;
  const ip_addr_t guest = to_lwip(key.guest().address);
  const err_t result = tcp_connect(pcb, &guest, key.guest().port, LwipCallbacks::connected);
  unlink_active(pcb);
  if (result != ERR_OK) {
    tcp_err(pcb, nullptr);
    tcp_abort(pcb);
    return false;
  }
  connection.pcb_ = pcb;
  connection.state_ = GuestConnection::State::syn_sent;
  update_ticking(connection);
  return true;
}

// Segment size and windows, once both are agreed on with the guest.
void GuestTcp::start_transfer(GuestConnection& connection) noexcept {
  tcp_pcb* pcb = connection.pcb_;
  // Segments toward the guest are made as large as one IP packet can be and cut by the TAP's segmentation
  // offload to the guest's MSS, which lwIP has put into pcb->mss.
  connection.mss_ = pcb->mss;
  if (link_.offloads()) {
    const std::size_t headers = ip_header_size(connection.key_.guest().address) + kTcpHeaderSize;
    pcb->mss = static_cast<u16_t>((kLargestPacket - headers) / pcb->mss * pcb->mss);
  }
  // Our SYN or SYN-ACK has announced at most 65,535 bytes, whatever lwIP notes.
  constexpr std::uint32_t kAnnounced = 0xffff;
  const bool scaled = (pcb->flags & TF_WND_SCALE) != 0;
  connection.receive_cap_ = scaled ? GuestConnection::kInitialCap : kAnnounced;
  const std::size_t promisable = std::max<std::size_t>(connection.receive_memory_.promisable(), kAnnounced);
  const auto window = static_cast<std::uint32_t>(std::min<std::size_t>(connection.receive_cap_, promisable));
  connection.window_credit_ = connection.receive_cap_ - window;
  pcb->rcv_wnd = window;
  pcb->rcv_ann_wnd = window;
  pcb->rcv_ann_right_edge = pcb->rcv_nxt + kAnnounced;
}

// A segment of a connection as lwIP may see it; null without memory. What waits out of order would pin its
// 64 KiB buffer for long: it is copied.
pbuf* GuestTcp::admit(GuestConnection& connection, const TcpSegment& segment, FrameBufferPtr frame) noexcept {
  if (connection.state_ == GuestConnection::State::syn_sent && segment.tcp.has(TcpFlags::kSyn)) {
    return make_syn(connection.key_, segment.tcp,
                    segment.tcp.mss.value_or(default_mss(segment.packet.ip.is_v4())),
                    segment.tcp.window_scale);
  }
  MemoryAccount& memory = connection.receive_memory_;
  tcp_pcb& pcb = *connection.pcb_;
  sys::MutableBytes plain = without_options(segment);
  const std::size_t text = segment.payload_size();
  const bool out_of_order = text > 0 && segment.tcp.seq != pcb.rcv_nxt;
  if (!out_of_order) {
    if (text > memory.acceptable()) {
      // What came out of order must not keep out what fills its hole.
      tcp_free_ooseq(&pcb);
    }
    if (text > memory.acceptable()) {
      ++counters_.trimmed;
      plain = trimmed(plain, memory.acceptable());
    }
    return frame_to_pbuf(std::move(frame), plain);
  }
  if (copy_cost(text) > memory.promisable()) {
    ++counters_.trimmed;
    plain = trimmed(plain, 0);
    tcp_ack_now(&pcb);  // as for every segment out of order (RFC 5681 4.2)
  }
  return copy_to_pbuf(plain, memory);
}

void GuestTcp::input(GuestConnection& connection, const TcpSegment& segment, FrameBufferPtr frame) noexcept {
  tcp_pcb* pcb = connection.pcb_;
  ++counters_.segments;
  connection.mac_ = segment.packet.source_mac;
  reply_mac_ = segment.packet.source_mac;
  switch (judge(connection, segment)) {
    case SegmentVerdict::drop:
      ++counters_.refused;
      return;
    case SegmentVerdict::acknowledge:
      challenge(connection, segment);
      return;
    case SegmentVerdict::resend_syn_ack:
      tcp_rexmit(pcb);
      tcp_output(pcb);
      return;
    case SegmentVerdict::accept:
      break;
  }
  pbuf* p = admit(connection, segment, std::move(frame));
  if (p == nullptr) {
    return;
  }
  PcbOutcome outcome = PcbOutcome::active;
  {
    PcbLink link(pcb);
    feed(connection.key_, p);
    outcome = link.outcome();
  }
  if (outcome == PcbOutcome::time_wait) {
    time_wait_.add(connection.key_, pcb->rcv_nxt, pcb->snd_nxt, clock_.now());
    connection.on_gone(GuestConnection::End::finished);
    free_time_wait_pcb(pcb);
  }
  settle(connection);
}

SegmentVerdict GuestTcp::judge(const GuestConnection& connection, const TcpSegment& segment) const noexcept {
  const tcp_pcb& pcb = *connection.pcb_;
  if (pcb.state == SYN_SENT) {
    return judge_syn_sent(segment.tcp, pcb.snd_nxt);
  }
  return judge_segment(
      segment.tcp, segment.payload_size(),
      {pcb.rcv_nxt, pcb.rcv_wnd, pcb.lastack, pcb.snd_nxt, pcb.snd_wnd_max, pcb.state == SYN_RCVD});
}

// A segment without text may be an answer to ours: two ends that both find the other wrong must not go on for
// ever (RFC 5961 7).
void GuestTcp::challenge(GuestConnection& connection, const TcpSegment& segment) noexcept {
  if (segment.payload_size() == 0 && !connection.challenges_.admit(clock_.now())) {
    ++counters_.challenges_limited;
    return;
  }
  ++counters_.challenged;
  tcp_send_empty_ack(connection.pcb_);
  update_ticking(connection);
}

// After lwIP has had its turn with a connection.
void GuestTcp::settle(GuestConnection& connection) noexcept {
  if (tcp_pcb* pcb = connection.pcb_; pcb != nullptr) {
    const bool opening = connection.state_ == GuestConnection::State::syn_received ||
                         connection.state_ == GuestConnection::State::syn_sent;
    if (opening && pcb->state != SYN_RCVD && pcb->state != SYN_SENT) {
      connection.state_ = GuestConnection::State::established;
      pcb->cwnd = kWideOpen;
      pcb->ssthresh = kWideOpen;
    }
    // lwIP forgets to stop the persist timer when the probe itself has carried the last byte over.
    if (pcb->unsent == nullptr) {
      pcb->persist_backoff = 0;
    }
  }
  update_ticking(connection);
  connection.observer_.on_connection_change();
}

bool GuestTcp::stray(const TcpSegment& segment) noexcept {
  const auto entry = time_wait_.find(segment.key, clock_.now());
  const TcpHeader& tcp = segment.tcp;
  if (tcp.opens() && (!entry || seq_before(entry->rcv_nxt, tcp.seq))) {
    if (entry) {
      time_wait_.erase(segment.key);
    }
    return false;
  }
  if (tcp.has(TcpFlags::kRst)) {
    return true;  // RFC 9293 3.10.7.1 and RFC 1337
  }
  const sys::Endpoint guest = segment.key.guest();
  const sys::Endpoint remote = segment.key.remote();
  if (entry && (tcp.has(TcpFlags::kSyn) || tcp.has(TcpFlags::kFin) || segment.payload_size() > 0)) {
    link_.send_tcp_ack(segment.packet.source_mac, remote, guest, entry->snd_nxt, entry->rcv_nxt);
  } else if (!entry) {
    link_.send_tcp_reset(segment.packet.source_mac, remote, guest, tcp, segment.payload_size());
  }
  return true;
}

// --- timers ---

void GuestTcp::update_ticking(GuestConnection& connection) noexcept {
  const bool needed =
      connection.pcb_ != nullptr && (needs_timer(*connection.pcb_) || !connection.postponed_.empty());
  const bool ticking = connection.tick_index_ != GuestConnection::kNotTicking;
  if (needed && !ticking) {
    connection.tick_index_ = ticking_.size();
    ticking_.push_back(&connection);
    if (!tick_timer_.armed()) {
      tick_timer_.arm(kTick);
    }
  } else if (!needed && ticking) {
    stop_ticking(connection);
  }
}

void GuestTcp::stop_ticking(GuestConnection& connection) noexcept {
  if (connection.tick_index_ == GuestConnection::kNotTicking) {
    return;
  }
  GuestConnection* last = ticking_.back();
  ticking_[connection.tick_index_] = last;
  last->tick_index_ = connection.tick_index_;
  ticking_.pop_back();
  connection.tick_index_ = GuestConnection::kNotTicking;
}

void GuestTcp::on_tick() {
  {
    PcbListLink link;
    for (const GuestConnection* connection : ticking_) {
      link.add(connection->pcb_);
    }
    tcp_tmr();
  }
  // Backwards, since a connection may leave the list, which moves the last one into its place.
  for (std::size_t i = ticking_.size(); i-- > 0;) {
    GuestConnection& connection = *ticking_[i];
    if (connection.pcb_ == nullptr) {
      stop_ticking(connection);
      connection.observer_.on_connection_change();
      continue;
    }
    if (!connection.postponed_.empty()) {
      connection.flush();
      connection.observer_.on_connection_change();
    }
    update_ticking(connection);
  }
  if (!ticking_.empty()) {
    tick_timer_.arm(kTick);
  }
}

void GuestTcp::tidy_buffers() noexcept {
  if (buffers_.unused() > FrameBufferPool::kIdle && !tidy_timer_.armed()) {
    tidy_timer_.arm(kTidy);
  }
}

void GuestTcp::on_tidy() {
  buffers_.give_back_idle();
  tidy_buffers();
}

// --- output ---

void GuestTcp::transmit(GuestConnection* connection, pbuf* packet) noexcept {
  const std::uint16_t mss = connection != nullptr ? connection->mss_ : std::uint16_t{0};
  const FinishedPacket finished = finish_tcp_packet(*packet, link_.offloads(), mss);
  const MacAddress& to = connection != nullptr ? connection->mac_ : reply_mac_;

  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): written below
  std::array<iovec, GuestLink::kMaxParts> parts;
  std::size_t count = 0;
  const pbuf* p = packet;
  for (; p != nullptr && count < parts.size(); p = p->next) {
    parts[count++] = {p->payload, p->len};
  }
  if (p == nullptr) {
    link_.send(to, finished.ether_type, finished.vnet, std::span(parts).first(count));
    return;
  }
  // Many small writes that lwIP has joined while it could not send: gather them.
  const FrameBufferPtr gathered = buffers_.take();
  if (gathered != nullptr) {
    gathered->size = pbuf_copy_partial(packet, gathered->data.data(), packet->tot_len, 0);
    const iovec whole{gathered->data.data(), gathered->size};
    link_.send(to, finished.ether_type, finished.vnet, {&whole, 1});
  }
}

}  // namespace l4n::stack
