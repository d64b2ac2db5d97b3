#include "stack/ipv6_header.hpp"

#include <algorithm>
#include <cstring>

namespace l4n::stack {
namespace {

constexpr std::size_t kPayloadLengthAt = 4;
constexpr std::size_t kNextHeaderAt = 6;
constexpr std::uint16_t kOffsetMask = 0xfff8;
constexpr std::uint16_t kMoreFragments = 0x0001;
constexpr std::size_t kLargestPayload = 65535;

// What the first fragment must hold of the upper layer (RFC 7112 5). Of ICMPv6, an echo message's header.
std::size_t upper_layer_header_size(std::uint8_t protocol) noexcept {
  switch (protocol) {
    case kProtocolTcp:
      return kTcpHeaderSize;
    case kProtocolUdp:
      return kUdpHeaderSize;
    case kProtocolIcmp6:
      return kIcmpHeaderSize;
    default:
      return 0;
  }
}

bool is_upper_layer(std::uint8_t protocol) noexcept {
  return protocol == kProtocolTcp || protocol == kProtocolUdp || protocol == kProtocolIcmp6 ||
         protocol == kProtocolNoNextHeader;
}

bool is_extension(std::uint8_t protocol) noexcept {
  return protocol == kProtocolHopByHop || protocol == kProtocolRouting || protocol == kProtocolFragment ||
         protocol == kProtocolDestinationOptions;
}

// Nothing when it is not all there or not IPv6.
std::optional<Ipv6Headers> read_fixed_header(sys::Bytes packet) noexcept {
  if (packet.size() < kIpv6HeaderSize || sys::load_u8(&packet[0]) >> 4U != 6) {
    return std::nullopt;
  }
  const std::uint32_t first_word = sys::load_be32(&packet[0]);
  Ipv6Headers h;
  h.traffic_class = static_cast<std::uint8_t>(first_word >> 20U);
  h.flow_label = first_word & 0xfffffU;
  h.total_length = static_cast<std::uint32_t>(kIpv6HeaderSize) + sys::load_be16(&packet[kPayloadLengthAt]);
  h.hop_limit = sys::load_u8(&packet[7]);
  h.source = load_ipv6(&packet[8]);
  h.destination = load_ipv6(&packet[24]);
  return h;
}

// A place in the chain of headers.
struct Cursor {
  sys::Bytes packet;
  std::uint8_t protocol;  // of the header here
  std::size_t at = kIpv6HeaderSize;
  std::size_t announced_at = kNextHeaderAt;  // where its protocol was read

  explicit Cursor(sys::Bytes bytes) noexcept : packet(bytes), protocol(sys::load_u8(&bytes[kNextHeaderAt])) {}

  [[nodiscard]] std::size_t left() const noexcept { return packet.size() - at; }
  // The extension header that begins here; empty when it is not all there.
  [[nodiscard]] sys::Bytes extension() const noexcept {
    if (left() < 2) {
      return {};
    }
    const std::size_t size =
        protocol == kProtocolFragment ? kIpv6FragmentHeaderSize : (sys::load_u8(&packet[at + 1]) + 1U) * 8U;
    return size <= left() ? packet.subspan(at, size) : sys::Bytes{};
  }
  void pass(sys::Bytes header) noexcept {
    protocol = sys::load_u8(header.data());
    announced_at = at;
    at += header.size();
  }
};

Ipv6Fragment read_fragment(const Cursor& cursor, sys::Bytes header) noexcept {
  const std::uint16_t field = sys::load_be16(&header[2]);
  Ipv6Fragment fragment;
  fragment.offset = field & kOffsetMask;
  fragment.more = (field & kMoreFragments) != 0;
  fragment.id = sys::load_be32(&header[4]);
  fragment.at = static_cast<std::uint16_t>(cursor.at);
  fragment.next_header_at = static_cast<std::uint16_t>(cursor.announced_at);
  fragment.next_header = sys::load_u8(header.data());
  return fragment;
}

bool is_atomic(const Ipv6Fragment& fragment) noexcept { return fragment.offset == 0 && !fragment.more; }

Ipv6ParameterProblem problem(std::uint8_t code, std::size_t pointer) noexcept {
  return {code, static_cast<std::uint32_t>(pointer), false};
}

// decode_ipv6() behind the fixed header. Each step returns what ends the walk, or nothing.
class Walk {
 public:
  Walk(sys::Bytes packet, Ipv6Headers& headers) noexcept : headers_(headers), cursor_(packet) {}

  DecodedIpv6 run() noexcept {
    while (is_extension(cursor_.protocol) && !hop_by_hop_out_of_place()) {
      if (const End end = extension()) {
        return *end;
      }
    }
    if (!is_upper_layer(cursor_.protocol)) {
      return problem(Icmp6ParameterProblem::kUnrecognizedNextHeader, cursor_.announced_at);
    }
    return upper_layer();
  }

 private:
  using End = std::optional<DecodedIpv6>;

  // It is only recognized directly behind the fixed header (RFC 8200 4.1).
  [[nodiscard]] bool hop_by_hop_out_of_place() const noexcept {
    return cursor_.protocol == kProtocolHopByHop && cursor_.at != kIpv6HeaderSize;
  }

  [[nodiscard]] bool one_too_many() noexcept { return ++extension_headers_ > kMostIpv6ExtensionHeaders; }

  End extension() noexcept {
    const sys::Bytes header = cursor_.extension();
    if (header.empty() || one_too_many()) {
      return Ipv6Refusal::malformed;
    }
    End end;
    switch (cursor_.protocol) {
      case kProtocolRouting:
        end = routing(header);
        break;
      case kProtocolFragment:
        end = fragment(header);
        break;
      default:
        end = options(header);
        break;
    }
    if (!end) {
      cursor_.pass(header);
    }
    return end;
  }

  End options(sys::Bytes header) noexcept {
    constexpr std::uint8_t kPad1 = 0;
    constexpr std::uint8_t kPadN = 1;
    sys::ByteReader reader(header.subspan(2));
    while (reader.left() > 0) {
      const std::size_t at = cursor_.at + header.size() - reader.left();
      const std::uint8_t type = reader.u8();
      if (type != kPad1) {
        reader.skip(reader.u8());
      }
      if (reader.failed() || ++options_ > kMostIpv6Options) {
        return Ipv6Refusal::malformed;
      }
      const End end = type == kPad1 || type == kPadN ? End{} : unknown_option(type, at);
      if (end) {
        return end;
      }
    }
    return std::nullopt;
  }

  // RFC 8200 4.2: the two highest bits.
  static End unknown_option(std::uint8_t type, std::size_t at) noexcept {
    Ipv6ParameterProblem told = problem(Icmp6ParameterProblem::kUnrecognizedOption, at);
    switch (type >> 6U) {
      case 0:
        return std::nullopt;
      case 1:
        return Ipv6Refusal::discarded;
      case 2:
        told.also_multicast = true;
        return told;
      default:
        return told;
    }
  }

  // RFC 8200 4.4 for types that are not recognized, which all are (RFC 5095 for type 0).
  End routing(sys::Bytes header) const noexcept {
    constexpr std::size_t kTypeAt = 2;
    constexpr std::size_t kSegmentsLeftAt = 3;
    if (sys::load_u8(&header[kSegmentsLeftAt]) == 0) {
      return std::nullopt;
    }
    return problem(Icmp6ParameterProblem::kErroneousField, cursor_.at + kTypeAt);
  }

  End fragment(sys::Bytes header) noexcept {
    const Ipv6Fragment fragment = read_fragment(cursor_, header);
    if (is_atomic(fragment)) {
      return std::nullopt;
    }
    const std::size_t size = cursor_.left() - header.size();
    if (size == 0) {
      return Ipv6Refusal::malformed;
    }
    if (fragment.more && size % 8 != 0) {
      return problem(Icmp6ParameterProblem::kErroneousField, kPayloadLengthAt);
    }
    if (fragment.at - kIpv6HeaderSize + fragment.offset + size > kLargestPayload) {
      return problem(Icmp6ParameterProblem::kErroneousField, fragment.at + 2U);
    }
    headers_.fragment = fragment;
    cursor_.pass(header);
    headers_.header_length = static_cast<std::uint16_t>(cursor_.at);
    return fragment.offset == 0 ? first_fragment() : upper_layer();
  }

  // The rest of the chain has to be here too.
  DecodedIpv6 first_fragment() noexcept {
    const Ipv6ParameterProblem incomplete = problem(Icmp6ParameterProblem::kIncompleteHeaderChain, 0);
    while (cursor_.protocol == kProtocolRouting || cursor_.protocol == kProtocolDestinationOptions) {
      const sys::Bytes header = cursor_.extension();
      if (header.empty()) {
        return incomplete;
      }
      if (one_too_many()) {
        return Ipv6Refusal::malformed;
      }
      cursor_.pass(header);
    }
    if (cursor_.protocol == kProtocolFragment) {  // a fragment of a fragment: nobody makes such
      return Ipv6Refusal::malformed;
    }
    if (cursor_.left() < upper_layer_header_size(cursor_.protocol)) {
      return incomplete;
    }
    return upper_layer();
  }

  DecodedIpv6 upper_layer() noexcept {
    headers_.protocol = cursor_.protocol;
    headers_.upper_layer_at = static_cast<std::uint16_t>(cursor_.at);
    if (!headers_.fragment) {
      headers_.header_length = headers_.upper_layer_at;
    }
    return headers_;
  }

  Ipv6Headers& headers_;
  Cursor cursor_;
  unsigned extension_headers_ = 0;
  unsigned options_ = 0;
};

// Not unspecified, loopback or multicast.
bool is_one_host(const sys::Ipv6Address& a) noexcept {
  return !sys::is_unspecified(a) && !sys::is_loopback(a) && !sys::is_multicast(a);
}

// Whether the ICMPv6 message at the upper layer is known to be no error and no redirect.
bool is_harmless_icmp6(sys::Bytes packet, const Ipv6Headers& h) noexcept {
  constexpr std::uint8_t kFirstInformational = 128;
  constexpr std::uint8_t kRedirect = 137;
  if (h.upper_layer_at >= packet.size()) {
    return false;
  }
  const std::uint8_t type = sys::load_u8(&packet[h.upper_layer_at]);
  return type >= kFirstInformational && type != kRedirect;
}

// ICMPv6 errors are never longer than the minimum MTU (RFC 4443 2.4 c).
bool may_be_part_of_icmp6_error(const Ipv6Headers& later) noexcept {
  const bool may_be_icmp6 = later.protocol == kProtocolIcmp6 || is_extension(later.protocol);
  return may_be_icmp6 && later.fragment->offset < kIpv6MinimumMtu;
}

}  // namespace

sys::Ipv6Address load_ipv6(const std::byte* p) noexcept {
  sys::Ipv6Address address;
  std::memcpy(address.bytes.data(), p, address.bytes.size());
  return address;
}

DecodedIpv6 decode_ipv6(sys::Bytes packet) noexcept {
  auto headers = read_fixed_header(packet);
  if (!headers || headers->total_length > packet.size()) {
    return Ipv6Refusal::malformed;
  }
  return Walk(packet.first(headers->total_length), *headers).run();
}

std::optional<Ipv6Headers> decode_quoted_ipv6(sys::Bytes packet) noexcept {
  auto headers = read_fixed_header(packet);
  if (!headers) {
    return std::nullopt;
  }
  Cursor cursor(packet.first(std::min<std::size_t>(headers->total_length, packet.size())));
  for (unsigned i = 0; i < kMostIpv6ExtensionHeaders && is_extension(cursor.protocol); ++i) {
    const sys::Bytes header = cursor.extension();
    if (header.empty() || (cursor.protocol == kProtocolFragment && headers->fragment)) {
      break;
    }
    if (cursor.protocol == kProtocolFragment) {
      const Ipv6Fragment fragment = read_fragment(cursor, header);
      headers->fragment = is_atomic(fragment) ? std::nullopt : std::optional(fragment);
    }
    cursor.pass(header);
    if (headers->fragment && headers->fragment->offset != 0) {
      break;
    }
  }
  headers->protocol = cursor.protocol;
  headers->upper_layer_at = static_cast<std::uint16_t>(cursor.at);
  headers->header_length = headers->fragment
                               ? static_cast<std::uint16_t>(headers->fragment->at + kIpv6FragmentHeaderSize)
                               : headers->upper_layer_at;
  return headers;
}

void encode_ipv6(sys::MutableBytes out, const Ipv6Headers& h) noexcept {
  sys::ByteWriter w(out);
  w.be32((6U << 28U) | (std::uint32_t{h.traffic_class} << 20U) | (h.flow_label & 0xfffffU));
  w.be16(static_cast<std::uint16_t>(h.total_length - kIpv6HeaderSize));
  w.u8(h.protocol);
  w.u8(h.hop_limit);
  w.bytes(std::as_bytes(std::span(h.source.bytes)));
  w.bytes(std::as_bytes(std::span(h.destination.bytes)));
}

void encode_ipv6_fragment(sys::MutableBytes out, const Ipv6Fragment& fragment) noexcept {
  sys::ByteWriter w(out);
  w.u8(fragment.next_header);
  w.u8(0);
  w.be16(static_cast<std::uint16_t>((fragment.offset & kOffsetMask) | (fragment.more ? kMoreFragments : 0U)));
  w.be32(fragment.id);
}

bool may_send_icmp6_error(sys::Bytes packet, bool also_multicast) noexcept {
  const auto h = decode_quoted_ipv6(packet);
  if (!h || !is_one_host(h->source) || (sys::is_multicast(h->destination) && !also_multicast)) {
    return false;
  }
  if (h->fragment && h->fragment->offset != 0) {
    return !may_be_part_of_icmp6_error(*h);
  }
  if (is_extension(
          h->protocol)) {  // it may hide anything, but RFC 7112 5 wants to be heard about a first one
    return h->fragment.has_value();
  }
  return h->protocol != kProtocolIcmp6 || is_harmless_icmp6(packet, *h);
}

}  // namespace l4n::stack
