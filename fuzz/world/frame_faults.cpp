#include "fuzz/world/frame_faults.hpp"

#include <memory>

#include "fuzz/world/injected_fault.hpp"

namespace l4n::fuzz {
namespace {

using integration::Data;
using integration::Flags;
using stack::VnetHeader;

constexpr std::size_t kIp = VnetHeader::kSize + stack::kEthernetHeaderSize;
constexpr std::size_t kTcp = kIp + 20;

bool is_tcp4(const Data& bytes) {
  return bytes.size() >= kTcp + 20 && sys::load_be16(&bytes[kIp - 2]) == stack::kEtherTypeIpv4 &&
         bytes[kIp + 9] == std::byte{stack::kProtocolTcp};
}

bool is_fragment4(const Data& bytes) {
  return bytes.size() >= kTcp && sys::load_be16(&bytes[kIp - 2]) == stack::kEtherTypeIpv4 &&
         (sys::load_be16(&bytes[kIp + 6]) & 0x3fffU) != 0;
}

bool has_flag(const Data& bytes, std::uint8_t flag) { return (sys::load_u8(&bytes[kTcp + 13]) & flag) != 0; }

std::size_t payload_at(const Data& bytes) {
  return kTcp + (sys::load_u8(&bytes[kTcp + 12]) >> 4U) * std::size_t{4};
}

// A full checksum, whatever was there.
void repair(Data& bytes) {
  const sys::MutableBytes segment = sys::MutableBytes(bytes).subspan(kTcp);
  VnetHeader vnet = VnetHeader::decode(bytes);
  const sys::IpAddress source = sys::Ipv4Address{sys::load_be32(&bytes[kIp + 12])};
  const sys::IpAddress destination = sys::Ipv4Address{sys::load_be32(&bytes[kIp + 16])};
  const std::uint16_t pseudo =
      integration::pseudo_sum(source, destination, stack::kProtocolTcp, segment.size());
  sys::store_be16(&segment[16], 0);
  const bool partial = (vnet.flags & VnetHeader::kNeedsChecksum) != 0;
  const auto full = static_cast<std::uint16_t>(~integration::ones_sum(segment, pseudo));
  sys::store_be16(&segment[16], partial ? pseudo : full);
}

void change_number(Data& bytes, std::size_t at, std::uint32_t by) {
  sys::store_be32(&bytes[kTcp + at], sys::load_be32(&bytes[kTcp + at]) + by);
}

void apply_to_segment(Data& bytes) {
  const bool plain = !has_flag(bytes, Flags::kSyn) && !has_flag(bytes, Flags::kRst);
  const bool has_payload = payload_at(bytes) < bytes.size();
  switch (injected_fault()) {
    case InjectedFault::corrupt_payload_to_guest:
      if (has_payload) {
        bytes.back() ^= std::byte{1};
      }
      break;
    case InjectedFault::rename_host:
      if (has_payload) {
        bytes[payload_at(bytes)] = std::byte{0};
      }
      break;
    case InjectedFault::drop_acknowledgment:
      if (plain) {
        bytes[kTcp + 13] &= ~std::byte{Flags::kAck};
      }
      break;
    case InjectedFault::move_window_back:
      if (plain && has_payload) {
        sys::store_be16(&bytes[kTcp + 14], 1);
      }
      break;
    case InjectedFault::acknowledge_too_much:
      if (plain) {
        change_number(bytes, 8, 1);
      }
      break;
    case InjectedFault::finish_early:
      if (plain) {
        bytes[kTcp + 13] |= std::byte{Flags::kFin};
      }
      break;
    default:
      return;
  }
  repair(bytes);
}

std::byte of_fresh_memory() {
  constexpr std::size_t kSize = 4000;
  const std::unique_ptr<std::byte[]> fresh(new std::byte[kSize]);
  return const_cast<volatile std::byte&>(fresh[kSize / 2]);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

}  // namespace

void apply_frame_fault(Data& bytes) {
  static std::uint16_t frames = 0;
  ++frames;
  if (injected(InjectedFault::corrupt_frame) && is_tcp4(bytes)) {
    bytes[kIp + 8] ^= std::byte{1};  // the TTL, which the header's checksum covers
  } else if (injected(InjectedFault::corrupt_fragment) && is_fragment4(bytes)) {
    bytes.back() ^= std::byte{1};
  } else if (injected(InjectedFault::carry_state_over) || injected(InjectedFault::read_fresh_memory)) {
    // The source of the MAC address that nobody reads.
    bytes[VnetHeader::kSize] =
        injected(InjectedFault::carry_state_over) ? static_cast<std::byte>(frames) : of_fresh_memory();
  } else if (is_tcp4(bytes)) {
    apply_to_segment(bytes);
  }
}

}  // namespace l4n::fuzz
