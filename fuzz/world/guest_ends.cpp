#include "fuzz/world/guest_ends.hpp"

#include <algorithm>
#include <array>

#include "fuzz/world/injected_fault.hpp"
#include "fuzz/world/places.hpp"

namespace l4n::fuzz {
namespace {

using integration::append;
using integration::Data;
using integration::Flags;
using integration::TcpSegment;
using stack::VnetHeader;

constexpr std::size_t kConnecting = 6;
constexpr std::size_t kMostEnds = 20;
// The numbers of lives are the first half of a byte's values (HostEnds has the other).
constexpr std::size_t kMostLives = 128;
constexpr std::uint16_t kFirstPort = 40000;
constexpr std::size_t kLargestData = 20'000;

// Far apart, so that what is sent for one life lies in no window of another; the first wraps early.
std::uint32_t isn_of(std::size_t life) {
  return 0xfffff000U + static_cast<std::uint32_t>(life) * 0x07000001U;
}

constexpr std::array<std::optional<std::uint16_t>, 8> kMss{1460, std::nullopt, 65495, 48, 1, 536, 0, 8960};
constexpr std::array<std::optional<std::uint8_t>, 4> kScales{7, std::nullopt, 0, 14};

// By the bits of an operation's field.
Data options_of(std::uint16_t bits, std::optional<std::uint8_t> scale) {
  Data options;
  if (const auto mss = kMss.at(bits & 7U)) {
    append(options, integration::mss_option(*mss));
  }
  if (scale) {
    append(options, integration::window_scale_option(*scale));
  }
  constexpr std::array<std::byte, 12> kSackAndTimestamps{std::byte{4}, std::byte{2}, std::byte{8},
                                                         std::byte{10}};
  constexpr std::array<std::byte, 4> kCutOff{std::byte{1}, std::byte{254}, std::byte{9}, std::byte{2}};
  if ((bits >> 5U & 3U) == 1) {
    append(options, kSackAndTimestamps);
  } else if ((bits >> 5U & 3U) == 2) {
    append(options, kCutOff);
  }
  return options;
}

// NOP, NOP, timestamps (RFC 7323 A).
Data timestamps() {
  Data option(12);
  option[0] = option[1] = std::byte{1};
  option[2] = std::byte{8};
  option[3] = std::byte{10};
  return option;
}

// The guest's kernel leaves the checksum and the cutting to the interface where it can.
VnetHeader offloads_of(const TcpSegment& segment, bool v4) {
  constexpr std::uint16_t kMostPayload = 1400;
  VnetHeader vnet = integration::partial_checksum(v4 ? 20 : 40, 16);
  if (segment.payload.size() > kMostPayload) {
    vnet.gso_type = v4 ? VnetHeader::kGsoTcp4 : VnetHeader::kGsoTcp6;
    vnet.gso_size = kMostPayload;
    vnet.header_length = static_cast<std::uint16_t>(vnet.checksum_start + 20 + segment.options.size());
  }
  return vnet;
}

// To what the guest sends of the life of this number.
void apply_fault(Data& payload, std::size_t life) {
  if (injected(InjectedFault::corrupt_payload_to_host)) {
    payload.back() ^= std::byte{1};
  } else if (injected(InjectedFault::rename_guest)) {
    payload.front() = static_cast<std::byte>(kMostLives);
  } else if (injected(InjectedFault::confuse_guests)) {
    payload.front() = static_cast<std::byte>(life ^ 1U);
  }
}

}  // namespace

GuestEnds::GuestEnds(WirePort& port, HostEnds& hosts) : port_(port), hosts_(hosts), ends_(kConnecting) {}

void GuestEnds::perform(const Operation& operation) {
  End& end = ends_[operation.who % ends_.size()];
  switch (operation.kind) {
    case OperationKind::syn:
    case OperationKind::syn_ack:
      send_syn(end, operation, operation.kind == OperationKind::syn_ack);
      break;
    case OperationKind::data:
      send_data(end, operation);
      break;
    case OperationKind::ack:
      end.window = operation.b != 0 ? operation.b : end.window;
      acknowledge(end, as_signed(operation.a) - 1024 * (operation.c % 1024));
      break;
    case OperationKind::window:
      end.window = operation.a;
      acknowledge(end, 0);
      break;
    case OperationKind::finish:
      send_data(end, {OperationKind::data, false, operation.who, 0, 0, 2});
      break;
    case OperationKind::reset:
      send_reset(end, operation);
      break;
    case OperationKind::segment:
      send_any(end, operation);
      break;
    case OperationKind::automatic:
      end.automatic = (operation.a & 1U) != 0;
      break;
    case OperationKind::repeat:
      port_.repeat_last();
      break;
    default:
      break;
  }
}

// --- sending ---

GuestLife* GuestEnds::current(const End& end) {
  const auto life = end.answered ? end.answered : end.newest;
  return life ? &lives_[*life] : nullptr;
}

std::size_t GuestEnds::begin_life(End& end, std::optional<std::uint8_t> window_scale) {
  const std::size_t number = lives_.size();
  lives_.emplace_back(static_cast<std::uint8_t>(number), end.local, end.remote, isn_of(number), window_scale);
  end.newest = number;
  return number;
}

void GuestEnds::send_syn(End& end, const Operation& operation, bool with_ack) {
  const auto scale = kScales.at(operation.a >> 3U & 3U);
  if (with_ack != end.passive || lives_.size() >= kMostLives) {
    return;
  }
  if (!end.passive) {
    // A connection that is under way keeps its place: only another try can follow.
    const bool fresh = !end.newest || end.newest == end.answered || lives_[*end.newest].was_reset();
    if (!end.newest) {
      const auto index = static_cast<std::uint16_t>(&end - ends_.data());
      const std::uint16_t port = operation.b / 256U % 2U == 1 ? 53 : static_cast<std::uint16_t>(1000 + index);
      end.remote = {place(operation.b), port};
      end.local = {guest_address(end.remote.address), static_cast<std::uint16_t>(kFirstPort + index)};
    }
    if (fresh) {
      begin_life(end, scale);
    }
  }
  const GuestLife& life = lives_[*end.newest];
  TcpSegment syn = make(end, with_ack ? Flags::kSyn | Flags::kAck : Flags::kSyn);
  syn.seq = life.isn();
  syn.options = options_of(operation.a, life.window_scale());
  send(end, syn);
}

TcpSegment GuestEnds::make(const End& end, std::uint8_t flags) const {
  const GuestLife& life = lives_[*(end.answered ? end.answered : end.newest)];
  TcpSegment segment;
  segment.source_port = end.local.port;
  segment.destination_port = end.remote.port;
  segment.seq = life.isn() + 1 + end.next;
  segment.ack = (flags & Flags::kAck) != 0 ? life.rcv_nxt() : 0;
  segment.flags = flags;
  segment.window = end.window;
  return segment;
}

void GuestEnds::send_data(End& end, const Operation& operation) {
  GuestLife* life = current(end);
  if (life == nullptr) {
    return;
  }
  const std::int64_t wanted = std::int64_t{end.next} + as_signed(operation.b);
  const auto offset = static_cast<std::uint32_t>(std::max<std::int64_t>(wanted, 0));
  const std::size_t size = std::min<std::size_t>(operation.a, kLargestData);
  TcpSegment segment = make(end, Flags::kAck);
  segment.seq = life->isn() + 1 + offset;
  segment.flags ^= (operation.c & 8U) != 0 ? Flags::kAck : 0;
  segment.flags |= (operation.c & 1U) != 0 ? Flags::kPsh : 0;
  segment.flags |= (operation.c & 2U) != 0 ? Flags::kFin : 0;
  segment.flags |= (operation.c & 4U) != 0 ? Flags::kUrg : 0;
  if ((operation.c & 16U) != 0) {
    segment.options = timestamps();
  }
  segment.payload = stream_bytes(life->number(), offset, size);
  end.next = std::max(end.next, offset + static_cast<std::uint32_t>(size));
  send(end, segment);
}

void GuestEnds::send_any(End& end, const Operation& operation) {
  GuestLife* life = current(end);
  if (life == nullptr) {
    return;
  }
  TcpSegment segment = make(end, static_cast<std::uint8_t>(operation.a));
  segment.seq += static_cast<std::uint32_t>(as_signed(operation.b));
  segment.ack = life->rcv_nxt() + static_cast<std::uint32_t>(as_signed(operation.c));
  if (segment.has(Flags::kSyn) && (!segment.has(Flags::kAck) || end.passive)) {
    segment.seq = life->isn();  // any other number could open a connection that this life knows nothing of
  }
  if (segment.has(Flags::kSyn) && end.passive) {
    segment.options = options_of(0, life->window_scale());  // as every answer to the client's SYN
  }
  const std::uint32_t offset = segment.seq - life->isn() - (segment.has(Flags::kSyn) ? 0U : 1U);
  const std::size_t size = operation.a >> 8U;
  segment.payload = stream_bytes(life->number(), offset, size);
  send(end, segment);
}

void GuestEnds::send_reset(End& end, const Operation& operation) {
  GuestLife* life = current(end);
  if (life == nullptr) {
    return;
  }
  TcpSegment segment = make(end, Flags::kRst | Flags::kAck);
  segment.seq = life->snd_una() + static_cast<std::uint32_t>(as_signed(operation.a));
  send(end, segment);
}

void GuestEnds::acknowledge(End& end, std::int32_t offset) {
  GuestLife* life = current(end);
  if (life == nullptr) {
    return;
  }
  TcpSegment segment = make(end, Flags::kAck);
  segment.ack += static_cast<std::uint32_t>(offset);
  send(end, segment);
}

void GuestEnds::send(const End& end, const TcpSegment& segment) {
  const auto life = end.answered ? end.answered : end.newest;
  lives_[*life].note_sent(segment);
  if (segment.has(Flags::kSyn) && end.newest != life) {
    lives_[*end.newest].note_sent(segment);
  }
  TcpSegment sent = segment;
  if (!sent.payload.empty()) {
    apply_fault(sent.payload, life.value());
  }
  const bool v4 = end.remote.address.is_v4();
  const Data packet = integration::tcp_packet(end.local.address, end.remote.address, sent, port_.vnet());
  port_.send(integration::ip_frame(packet), port_.vnet() ? offloads_of(sent, v4) : VnetHeader{});
}

// --- receiving ---

GuestEnds::End* GuestEnds::find(const integration::Packet& packet) {
  const sys::Endpoint local{packet.destination, packet.tcp->destination_port};
  const sys::Endpoint remote{packet.source, packet.tcp->source_port};
  const auto found = std::find_if(ends_.begin(), ends_.end(), [&](const End& end) {
    return end.newest && end.local == local && end.remote == remote;
  });
  return found == ends_.end() ? nullptr : &*found;
}

void GuestEnds::on_segment(const integration::Packet& packet) {
  const TcpSegment& segment = *packet.tcp;
  End* end = find(packet);
  if (segment.has(Flags::kSyn) && !segment.has(Flags::kAck)) {
    on_forward_syn(packet, end);
  } else if (end == nullptr) {
    return;
  } else if (segment.has(Flags::kRst)) {
    current(*end)->on_reset();
  } else if (segment.has(Flags::kSyn)) {
    on_syn_ack(*end, segment);
  } else if (end->answered && !answers_unanswered_syn(*end, segment)) {
    lives_[*end->answered].on_segment(segment, hosts_);
    end->due = end->due || segment.length() > 0;
  }
}

// The gateway is at a newer connection, whose SYN-ACK was lost at a full interface.
bool GuestEnds::answers_unanswered_syn(const End& end, const TcpSegment& segment) const {
  constexpr std::uint32_t kNear = 16U * 1024 * 1024;
  return end.newest != end.answered && segment.ack - lives_[*end.newest].isn() < kNear;
}

void GuestEnds::on_forward_syn(const integration::Packet& packet, End* end) {
  if (end == nullptr) {
    if (ends_.size() >= kMostEnds || lives_.size() >= kMostLives) {
      return;
    }
    end = &ends_.emplace_back();
    end->passive = true;
    end->local = {packet.destination, packet.tcp->destination_port};
    end->remote = {packet.source, packet.tcp->source_port};
  }
  if (!end->passive || lives_.size() >= kMostLives) {
    return;
  }
  if (!end->answered || lives_[*end->answered].irs() != packet.tcp->seq) {
    end->answered = begin_life(*end, kScales.at(0));
    end->next = 0;
  }
  lives_[*end->answered].on_syn(*packet.tcp);
  if (end->automatic) {
    send_syn(*end, {OperationKind::syn_ack, false, 0, 0, 0, 0}, true);
  }
}

void GuestEnds::on_syn_ack(End& end, const TcpSegment& segment) {
  for (std::size_t i = lives_.size(); i-- > 0;) {
    GuestLife& life = lives_[i];
    if (life.local() == end.local && life.remote() == end.remote && life.on_syn_ack(segment)) {
      end.next = end.answered == i ? end.next : 0;
      end.answered = i;
      end.due = true;
      return;
    }
  }
}

void GuestEnds::become_attentive() {
  for (End& end : ends_) {
    end.automatic = true;
    end.window = 0xffff;
    if (end.answered) {
      const GuestLife& life = lives_[*end.answered];
      end.next = life.snd_una() - life.isn() - 1;
      acknowledge(end, 0);
    }
  }
}

bool GuestEnds::acknowledge_due() {
  bool any = false;
  for (End& end : ends_) {
    if (end.due && end.automatic) {
      any = true;
      acknowledge(end, 0);
    }
    end.due = false;
  }
  return any;
}

}  // namespace l4n::fuzz
