// The IPv6 header and its extension headers (RFC 8200), as pure functions over bytes. We are both the routers
// and all the hosts that the guest sees, so every header of a packet is for us, whatever its destination.
//
// Nothing is asked of us in an option or a routing header that we would do: options are skipped or refused as
// their highest bits say, routing headers are passed over when no segment is left. Numbers are host order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>

#include "netns/sys/bytes.hpp"
#include "netns/sys/ip_address.hpp"
#include "stack/packet.hpp"

namespace l4n::stack {

inline constexpr std::size_t kIpv6FragmentHeaderSize = 8;
inline constexpr std::uint32_t kIpv6MinimumMtu = 1280;  // RFC 8200 5

// Values of the Next Header field beside those that packet.hpp names (TCP, UDP, ICMPv6).
inline constexpr std::uint8_t kProtocolHopByHop = 0;
inline constexpr std::uint8_t kProtocolRouting = 43;
inline constexpr std::uint8_t kProtocolFragment = 44;
inline constexpr std::uint8_t kProtocolNoNextHeader = 59;
inline constexpr std::uint8_t kProtocolDestinationOptions = 60;

// ICMPv6 parameter problem, type 4 (RFC 4443 3.4, RFC 7112 5).
struct Icmp6ParameterProblem {
  static constexpr std::uint8_t kErroneousField = 0;
  static constexpr std::uint8_t kUnrecognizedNextHeader = 1;
  static constexpr std::uint8_t kUnrecognizedOption = 2;
  static constexpr std::uint8_t kIncompleteHeaderChain = 3;
};

// RFC 8200 4.5.
struct Ipv6Fragment {
  std::uint16_t offset = 0;  // bytes, a multiple of 8
  bool more = false;
  std::uint32_t id = 0;
  std::uint16_t at = 0;              // where the fragment header is in the packet
  std::uint16_t next_header_at = 0;  // where the byte is that announces it, the next header of what precedes
  std::uint8_t next_header = kProtocolNoNextHeader;
};

// The headers in front of the upper layer. Lengths and places are bytes from the start of the packet.
struct Ipv6Headers {
  sys::Ipv6Address source;
  sys::Ipv6Address destination;
  std::uint8_t traffic_class = 0;
  std::uint32_t flow_label = 0;  // 20 bits
  std::uint8_t hop_limit = 64;
  // The upper-layer protocol, behind all extension headers; kProtocolNoNextHeader when there is none. Of a
  // fragment other than the first: what its fragment header says, which may be an extension header and need
  // not be true (RFC 8200 4.5). Of a first fragment also a protocol that nobody knows: the whole packet is
  // what an error is sent about.
  std::uint8_t protocol = kProtocolNoNextHeader;
  // Fixed and extension headers. Of a fragment: up to and including its fragment header.
  std::uint16_t header_length = kIpv6HeaderSize;
  // Where the header of `protocol` is. More than header_length only where a first fragment has extension
  // headers behind its fragment header.
  std::uint16_t upper_layer_at = kIpv6HeaderSize;
  std::uint32_t total_length = kIpv6HeaderSize;
  // Not of an atomic fragment, offset 0 and no more: that is a whole packet, and its fragment header counts
  // as any other extension header (RFC 6946).
  std::optional<Ipv6Fragment> fragment;
};

// Why there are no headers.
enum class Ipv6Refusal : std::uint8_t {
  malformed,  // truncated, another version, more or longer headers than anybody sends
  discarded,  // an option that we do not know wants that, without a word (highest bits 01)
};

// The packet is refused, and its sender is told (RFC 4443 3.4). may_send_icmp6_error() has the last word.
struct Ipv6ParameterProblem {
  std::uint8_t code = Icmp6ParameterProblem::kErroneousField;
  std::uint32_t pointer = 0;  // byte of the packet
  // Also about a packet to a multicast address (option with highest bits 10).
  bool also_multicast = false;
};

using DecodedIpv6 = std::variant<Ipv6Headers, Ipv6Refusal, Ipv6ParameterProblem>;

// More of either in one packet is refused as malformed. Padding counts as options do.
inline constexpr unsigned kMostIpv6ExtensionHeaders = 8;
inline constexpr unsigned kMostIpv6Options = 64;

// A packet, of which all must be there; bytes behind its end are not part of it. The upper layers that are
// known are TCP, UDP and ICMPv6. Of a fragment, its length is checked, that the whole packet can be at most
// 65,535 bytes of payload (RFC 8200 4.5), and that a first one holds all headers (RFC 7112); no option behind
// the fragment header is looked at, for that is done with the whole packet.
[[nodiscard]] DecodedIpv6 decode_ipv6(sys::Bytes packet) noexcept;

// The same for a packet of which only the beginning is there, as ICMPv6 errors quote it. The fixed header
// must be; extension headers are walked as far as they go, unexamined. When the end of what is there comes
// first, `protocol` is that of the extension header at upper_layer_at.
[[nodiscard]] std::optional<Ipv6Headers> decode_quoted_ipv6(sys::Bytes packet) noexcept;

// The 16 bytes at `p`.
[[nodiscard]] sys::Ipv6Address load_ipv6(const std::byte* p) noexcept;

// Writes the 40 bytes of the fixed header; its next header is `protocol`, whatever `fragment` says, and its
// payload length follows from total_length.
void encode_ipv6(sys::MutableBytes out, const Ipv6Headers& headers) noexcept;
// Writes 8 bytes: next_header, offset, more and id.
void encode_ipv6_fragment(sys::MutableBytes out, const Ipv6Fragment& fragment) noexcept;

// Whether an ICMPv6 error may be sent about `packet`, whole or as far as it is there (RFC 4443 2.4 e): never
// about an ICMPv6 error or redirect, a later fragment that may be part of one, a multicast destination unless
// `also_multicast` (packet too big; Ipv6ParameterProblem), or a source that is not one host.
[[nodiscard]] bool may_send_icmp6_error(sys::Bytes packet, bool also_multicast = false) noexcept;

}  // namespace l4n::stack
