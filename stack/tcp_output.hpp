// What lwIP leaves to its driver in a TCP packet that it has made: checksums, and how the guest's kernel is
// to cut it.
#pragma once

#include <cstdint>

#include "stack/vnet_header.hpp"

struct pbuf;

namespace l4n::stack {

struct FinishedPacket {
  std::uint16_t ether_type = 0;
  VnetHeader vnet;  // counts from the IP header, as GuestLink::send() takes it
};

// `packet`: a chain whose first piece holds all headers, IPv4 or IPv6. With `offload` the checksum is left
// partial, and what is longer than `mss` (the guest's, in bytes; 0: not known) is left to be cut.
FinishedPacket finish_tcp_packet(pbuf& packet, bool offload, std::uint16_t mss) noexcept;

}  // namespace l4n::stack
