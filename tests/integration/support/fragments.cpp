#include "tests/integration/support/fragments.hpp"

#include <algorithm>

namespace l4n::integration {
namespace {

constexpr std::size_t kIp = 20;
constexpr unsigned kMoreFragments = 0x2000;

// Sets length and fragment field of an IP header of 20 bytes, and its checksum.
void finish_header(Data& packet, unsigned fragment_field) {
  sys::store_be16(&packet[2], static_cast<std::uint16_t>(packet.size()));
  sys::store_be16(&packet[6], static_cast<std::uint16_t>(fragment_field));
  sys::store_be16(&packet[10], 0);
  const auto sum = ones_sum(sys::Bytes(packet).first(kIp));
  sys::store_be16(&packet[10], static_cast<std::uint16_t>(~sum));
}

}  // namespace

Data fragment_of(sys::Bytes packet, std::size_t offset, std::size_t size, bool more) {
  Data piece(packet.begin(), packet.begin() + kIp);
  append(piece, packet.subspan(kIp + offset, size));
  finish_header(piece, (more ? kMoreFragments : 0U) | static_cast<unsigned>(offset / 8));
  return piece;
}

std::vector<Data> fragment(sys::Bytes packet, std::size_t mtu) {
  if (packet.size() <= mtu) {
    return {Data(packet.begin(), packet.end())};
  }
  const std::size_t room = (mtu - kIp) / 8 * 8;
  const std::size_t size = packet.size() - kIp;
  std::vector<Data> pieces;
  for (std::size_t at = 0; at < size; at += room) {
    pieces.push_back(fragment_of(packet, at, std::min(room, size - at), at + room < size));
  }
  return pieces;
}

std::optional<Data> FragmentCollector::add(const Packet& fragment, sys::Bytes ip) {
  const Key key{fragment.source.value, fragment.destination.value, fragment.protocol, fragment.id};
  Pieces& pieces = packets_[key];
  if (fragment.fragment_offset == 0) {
    pieces.header.assign(ip.begin(), ip.begin() + kIp);
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
  finish_header(whole, 0);
  return whole;
}

}  // namespace l4n::integration
