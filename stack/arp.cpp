#include "stack/arp.hpp"

#include <cstring>

namespace l4n::stack {
namespace {

constexpr std::uint16_t kHardwareEthernet = 1;
constexpr std::uint16_t kProtocolIpv4 = 0x0800;

MacAddress read_mac(sys::ByteReader& reader) noexcept {
  MacAddress mac{};
  if (const sys::Bytes bytes = reader.bytes(mac.size()); bytes.size() == mac.size()) {
    std::memcpy(mac.data(), bytes.data(), mac.size());
  }
  return mac;
}

}  // namespace

std::optional<ArpPacket> decode_arp(sys::Bytes packet) noexcept {
  sys::ByteReader r(packet);
  const bool ethernet_ipv4 =
      r.be16() == kHardwareEthernet && r.be16() == kProtocolIpv4 && r.u8() == 6 && r.u8() == 4;
  if (!ethernet_ipv4) {
    return std::nullopt;
  }
  ArpPacket arp;
  arp.operation = r.be16();
  arp.sender_mac = read_mac(r);
  arp.sender = {r.be32()};
  arp.target_mac = read_mac(r);
  arp.target = {r.be32()};
  if (r.failed()) {
    return std::nullopt;
  }
  return arp;
}

void encode_arp(sys::MutableBytes out, const ArpPacket& arp) noexcept {
  sys::ByteWriter w(out);
  w.be16(kHardwareEthernet);
  w.be16(kProtocolIpv4);
  w.u8(6);
  w.u8(4);
  w.be16(arp.operation);
  w.bytes(std::as_bytes(std::span(arp.sender_mac)));
  w.be32(arp.sender.value);
  w.bytes(std::as_bytes(std::span(arp.target_mac)));
  w.be32(arp.target.value);
}

std::optional<ArpPacket> answer_arp(const ArpPacket& request, bool target_is_ours,
                                    const MacAddress& our_mac) noexcept {
  if (request.operation != ArpPacket::kRequest || !target_is_ours || is_multicast(request.sender_mac)) {
    return std::nullopt;
  }
  return ArpPacket{ArpPacket::kReply, our_mac, request.target, request.sender_mac, request.sender};
}

}  // namespace l4n::stack
