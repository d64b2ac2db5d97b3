// The header in front of every frame of a TAP opened with IFF_VNET_HDR (struct virtio_net_hdr, 10 bytes,
// host byte order). Declared here because Debian 12's <linux/virtio_net.h> does not compile as C++.
#pragma once

#include <cstddef>
#include <cstdint>

#include "netns/sys/bytes.hpp"

namespace l4n::stack {

struct VnetHeader {
  static constexpr std::size_t kSize = 10;

  // flags
  static constexpr std::uint8_t kNeedsChecksum = 1;  // the checksum field holds the pseudo-header sum only
  static constexpr std::uint8_t kDataValid = 2;      // the checksum has been verified
  // gso_type
  static constexpr std::uint8_t kGsoNone = 0;
  static constexpr std::uint8_t kGsoTcp4 = 1;
  static constexpr std::uint8_t kGsoTcp6 = 4;
  static constexpr std::uint8_t kGsoUdpL4 = 5;

  std::uint8_t flags = 0;
  std::uint8_t gso_type = kGsoNone;
  std::uint16_t header_length = 0;    // bytes of all headers of a GSO frame
  std::uint16_t gso_size = 0;         // payload bytes per segment
  std::uint16_t checksum_start = 0;   // where the checksum begins to sum, from the start of the frame
  std::uint16_t checksum_offset = 0;  // where it is stored, from checksum_start

  // The transport checksum need not be verified: it is partial, or was verified by the sender's kernel.
  [[nodiscard]] bool checksum_trusted() const noexcept {
    return (flags & (kNeedsChecksum | kDataValid)) != 0;
  }

  // `data` holds at least kSize bytes.
  [[nodiscard]] static VnetHeader decode(sys::Bytes data) noexcept;
  void encode(sys::MutableBytes out) const noexcept;
};

}  // namespace l4n::stack
