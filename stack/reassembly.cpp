#include "stack/reassembly.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "stack/checksum.hpp"

namespace l4n::stack {
namespace {

constexpr std::size_t kLargestPacket = 65535;
constexpr std::size_t kLinkHeaderSize = VnetHeader::kSize + kEthernetHeaderSize;

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
  if (ip.header_length + ip.fragment_offset + size > kLargestPacket) {
    return false;
  }
  return ip.fragment_offset != 0 || size >= transport_header_size(ip.protocol);
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

// The first fragment's header becomes the packet's. DF is cleared with the rest: who sends fragments minds
// none.
void complete_ip_header(sys::MutableBytes header, std::size_t total_length) noexcept {
  sys::store_be16(&header[2], static_cast<std::uint16_t>(total_length));
  sys::store_be16(&header[6], 0);
  sys::store_be16(&header[10], 0);
  sys::store_be16(&header[10], internet_checksum(header));
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
  const auto datagram = find_or_open({ip.source, ip.destination, ip.id, ip.protocol});
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
  datagram.deadline = timers_.now() + kTimeout;
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
  const std::size_t total = datagram.ip_header.size() + datagram.end;
  if (total > kLargestPacket) {  // the first fragment's options were longer than the last one's
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
  encode_ethernet(frame.subspan(VnetHeader::kSize), {kGatewayMac, datagram.source_mac, kEtherTypeIpv4});
  const sys::MutableBytes packet = frame.subspan(kLinkHeaderSize);
  std::copy(datagram.ip_header.begin(), datagram.ip_header.end(), packet.begin());
  complete_ip_header(packet.first(datagram.ip_header.size()), total);
  const sys::MutableBytes payload = packet.subspan(datagram.ip_header.size());
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
  if (datagrams_.empty()) {
    timer_.cancel();
  } else {
    timer_.arm(datagrams_.front().deadline - timers_.now());
  }
}

void Reassembly::on_timer() noexcept {
  const sys::Time now = timers_.now();
  while (!datagrams_.empty() && datagrams_.front().deadline <= now) {
    const Datagram datagram = std::move(datagrams_.front());
    forget(datagrams_.begin());
    if (datagram.refused) {
      continue;
    }
    ++counters_.timed_out;
    if (!datagram.ip_header.empty() && timeout_action_) {
      std::vector<std::byte> packet = datagram.ip_header;
      const std::vector<std::byte>& payload = datagram.pieces.begin()->second;
      packet.insert(packet.end(), payload.begin(), payload.end());
      timeout_action_(datagram.source_mac, packet);
    }
  }
  arm();
}

}  // namespace l4n::stack
