#include "stack/ndp.hpp"

#include <algorithm>
#include <cstring>

#include "stack/domain_name.hpp"

namespace l4n::stack {
namespace {

// Option types (RFC 4861 4.6, RFC 8106 5).
constexpr std::uint8_t kSourceLinkLayer = 1;
constexpr std::uint8_t kTargetLinkLayer = 2;
constexpr std::uint8_t kPrefixInformation = 3;
constexpr std::uint8_t kMtu = 5;
constexpr std::uint8_t kDnsServers = 25;
constexpr std::uint8_t kDnsSearchList = 31;

constexpr std::size_t kOptionUnit = 8;

constexpr std::uint8_t kRouterFlag = 0x80;
constexpr std::uint8_t kSolicitedFlag = 0x40;
constexpr std::uint8_t kOverrideFlag = 0x20;
constexpr std::uint8_t kManagedFlag = 0x80;
constexpr std::uint8_t kOtherFlag = 0x40;
constexpr std::uint8_t kOnLinkFlag = 0x80;
constexpr std::uint8_t kAutonomousFlag = 0x40;

sys::Ipv6Address read_ipv6(sys::ByteReader& reader) noexcept {
  const sys::Bytes bytes = reader.bytes(sizeof(sys::Ipv6Address));
  return bytes.empty() ? sys::Ipv6Address{} : load_ipv6(bytes.data());
}

void write_ipv6(sys::ByteWriter& writer, const sys::Ipv6Address& address) noexcept {
  writer.bytes(std::as_bytes(std::span(address.bytes)));
}

// Type, code and hop limit. What is left in `reader` then is behind the checksum.
bool read_header(sys::ByteReader& reader, std::uint8_t type, const NdpEnvelope& envelope) noexcept {
  const bool wanted = reader.u8() == type && reader.u8() == 0 && envelope.hop_limit == kNdpHopLimit;
  reader.skip(2);
  return wanted && !reader.failed();
}

// Walks the options to the end of the message; `mac` becomes the address in the first one of `type`. False
// when one of them is malformed.
bool read_options(sys::ByteReader reader, std::uint8_t type, std::optional<MacAddress>& mac) noexcept {
  while (reader.left() > 0) {
    const std::uint8_t option = reader.u8();
    const std::size_t size = reader.u8() * kOptionUnit;
    if (size == 0) {
      return false;
    }
    const sys::Bytes value = reader.bytes(size - 2);
    if (reader.failed()) {
      return false;
    }
    if (option != type || mac) {
      continue;
    }
    mac.emplace();
    if (value.size() != mac->size()) {
      return false;
    }
    std::memcpy(mac->data(), value.data(), mac->size());
    if (is_multicast(*mac)) {
      return false;
    }
  }
  return true;
}

void write_header(sys::ByteWriter& writer, std::uint8_t type) noexcept {
  writer.u8(type);
  writer.u8(0);    // code
  writer.be16(0);  // checksum
}

void write_link_layer(sys::ByteWriter& writer, std::uint8_t option, const MacAddress& mac) noexcept {
  writer.u8(option);
  writer.u8(1);
  writer.bytes(std::as_bytes(std::span(mac)));
}

void write_mtu(sys::ByteWriter& writer, std::uint32_t mtu) noexcept {
  writer.u8(kMtu);
  writer.u8(1);
  writer.be16(0);
  writer.be32(mtu);
}

// Bits behind the prefix are 0 (RFC 4861 4.6.2).
sys::Ipv6Address masked(const sys::Ipv6Network& network) noexcept {
  sys::Ipv6Address address;
  for (unsigned i = 0; i * 8 < network.prefix; ++i) {
    const unsigned used = std::min(network.prefix - i * 8, 8U);
    address.bytes[i] = static_cast<std::uint8_t>(network.address.bytes[i] & (0xff00U >> used));
  }
  return address;
}

void write_prefix(sys::ByteWriter& writer, const RouterAdvertisement& ra) noexcept {
  writer.u8(kPrefixInformation);
  writer.u8(4);
  writer.u8(static_cast<std::uint8_t>(ra.prefix.prefix));
  writer.u8(
      static_cast<std::uint8_t>((ra.on_link ? kOnLinkFlag : 0U) | (ra.autonomous ? kAutonomousFlag : 0U)));
  writer.be32(ra.valid_lifetime);
  writer.be32(ra.preferred_lifetime);
  writer.be32(0);
  write_ipv6(writer, masked(ra.prefix));
}

void write_dns_servers(sys::ByteWriter& writer, const RouterAdvertisement& ra) noexcept {
  const std::size_t count = std::min(ra.dns_servers.size(), kMostAdvertisedDnsServers);
  if (count == 0) {
    return;
  }
  writer.u8(kDnsServers);
  writer.u8(static_cast<std::uint8_t>(1 + 2 * count));
  writer.be16(0);
  writer.be32(ra.dns_lifetime);
  for (std::size_t i = 0; i < count; ++i) {
    write_ipv6(writer, ra.dns_servers[i]);
  }
}

void write_search_list(sys::ByteWriter& writer, const RouterAdvertisement& ra) {
  constexpr std::size_t kHead = 8;
  const std::size_t room = (kLargestRouterAdvertisement - writer.size() - kHead) / kOptionUnit * kOptionUnit;
  std::vector<std::byte> names = encode_search_list(ra.search_domains, room);
  if (names.empty()) {
    return;
  }
  names.resize((names.size() + kOptionUnit - 1) / kOptionUnit * kOptionUnit);
  writer.u8(kDnsSearchList);
  writer.u8(static_cast<std::uint8_t>((kHead + names.size()) / kOptionUnit));
  writer.be16(0);
  writer.be32(ra.dns_lifetime);
  writer.bytes(names);
}

sys::Ipv6Address link_local_group(std::uint8_t last) noexcept {
  sys::Ipv6Address group;
  group.bytes[0] = 0xff;
  group.bytes[1] = 0x02;
  group.bytes[15] = last;
  return group;
}

}  // namespace

std::optional<RouterSolicitation> decode_router_solicitation(sys::Bytes message,
                                                             const NdpEnvelope& envelope) noexcept {
  sys::ByteReader reader(message);
  if (!read_header(reader, NdpType::kRouterSolicitation, envelope)) {
    return std::nullopt;
  }
  reader.skip(4);
  RouterSolicitation solicitation;
  if (reader.failed() || !read_options(reader, kSourceLinkLayer, solicitation.source_mac)) {
    return std::nullopt;
  }
  if (sys::is_unspecified(envelope.source) && solicitation.source_mac) {
    return std::nullopt;
  }
  return solicitation;
}

std::optional<NeighbourSolicitation> decode_neighbour_solicitation(sys::Bytes message,
                                                                   const NdpEnvelope& envelope) noexcept {
  sys::ByteReader reader(message);
  if (!read_header(reader, NdpType::kNeighbourSolicitation, envelope)) {
    return std::nullopt;
  }
  reader.skip(4);
  NeighbourSolicitation solicitation;
  solicitation.target = read_ipv6(reader);
  if (reader.failed() || sys::is_multicast(solicitation.target) ||
      !read_options(reader, kSourceLinkLayer, solicitation.source_mac)) {
    return std::nullopt;
  }
  if (sys::is_unspecified(envelope.source) &&
      (solicitation.source_mac || !is_solicited_node_multicast(envelope.destination))) {
    return std::nullopt;
  }
  return solicitation;
}

std::optional<NeighbourAdvertisement> decode_neighbour_advertisement(sys::Bytes message,
                                                                     const NdpEnvelope& envelope) noexcept {
  sys::ByteReader reader(message);
  if (!read_header(reader, NdpType::kNeighbourAdvertisement, envelope)) {
    return std::nullopt;
  }
  const std::uint8_t flags = reader.u8();
  reader.skip(3);
  NeighbourAdvertisement advertisement;
  advertisement.router = (flags & kRouterFlag) != 0;
  advertisement.solicited = (flags & kSolicitedFlag) != 0;
  advertisement.override = (flags & kOverrideFlag) != 0;
  advertisement.target = read_ipv6(reader);
  if (reader.failed() || sys::is_multicast(advertisement.target) ||
      (advertisement.solicited && sys::is_multicast(envelope.destination)) ||
      !read_options(reader, kTargetLinkLayer, advertisement.target_mac)) {
    return std::nullopt;
  }
  return advertisement;
}

std::size_t encode_neighbour_solicitation(sys::MutableBytes out,
                                          const NeighbourSolicitation& solicitation) noexcept {
  sys::ByteWriter writer(out);
  write_header(writer, NdpType::kNeighbourSolicitation);
  writer.be32(0);
  write_ipv6(writer, solicitation.target);
  if (solicitation.source_mac) {
    write_link_layer(writer, kSourceLinkLayer, *solicitation.source_mac);
  }
  return writer.size();
}

std::size_t encode_neighbour_advertisement(sys::MutableBytes out,
                                           const NeighbourAdvertisement& advertisement) noexcept {
  const unsigned flags = (advertisement.router ? kRouterFlag : 0U) |
                         (advertisement.solicited ? kSolicitedFlag : 0U) |
                         (advertisement.override ? kOverrideFlag : 0U);
  sys::ByteWriter writer(out);
  write_header(writer, NdpType::kNeighbourAdvertisement);
  writer.be32(flags << 24U);
  write_ipv6(writer, advertisement.target);
  if (advertisement.target_mac) {
    write_link_layer(writer, kTargetLinkLayer, *advertisement.target_mac);
  }
  return writer.size();
}

std::size_t encode_router_advertisement(sys::MutableBytes out, const RouterAdvertisement& advertisement) {
  sys::ByteWriter writer(out);
  write_header(writer, NdpType::kRouterAdvertisement);
  writer.u8(advertisement.hop_limit);
  writer.u8(static_cast<std::uint8_t>((advertisement.managed ? kManagedFlag : 0U) |
                                      (advertisement.other ? kOtherFlag : 0U)));
  writer.be16(advertisement.router_lifetime);
  writer.be32(0);  // reachable time and
  writer.be32(0);  // retransmission time: as the guest likes
  write_link_layer(writer, kSourceLinkLayer, advertisement.source_mac);
  write_mtu(writer, advertisement.mtu);
  write_prefix(writer, advertisement);
  write_dns_servers(writer, advertisement);
  write_search_list(writer, advertisement);
  return writer.size();
}

IpHeader ndp_header(const sys::Ipv6Address& source, const sys::Ipv6Address& destination) noexcept {
  IpHeader header;
  header.source = source;
  header.destination = destination;
  header.ttl = kNdpHopLimit;
  header.dont_fragment = true;
  return header;
}

sys::Ipv6Address all_nodes() noexcept { return link_local_group(1); }

sys::Ipv6Address solicited_node_multicast(const sys::Ipv6Address& address) noexcept {
  sys::Ipv6Address group = link_local_group(0);
  group.bytes[11] = 0x01;
  group.bytes[12] = 0xff;
  std::copy(address.bytes.begin() + 13, address.bytes.end(), group.bytes.begin() + 13);
  return group;
}

bool is_solicited_node_multicast(const sys::Ipv6Address& address) noexcept {
  return address == solicited_node_multicast(address);
}

MacAddress multicast_mac(const sys::Ipv6Address& group) noexcept {
  return {0x33, 0x33, group.bytes[12], group.bytes[13], group.bytes[14], group.bytes[15]};
}

}  // namespace l4n::stack
