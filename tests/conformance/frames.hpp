// Frames of the guest for the tables: valid ones, and valid ones with one thing changed.
#pragma once

#include <initializer_list>

#include "tests/integration/support/guest_peer.hpp"
#include "tests/integration/support/wire.hpp"

namespace l4n::conformance {

using integration::Data;

inline constexpr std::size_t kIpAt = 14;         // the IP header within a frame
inline constexpr std::size_t kTransportAt = 34;  // what follows it when there are no options

// --- valid ones, for the gateway or through it ---
[[nodiscard]] Data ip_frame(sys::Bytes packet);
[[nodiscard]] Data arp_request(sys::Ipv4Address target, sys::Ipv4Address sender = integration::kGuestAddress);
[[nodiscard]] integration::IcmpMessage echo_request(std::size_t size);
[[nodiscard]] Data echo_frame(sys::Ipv4Address to, std::size_t size = 32,
                              sys::Ipv4Address from = integration::kGuestAddress);
[[nodiscard]] integration::TcpSegment syn_segment();
[[nodiscard]] Data syn_frame(const sys::Endpoint& to, sys::Ipv4Address from = integration::kGuestAddress);
[[nodiscard]] Data udp_frame(const sys::Endpoint& to, sys::Bytes payload,
                             sys::Ipv4Address from = integration::kGuestAddress);
// A question for the DNS service, with an EDNS option when `edns`.
[[nodiscard]] Data dns_query(std::uint16_t id, bool edns = false);
[[nodiscard]] Data dns_response(std::uint16_t id, std::size_t size);

// --- with something changed ---
[[nodiscard]] Data changed(Data frame, std::size_t at, std::initializer_list<unsigned> bytes);
// The IP header with its checksum made right again.
[[nodiscard]] Data with_ip(Data frame, std::size_t at, std::initializer_list<unsigned> bytes);
// The packet cut (or padded with zeros) to `size` bytes of payload, the IP header telling so.
[[nodiscard]] Data with_ip_payload(Data frame, std::size_t size);
// As many bytes of options, a multiple of 4, between IP header and payload.
[[nodiscard]] Data with_ip_options(Data frame, sys::Bytes options);
// The transport header changed, its checksum made right again.
[[nodiscard]] Data with_tcp(Data frame, std::size_t at, std::initializer_list<unsigned> bytes);
[[nodiscard]] Data with_icmp(Data frame, std::size_t at, std::initializer_list<unsigned> bytes);
// Bytes [at, at + size) of the packet's payload as a fragment; `size` reaching the end makes it the last.
[[nodiscard]] Data fragment_of(const Data& frame, std::size_t at, std::size_t size);

}  // namespace l4n::conformance
