// ARP and neighbour discovery: messages are read as other code reads them, what is read and written again is
// the same, and advertisements are well-formed to the last option.
//
// Input: a byte that says what it is; for a message of neighbour discovery its envelope; then the message.
// For an advertisement of ours: what it has to tell.
#include <algorithm>
#include <array>
#include <cstring>

#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/input.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/reference/dns_name.hpp"
#include "fuzz/structure/tlv.hpp"
#include "fuzz/support/address.hpp"
#include "fuzz/support/fault.hpp"
#include "fuzz/support/text.hpp"
#include "stack/arp.hpp"
#include "stack/ndp.hpp"

namespace l4n::fuzz {
namespace {

using stack::MacAddress;
using sys::Bytes;
using sys::Ipv6Address;

// --- ARP ---

void check_answer(const stack::ArpPacket& arp) {
  for (const bool ours : {false, true}) {
    auto answer = stack::answer_arp(arp, ours, stack::kGatewayMac);
    if (fault("arp: answered for others")) {
      answer.emplace();
    }
    const bool due = ours && arp.operation == 1 && (arp.sender_mac[0] & 1U) == 0;
    FUZZ_REQUIRE(answer.has_value() == due, "an ARP packet that is {}answered", due ? "not " : "");
    FUZZ_REQUIRE(!answer || (answer->operation == 2 && answer->sender == arp.target &&
                             answer->sender_mac == stack::kGatewayMac && answer->target == arp.sender &&
                             answer->target_mac == arp.sender_mac),
                 "a wrong ARP answer");
  }
}

void check_arp(Bytes packet) {
  constexpr std::array<std::uint8_t, 6> kFormat{0, 1, 8, 0, 6, 4};
  const bool good = packet.size() >= 28 && std::memcmp(packet.data(), kFormat.data(), kFormat.size()) == 0;
  const auto arp = stack::decode_arp(packet);
  FUZZ_REQUIRE(arp.has_value() == good, "an ARP packet that is {}", good ? "refused" : "taken");
  if (!arp) {
    return;
  }
  std::array<std::byte, stack::kArpPacketSize> again{};
  stack::encode_arp(again, *arp);
  if (fault("arp: sender")) {
    again[17] ^= std::byte{1};
  }
  FUZZ_REQUIRE(std::equal(again.begin(), again.end(), packet.begin()),
               "an ARP packet that is another when it is written again");
  check_answer(*arp);
}

// --- neighbour discovery: what comes ---

struct Expected {
  bool valid = false;
  Ipv6Address target;
  std::uint8_t flags = 0;
  std::optional<MacAddress> mac;
};

Ipv6Address address_at(Bytes message, std::size_t at) {
  Ipv6Address address;
  std::memcpy(address.bytes.data(), &message[at], address.bytes.size());
  return address;
}

// RFC 4861 4.6: the first link-layer address of this type. False where an option is malformed.
bool read_link_layer(Bytes options, unsigned type, std::optional<MacAddress>& mac) {
  std::size_t at = 0;
  while (at < options.size()) {
    if (at + 2 > options.size()) {
      return false;
    }
    const std::size_t size = sys::load_u8(&options[at + 1]) * std::size_t{8};
    if (size == 0 || at + size > options.size()) {
      return false;
    }
    if (sys::load_u8(&options[at]) == type && !mac) {
      if (size != 8 || (sys::load_u8(&options[at + 2]) & 1U) != 0) {
        return false;
      }
      mac.emplace();
      std::memcpy(mac->data(), &options[at + 2], mac->size());
    }
    at += size;
  }
  return true;
}

Expected read_ndp(Bytes m, const stack::NdpEnvelope& envelope) {
  Expected expected;
  const unsigned type = m.empty() ? 0 : sys::load_u8(&m[0]);
  const std::size_t fixed = type == 133 ? 8 : 24;
  if (m.size() < fixed || sys::load_u8(&m[1]) != 0 || envelope.hop_limit != 255) {
    return expected;
  }
  expected.target = type == 133 ? Ipv6Address{} : address_at(m, 8);
  expected.flags = sys::load_u8(&m[4]);
  expected.valid = read_link_layer(m.subspan(fixed), type == 136 ? 2 : 1, expected.mac) &&
                   expected.target.bytes[0] != 0xff;
  const bool unspecified = envelope.source == Ipv6Address{};
  const bool to_node_group = envelope.destination.bytes[0] == 0xff &&
                             envelope.destination == stack::solicited_node_multicast(envelope.destination);
  if (type != 136 && unspecified && (expected.mac || (type == 135 && !to_node_group))) {
    expected.valid = false;
  }
  if (type == 136 && (expected.flags & 0x40U) != 0 && envelope.destination.bytes[0] == 0xff) {
    expected.valid = false;
  }
  return expected;
}

// Read again after it was written, it says the same. `message` of decode and encode.
template <class Message, class Encode, class Decode>
void check_again(const Message& message, Encode encode, Decode decode) {
  std::array<std::byte, stack::kNeighbourMessageSize> bytes{};
  const std::size_t size = encode(bytes, message);
  FUZZ_REQUIRE(size <= bytes.size(), "a neighbour message of {} bytes", size);
  const stack::NdpEnvelope envelope{*sys::parse_ipv6("fe80::1"), *sys::parse_ipv6("fe80::2")};
  const auto again = decode(Bytes(bytes).first(size), envelope);
  FUZZ_REQUIRE(again && again->target == message.target, "a neighbour message that is not read back");
}

void check_ndp(Bytes m, const stack::NdpEnvelope& envelope) {
  Expected expected = read_ndp(m, envelope);
  if (fault("ndp: option length") && expected.valid) {
    expected.valid = false;
  }
  const unsigned type = m.empty() ? 0 : sys::load_u8(&m[0]);
  const auto solicitation = stack::decode_router_solicitation(m, envelope);
  const auto neighbour = stack::decode_neighbour_solicitation(m, envelope);
  const auto advertisement = stack::decode_neighbour_advertisement(m, envelope);
  FUZZ_REQUIRE(solicitation.has_value() == (type == 133 && expected.valid), "a router solicitation is {}",
               solicitation ? "taken" : "refused");
  FUZZ_REQUIRE(neighbour.has_value() == (type == 135 && expected.valid), "a neighbour solicitation is {}",
               neighbour ? "taken" : "refused");
  FUZZ_REQUIRE(advertisement.has_value() == (type == 136 && expected.valid),
               "a neighbour advertisement is {}", advertisement ? "taken" : "refused");
  if (solicitation) {
    FUZZ_REQUIRE(solicitation->source_mac == expected.mac, "another source address than the message has");
  }
  if (neighbour) {
    FUZZ_REQUIRE(neighbour->target == expected.target && neighbour->source_mac == expected.mac,
                 "a neighbour solicitation is read wrongly");
    check_again(*neighbour, stack::encode_neighbour_solicitation, stack::decode_neighbour_solicitation);
  }
  if (advertisement) {
    const auto flags = (advertisement->router ? 0x80U : 0U) | (advertisement->solicited ? 0x40U : 0U) |
                       (advertisement->override ? 0x20U : 0U);
    FUZZ_REQUIRE(advertisement->target == expected.target && advertisement->target_mac == expected.mac &&
                     flags == (expected.flags & 0xe0U),
                 "a neighbour advertisement is read wrongly");
    check_again(*advertisement, stack::encode_neighbour_advertisement, stack::decode_neighbour_advertisement);
  }
}

// --- neighbour discovery: what we advertise ---

stack::RouterAdvertisement take_advertisement(Input& in) {
  stack::RouterAdvertisement ra;
  ra.hop_limit = in.u8();
  ra.managed = in.boolean();
  ra.other = in.boolean();
  ra.on_link = in.boolean();
  ra.autonomous = in.boolean();
  ra.router_lifetime = in.u16();
  ra.mtu = in.u32();
  ra.prefix = {take_ipv6(in), in.in_range(0, 128)};
  for (std::uint8_t i = in.u8() % 6; i > 0; --i) {
    ra.dns_servers.push_back(take_ipv6(in));
  }
  ra.search_domains = lines(in.rest());
  return ra;
}

void check_prefix(Bytes option, const stack::RouterAdvertisement& ra) {
  FUZZ_REQUIRE(option.size() == 32 && sys::load_u8(&option[2]) == ra.prefix.prefix, "a wrong prefix length");
  const Ipv6Address address = address_at(option, 16);
  FUZZ_REQUIRE(ra.prefix.contains(address), "another prefix than the network's");
  for (unsigned bit = ra.prefix.prefix; bit < 128; ++bit) {
    FUZZ_REQUIRE((address.bytes.at(bit / 8) & (0x80U >> bit % 8)) == 0, "a prefix with bits behind it");
  }
}

void check_option(Bytes option, const stack::RouterAdvertisement& ra) {
  switch (sys::load_u8(option.data())) {
    case 1:
      FUZZ_REQUIRE(option.size() == 8, "a link-layer address of {} bytes", option.size());
      return;
    case 3:
      return check_prefix(option, ra);
    case 5:
      FUZZ_REQUIRE(option.size() == 8 && sys::load_be32(&option[4]) == ra.mtu, "another MTU");
      return;
    case 25:
      FUZZ_REQUIRE((option.size() - 8) / 16 == std::min<std::size_t>(ra.dns_servers.size(), 3),
                   "another number of name servers");
      return;
    case 31: {
      const auto names = read_names(option.subspan(8), 7);
      FUZZ_REQUIRE(names && !names->empty(), "a malformed search list");
      for (const std::string& name : *names) {
        const bool known = std::any_of(ra.search_domains.begin(), ra.search_domains.end(),
                                       [&name](const auto& domain) { return with_dot(domain) == name; });
        FUZZ_REQUIRE(known, "the search domain {}, which nobody has set", printable(name));
      }
      return;
    }
    default:
      FUZZ_REQUIRE(false, "an option of type {} in an advertisement", sys::load_u8(option.data()));
  }
}

void check_advertisement(const stack::RouterAdvertisement& ra) {
  std::array<std::byte, stack::kLargestRouterAdvertisement> out{};
  const std::size_t size = stack::encode_router_advertisement(out, ra);
  FUZZ_REQUIRE(size >= 16 && size <= out.size(), "a router advertisement of {} bytes", size);
  const Bytes message = Bytes(out).first(size - (fault("ndp: cut off") ? 4 : 0));
  FUZZ_REQUIRE(sys::load_u8(&message[0]) == 134 && sys::load_u8(&message[4]) == ra.hop_limit &&
                   sys::load_be16(&message[6]) == ra.router_lifetime,
               "a router advertisement with another header");
  std::vector<unsigned> seen;
  for (std::size_t at = 16; at < message.size();) {
    const std::size_t length = sys::load_u8(&message[at + 1]) * std::size_t{8};
    FUZZ_REQUIRE(length > 0 && at + length <= message.size(), "a malformed option in an advertisement");
    seen.push_back(sys::load_u8(&message[at]));
    check_option(message.subspan(at, length), ra);
    at += length;
  }
  std::vector<unsigned> sorted = seen;
  std::sort(sorted.begin(), sorted.end());
  FUZZ_REQUIRE(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(),
               "an option twice in an advertisement");
  for (const unsigned needed : {1U, 3U, 5U}) {
    FUZZ_REQUIRE(std::count(seen.begin(), seen.end(), needed) == 1, "no option {} in an advertisement",
                 needed);
  }
}

// --- all of it ---

enum class Kind { arp, ndp, advertisement };

Kind take_kind(Input& in) { return static_cast<Kind>(in.u8() % 3); }

stack::NdpEnvelope take_envelope(Input& in) {
  return {take_ipv6(in), take_ipv6(in), in.boolean() ? in.u8() : std::uint8_t{255}};
}

void run(Bytes input) {
  Input in(input);
  switch (take_kind(in)) {
    case Kind::arp:
      return check_arp(in.rest());
    case Kind::ndp: {
      const stack::NdpEnvelope envelope = take_envelope(in);
      return check_ndp(in.rest(), envelope);
    }
    case Kind::advertisement:
      return check_advertisement(take_advertisement(in));
  }
}

std::string print(Bytes input) {
  Input in(input);
  switch (take_kind(in)) {
    case Kind::arp:
      return "ARP\n" + print_hex(in.rest());
    case Kind::ndp: {
      const stack::NdpEnvelope e = take_envelope(in);
      return fmt::format("{} -> {} hop limit {}\n{}", sys::to_string(e.source), sys::to_string(e.destination),
                         e.hop_limit, print_hex(in.rest()));
    }
    case Kind::advertisement: {
      const stack::RouterAdvertisement ra = take_advertisement(in);
      return fmt::format("advertise {}/{} mtu {} {} servers {} domains\n", sys::to_string(ra.prefix.address),
                         ra.prefix.prefix, ra.mtu, ra.dns_servers.size(), ra.search_domains.size());
    }
  }
  return "";
}

constexpr auto kKnownOptions = std::to_array<unsigned>({1, 2, 3, 5, 14, 25, 31});
constexpr TlvFormat kOptions{.unit = 8, .counts_header = true, .known = kKnownOptions};

// The options behind a solicitation or an advertisement with envelope addresses of the short form.
std::size_t mutate_message(sys::MutableBytes data, std::size_t size, std::size_t max_size, Random& random) {
  constexpr std::size_t kEnvelope = 4;
  constexpr std::size_t kFixed = kEnvelope + 24;
  if (size < kFixed || sys::load_u8(&data[0]) % 3 != 1) {
    return mutate_bytes(data, size, max_size, random);
  }
  std::vector<Tlv> options = split_tlvs(data.first(size).subspan(kFixed), kOptions);
  mutate_tlvs(options, kOptions, random);
  const std::vector<std::byte> joined = join_tlvs(options, kOptions);
  const std::size_t kept = std::min(joined.size(), max_size - kFixed);
  std::copy_n(joined.begin(), kept, data.begin() + kFixed);
  return kFixed + kept;
}

std::size_t mutate(sys::MutableBytes data, std::size_t size, std::size_t max_size, Random& random) {
  return random.one_in(2) ? mutate_message(data, size, max_size, random)
                          : mutate_bytes(data, size, max_size, random);
}

}  // namespace

const Harness kHarness{run, print, mutate};

}  // namespace l4n::fuzz
