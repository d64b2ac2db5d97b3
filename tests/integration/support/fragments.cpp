#include "tests/integration/support/fragments.hpp"

#include <algorithm>

namespace l4n::integration {
namespace {

constexpr std::size_t kIp = 20;
constexpr std::size_t kIp6 = 40;
constexpr unsigned kMoreFragments = 0x2000;
constexpr std::byte kFragmentProtocol{44};

bool is_v4(sys::Bytes packet) { return sys::load_u8(packet.data()) >> 4U == 4; }

// Sets length and fragment field of an IP header of 20 bytes, and its checksum.
void finish_ipv4(Data& packet, unsigned fragment_field) {
  sys::store_be16(&packet[2], static_cast<std::uint16_t>(packet.size()));
  sys::store_be16(&packet[6], static_cast<std::uint16_t>(fragment_field));
  sys::store_be16(&packet[10], 0);
  const auto sum = ones_sum(sys::Bytes(packet).first(kIp));
  sys::store_be16(&packet[10], static_cast<std::uint16_t>(~sum));
}

void finish_ipv6(Data& packet) {
  sys::store_be16(&packet[4], static_cast<std::uint16_t>(packet.size() - kIp6));
}

// The header of the first fragment becomes that of the whole packet.
Data without_fragment_header(sys::Bytes ip) {
  Data header(ip.begin(), ip.begin() + (is_v4(ip) ? kIp : kIp6));
  if (!is_v4(ip)) {
    header[6] = ip[kIp6];
  }
  return header;
}

}  // namespace

Data fragment_of(sys::Bytes packet, std::size_t offset, std::size_t size, bool more, std::uint32_t id) {
  if (is_v4(packet)) {
    Data piece(packet.begin(), packet.begin() + kIp);
    append(piece, packet.subspan(kIp + offset, size));
    finish_ipv4(piece, (more ? kMoreFragments : 0U) | static_cast<unsigned>(offset / 8));
    return piece;
  }
  Data piece(packet.begin(), packet.begin() + kIp6);
  piece[6] = kFragmentProtocol;
  piece.resize(kIp6 + 8);
  piece[kIp6] = packet[6];
  sys::store_be16(&piece[kIp6 + 2], static_cast<std::uint16_t>(offset | (more ? 1U : 0U)));
  sys::store_be32(&piece[kIp6 + 4], id);
  append(piece, packet.subspan(kIp6 + offset, size));
  finish_ipv6(piece);
  return piece;
}

std::vector<Data> fragment(sys::Bytes packet, std::size_t mtu, std::uint32_t id) {
  if (packet.size() <= mtu) {
    return {Data(packet.begin(), packet.end())};
  }
  const std::size_t header = is_v4(packet) ? kIp : kIp6;
  const std::size_t room = (mtu - header - (is_v4(packet) ? 0 : 8)) / 8 * 8;
  const std::size_t size = packet.size() - header;
  std::vector<Data> pieces;
  for (std::size_t at = 0; at < size; at += room) {
    pieces.push_back(fragment_of(packet, at, std::min(room, size - at), at + room < size, id));
  }
  return pieces;
}

std::optional<Data> FragmentCollector::add(const Packet& fragment, sys::Bytes ip) {
  const Key key{fragment.source, fragment.destination, fragment.protocol, fragment.id};
  Pieces& pieces = packets_[key];
  if (fragment.fragment_offset == 0) {
    pieces.header = without_fragment_header(ip);
  }
  if (!fragment.more_fragments) {
    pieces.end = fragment.fragment_offset + fragment.payload.size();
  }
  pieces.payload[fragment.fragment_offset] = fragment.payload;
  Data whole = pieces.header;
  std::size_t next = 0;
  for (const auto& [offset, data] : pieces.payload) {
    if (offset != next) {
      return std::nullopt;
    }
    append(whole, data);
    next += data.size();
  }
  if (next != pieces.end) {
    return std::nullopt;
  }
  packets_.erase(key);
  if (is_v4(whole)) {
    finish_ipv4(whole, 0);
  } else {
    finish_ipv6(whole);
  }
  return whole;
}

}  // namespace l4n::integration
