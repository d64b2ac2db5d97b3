#include "fuzz/world/frame_repair.hpp"

#include "stack/mac_address.hpp"
#include "stack/packet.hpp"
#include "stack/vnet_header.hpp"
#include "tests/integration/support/wire.hpp"

namespace l4n::fuzz {
namespace {

using integration::ones_sum;
using integration::pseudo_sum;
using stack::VnetHeader;
using sys::load_be16;
using sys::load_be32;
using sys::load_u8;
using sys::MutableBytes;
using sys::store_be16;

struct Addresses {
  sys::IpAddress source;
  sys::IpAddress destination;
};

std::uint16_t inverted(std::uint16_t sum) { return static_cast<std::uint16_t>(~sum); }

// The checksum field at `at` of a segment that is large enough for it.
void set_checksum(MutableBytes segment, std::size_t at, std::uint16_t pseudo) {
  if (at + 2 <= segment.size()) {
    store_be16(&segment[at], 0);
    store_be16(&segment[at], inverted(ones_sum(segment, pseudo)));
  }
}

void repair_transport(MutableBytes segment, const Addresses& ip, std::uint8_t protocol) {
  const std::uint16_t pseudo = pseudo_sum(ip.source, ip.destination, protocol, segment.size());
  switch (protocol) {
    case stack::kProtocolTcp:
      return set_checksum(segment, 16, pseudo);
    case stack::kProtocolUdp:
      if (segment.size() >= 8) {
        store_be16(&segment[4], static_cast<std::uint16_t>(segment.size()));
      }
      return set_checksum(segment, 6, pseudo);
    case stack::kProtocolIcmp:
      return set_checksum(segment, 2, 0);
    case stack::kProtocolIcmp6:
      return set_checksum(segment, 2, pseudo);
    default:
      return;
  }
}

void repair_ipv4(MutableBytes ip) {
  const std::size_t header = (load_u8(ip.data()) & 0x0fU) * std::size_t{4};
  if (header < 20 || header > ip.size()) {
    return;
  }
  ip[0] = static_cast<std::byte>(0x40U | (load_u8(ip.data()) & 0x0fU));
  store_be16(&ip[2], static_cast<std::uint16_t>(ip.size()));
  set_checksum(ip.first(header), 10, 0);
  constexpr std::uint16_t kFragment = 0x3fff;
  if ((load_be16(&ip[6]) & kFragment) == 0) {
    const Addresses addresses{sys::Ipv4Address{load_be32(&ip[12])}, sys::Ipv4Address{load_be32(&ip[16])}};
    repair_transport(ip.subspan(header), addresses, load_u8(&ip[9]));
  }
}

sys::Ipv6Address ipv6_at(sys::Bytes bytes) {
  sys::Ipv6Address address;
  for (std::size_t i = 0; i < address.bytes.size(); ++i) {
    address.bytes.at(i) = load_u8(&bytes[i]);
  }
  return address;
}

// Without extension headers; behind those, checksums stay as they are.
void repair_ipv6(MutableBytes ip) {
  constexpr std::size_t kHeader = 40;
  ip[0] = static_cast<std::byte>(0x60U | (load_u8(ip.data()) & 0x0fU));
  store_be16(&ip[4], static_cast<std::uint16_t>(ip.size() - kHeader));
  const Addresses addresses{ipv6_at(ip.subspan(8)), ipv6_at(ip.subspan(24))};
  repair_transport(ip.subspan(kHeader), addresses, load_u8(&ip[6]));
}

}  // namespace

void repair_frame(std::vector<std::byte>& frame, bool vnet) {
  const std::size_t skip = vnet ? VnetHeader::kSize : 0;
  if (frame.size() < skip + stack::kEthernetHeaderSize) {
    return;
  }
  if (vnet && VnetHeader::decode(frame).gso_type == VnetHeader::kGsoNone) {
    VnetHeader{}.encode(frame);
  }
  const std::uint16_t type = load_be16(&frame[skip + 12]);
  const MutableBytes ip = MutableBytes(frame).subspan(skip + stack::kEthernetHeaderSize);
  if (type == stack::kEtherTypeIpv4 && ip.size() >= 20) {
    repair_ipv4(ip);
  } else if (type == stack::kEtherTypeIpv6 && ip.size() >= 40) {
    repair_ipv6(ip);
  }
}

}  // namespace l4n::fuzz
