#include "stack/reassembly.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "stack/checksum.hpp"
#include "stack/ipv6_header.hpp"

namespace l4n::stack {
namespace {

constexpr std::size_t kLinkHeaderSize = VnetHeader::kSize + kEthernetHeaderSize;

// The largest packet, header included: the length field of IPv6 counts the payload alone.
constexpr std::size_t largest_packet(bool v4) noexcept { return v4 ? 65535 : kIpv6HeaderSize + 65535; }
static_assert(kLinkHeaderSize + largest_packet(false) <= FrameBuffer::kCapacity);

// What the first fragment must hold, so that no later one can decide about ports or flags (RFC 1858 3).
std::size_t transport_header_size(std::uint8_t protocol) noexcept {
  switch (protocol) {
    case kProtocolTcp:
      return kTcpHeaderSize;
    case kProtocolUdp:
      return kUdpHeaderSize;
    default:
      return kIcmpHeaderSize;
  }
}

bool well_formed(const IpPacket& fragment) noexcept {
  const IpHeader& ip = fragment.ip;
  const std::size_t size = fragment.payload().size();
  if (size == 0 || (ip.more_fragments && size % 8 != 0)) {
    return false;
  }
  const std::size_t dropped = ip.is_v4() ? 0 : kIpv6FragmentHeaderSize;
  if (ip.header_length - dropped + ip.fragment_offset + size > largest_packet(ip.is_v4())) {
    return false;
  }
  return !ip.is_v4() || ip.fragment_offset != 0 || size >= transport_header_size(ip.protocol);
}

// The bytes themselves and what the allocator and the map take for them: many small fragments cost more than
// they carry.
std::size_t cost_of(const IpPacket& fragment) noexcept {
  constexpr std::size_t kPerPiece = 96;
  return fragment.payload().size() + kPerPiece;
}

std::size_t end_of(const std::pair<const std::size_t, std::vector<std::byte>>& piece) noexcept {
  return piece.first + piece.second.size();
}

bool same_bytes(sys::Bytes a, sys::Bytes b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// The first fragment's header becomes that of the packet, which has `payload` bytes behind it. DF is cleared
// with the rest: who sends fragments minds none.
void complete_ipv4_header(sys::MutableBytes header, std::size_t payload) noexcept {
  sys::store_be16(&header[2], static_cast<std::uint16_t>(header.size() + payload));
  sys::store_be16(&header[6], 0);
  sys::store_be16(&header[10], 0);
  sys::store_be16(&header[10], internet_checksum(header));
}

// The same; the fragment header goes.
void complete_ipv6_header(std::vector<std::byte>& header, std::size_t payload) {
  const auto decoded = decode_quoted_ipv6(header);
  if (!decoded || !decoded->fragment) {
    return;  // cannot be: so it came in
  }
  const Ipv6Fragment& fragment = *decoded->fragment;
  header[fragment.next_header_at] = std::byte{fragment.next_header};
  header.resize(fragment.at);
  sys::store_be16(&header[4], static_cast<std::uint16_t>(header.size() - kIpv6HeaderSize + payload));
}

}  // namespace

Reassembly::Reassembly(FrameBufferPool& buffers, sys::TimerQueue& timers)
    : buffers_(buffers), timers_(timers), timer_(timers, *this) {}

Reassembly::~Reassembly() = default;

FrameBufferPtr Reassembly::add(const IpPacket& fragment) {
  ++counters_.fragments;
  if (!well_formed(fragment)) {
    ++counters_.malformed;
    return nullptr;
  }
  const IpHeader& ip = fragment.ip;
  make_room(cost_of(fragment));
  const std::uint8_t protocol = ip.is_v4() ? ip.protocol : std::uint8_t{0};
  const auto datagram = find_or_open({ip.source, ip.destination, ip.id, protocol});
  if (datagram->refused) {
    return nullptr;
  }
  switch (place(*datagram, fragment)) {
    case Placement::added:
      break;
    case Placement::repeated:
      ++counters_.repeated;
      return nullptr;
    case Placement::conflict:
      ++counters_.conflicting;
      refuse(*datagram);
      return nullptr;
  }
  if (datagram->end == 0 || datagram->received != datagram->end) {
    return nullptr;
  }
  FrameBufferPtr buffer = finish(*datagram);
  forget(datagram);
  return buffer;
}

Reassembly::Datagrams::iterator Reassembly::find_or_open(const Key& key) {
  const auto found = std::find_if(datagrams_.begin(), datagrams_.end(),
                                  [&key](const Datagram& datagram) { return datagram.key == key; });
  if (found != datagrams_.end()) {
    return found;
  }
  if (datagrams_.size() == kMostDatagrams) {
    ++counters_.evicted;
    forget(datagrams_.begin());
  }
  Datagram& datagram = datagrams_.emplace_back();
  datagram.key = key;
  datagram.deadline = timers_.now() + (key.source.is_v4() ? kTimeout : kTimeoutIpv6);
  arm();
  return std::prev(datagrams_.end());
}

Reassembly::Placement Reassembly::place(Datagram& datagram, const IpPacket& fragment) {
  const sys::Bytes payload = fragment.payload();
  const std::size_t begin = fragment.ip.fragment_offset;
  const std::size_t end = begin + payload.size();
  const bool last = !fragment.ip.more_fragments;
  auto& pieces = datagram.pieces;
  const auto next = pieces.lower_bound(begin);  // the first that does not begin before this one
  if (next != pieces.end() && next->first == begin && same_bytes(next->second, payload) &&
      last == (datagram.end == end)) {
    return Placement::repeated;
  }
  const bool overlaps = (next != pieces.begin() && end_of(*std::prev(next)) > begin) ||
                        (next != pieces.end() && next->first < end);
  const bool beyond_end = datagram.end != 0 && (last || end > datagram.end);
  const bool before_others = last && !pieces.empty() && end_of(*std::prev(pieces.end())) > end;
  if (overlaps || beyond_end || before_others) {
    return Placement::conflict;
  }
  pieces.emplace_hint(next, begin, std::vector(payload.begin(), payload.end()));
  datagram.received += payload.size();
  datagram.cost += cost_of(fragment);
  bytes_ += cost_of(fragment);
  if (last) {
    datagram.end = end;
  }
  if (begin == 0) {
    const sys::Bytes header = fragment.packet.first(fragment.ip.header_length);
    datagram.ip_header.assign(header.begin(), header.end());
    datagram.source_mac = fragment.source_mac;
  }
  return Placement::added;
}

FrameBufferPtr Reassembly::finish(const Datagram& datagram) {
  const bool v4 = datagram.key.source.is_v4();
  std::vector<std::byte> header = datagram.ip_header;
  if (v4) {
    complete_ipv4_header(header, datagram.end);
  } else {
    complete_ipv6_header(header, datagram.end);
  }
  const std::size_t total = header.size() + datagram.end;
  if (total > largest_packet(v4)) {  // the first fragment's header was longer than the last one's
    ++counters_.malformed;
    return nullptr;
  }
  FrameBufferPtr buffer = buffers_.take();
  if (!buffer) {
    ++counters_.no_memory;
    return nullptr;
  }
  buffer->size = kLinkHeaderSize + total;
  const sys::MutableBytes frame = buffer->bytes();
  VnetHeader{}.encode(frame);
  encode_ethernet(frame.subspan(VnetHeader::kSize),
                  {kGatewayMac, datagram.source_mac, ip_ether_type(datagram.key.source)});
  const sys::MutableBytes packet = frame.subspan(kLinkHeaderSize);
  std::copy(header.begin(), header.end(), packet.begin());
  const sys::MutableBytes payload = packet.subspan(header.size());
  for (const auto& [offset, data] : datagram.pieces) {
    std::copy(data.begin(), data.end(), payload.subspan(offset).begin());
  }
  ++counters_.reassembled;
  return buffer;
}

void Reassembly::make_room(std::size_t cost) {
  while (!datagrams_.empty() && bytes_ + cost > kMostBytes) {
    ++counters_.evicted;
    forget(datagrams_.begin());
  }
}

void Reassembly::refuse(Datagram& datagram) noexcept {
  bytes_ -= std::exchange(datagram.cost, 0);
  datagram.pieces.clear();
  datagram.ip_header.clear();
  datagram.refused = true;
}

void Reassembly::forget(Datagrams::iterator datagram) noexcept {
  bytes_ -= datagram->cost;
  datagrams_.erase(datagram);
  arm();
}

void Reassembly::arm() {
  const auto next =
      std::min_element(datagrams_.begin(), datagrams_.end(),
                       [](const Datagram& a, const Datagram& b) { return a.deadline < b.deadline; });
  if (next == datagrams_.end()) {
    timer_.cancel();
  } else {
    timer_.arm(next->deadline - timers_.now());
  }
}

void Reassembly::on_timer() noexcept {
  const sys::Time now = timers_.now();
  Datagrams due;
  for (auto next = datagrams_.begin(); next != datagrams_.end();) {
    const auto datagram = next++;
    if (datagram->deadline <= now) {
      bytes_ -= datagram->cost;
      due.splice(due.end(), datagrams_, datagram);
    }
  }
  arm();
  for (const Datagram& datagram : due) {
    time_out(datagram);
  }
}

void Reassembly::time_out(const Datagram& datagram) {
  if (datagram.refused) {
    return;
  }
  ++counters_.timed_out;
  if (!datagram.ip_header.empty() && timeout_action_) {
    std::vector<std::byte> packet = datagram.ip_header;
    const std::vector<std::byte>& payload = datagram.pieces.begin()->second;
    packet.insert(packet.end(), payload.begin(), payload.end());
    timeout_action_(datagram.source_mac, packet);
  }
}

}  // namespace l4n::stack
