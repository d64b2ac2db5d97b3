#include "tests/stress/frame_changes.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "netns/sys/bytes.hpp"

namespace l4n::stress {
namespace {

using sys::load_be16;
using sys::load_u8;
using sys::store_be16;

// RFC 1071; `sum` carries what was added before.
std::uint16_t checksum(std::span<const std::byte> data, std::uint64_t sum = 0) {
  std::size_t i = 0;
  for (; i + 1 < data.size(); i += 2) {
    sum += load_be16(&data[i]);
  }
  if (i < data.size()) {
    sum += std::uint64_t{load_u8(&data[i])} << 8U;
  }
  while (sum > 0xffff) {
    sum = (sum & 0xffffU) + (sum >> 16U);
  }
  return static_cast<std::uint16_t>(~sum);
}

std::optional<std::size_t> checksum_offset(unsigned protocol) {
  switch (protocol) {
    case 1:  // ICMP
    case 58:
      return 2;
    case 6:
      return 16;
    case 17:
      return 6;
    default:
      return std::nullopt;
  }
}

// `addresses`: of the pseudo-header; empty for ICMP, which has none.
void repair_transport(std::span<std::byte> segment, unsigned protocol, std::span<const std::byte> addresses) {
  const auto at = checksum_offset(protocol);
  if (!at || *at + 2 > segment.size()) {
    return;
  }
  std::uint64_t pseudo = 0;
  if (!addresses.empty()) {
    pseudo = static_cast<std::uint16_t>(~checksum(addresses)) + std::uint64_t{protocol} + segment.size();
  }
  store_be16(&segment[*at], 0);
  store_be16(&segment[*at], checksum(segment, pseudo));
}

void repair_ipv4(std::span<std::byte> packet) {
  if (packet.size() < 20) {
    return;
  }
  const std::size_t header = (load_u8(packet.data()) & 0x0fU) * std::size_t{4};
  if (header < 20 || header > packet.size()) {
    return;
  }
  store_be16(&packet[10], 0);
  store_be16(&packet[10], checksum(packet.first(header)));
  const std::size_t total = load_be16(&packet[2]);
  const bool fragment = (load_be16(&packet[6]) & 0x3fffU) != 0;
  if (fragment || total < header || total > packet.size()) {
    return;
  }
  const unsigned protocol = load_u8(&packet[9]);
  const auto addresses = protocol == 1 ? std::span<std::byte>() : packet.subspan(12, 8);
  repair_transport(packet.subspan(header, total - header), protocol, addresses);
}

void repair_ipv6(std::span<std::byte> packet) {
  if (packet.size() < 40) {
    return;
  }
  const std::size_t length = load_be16(&packet[4]);
  if (40 + length <= packet.size()) {
    repair_transport(packet.subspan(40, length), load_u8(&packet[6]), packet.subspan(8, 32));
  }
}

std::size_t below(std::size_t limit, Random& random) {
  return limit == 0 ? 0 : static_cast<std::size_t>(random() % limit);
}

// Headers are where a change matters most.
std::size_t position(const Frame& frame, Random& random) {
  constexpr std::size_t kHeaders = 96;
  const std::size_t limit = random() % 4 == 0 ? frame.size() : std::min(frame.size(), kHeaders);
  return below(limit, random);
}

void set_interesting_word(Frame& frame, Random& random) {
  const auto values = std::to_array<std::size_t>(
      {0, 1, 7, 8, 0x7fff, 0x8000, 0xffff, frame.size(), frame.size() - kShortest, 5000});
  const std::size_t at = position(frame, random);
  if (at + 2 <= frame.size()) {
    store_be16(&frame[at], static_cast<std::uint16_t>(values.at(below(values.size(), random))));
  }
}

void change_length(Frame& frame, std::size_t longest, Random& random) {
  const std::size_t old_size = frame.size();
  // Mostly about where headers end; sometimes anything.
  const std::size_t limit = random() % 16 == 0 ? longest : 2 * old_size;
  frame.resize(std::clamp(below(limit, random), kShortest, longest));
  for (std::size_t i = old_size; i < frame.size(); ++i) {
    frame[i] = static_cast<std::byte>(random());
  }
}

void splice(Frame& frame, const Frame& other, Random& random) {
  const std::size_t from = below(other.size(), random);
  const std::size_t to = position(frame, random);
  const std::size_t size = std::min({other.size() - from, frame.size() - to, 1 + below(40, random)});
  std::copy_n(other.begin() + static_cast<std::ptrdiff_t>(from), size,
              frame.begin() + static_cast<std::ptrdiff_t>(to));
}

void change_once(Frame& frame, std::span<const Frame> corpus, std::size_t longest, Random& random) {
  switch (random() % 5) {
    case 0:
      frame[position(frame, random)] ^= static_cast<std::byte>(1U << (random() % 8));
      return;
    case 1:
      frame[position(frame, random)] = static_cast<std::byte>(random());
      return;
    case 2:
      set_interesting_word(frame, random);
      return;
    case 3:
      change_length(frame, longest, random);
      return;
    default:
      splice(frame, corpus[below(corpus.size(), random)], random);
  }
}

}  // namespace

std::optional<Variation> parse_variation(std::string_view text) {
  Variation made;
  const char* end = text.data() + text.size();
  const auto offset = std::from_chars(text.data(), end, made.offset);
  if (offset.ec != std::errc() || offset.ptr == end || *offset.ptr != ':') {
    return std::nullopt;
  }
  const auto width = std::from_chars(offset.ptr + 1, end, made.width);
  const std::string_view how(width.ptr, static_cast<std::size_t>(end - width.ptr));
  made.random = how == ":random";
  const bool known = made.random || how == ":count";
  return width.ec == std::errc() && known && made.width >= 1 && made.width <= 4 ? std::optional(made)
                                                                                : std::nullopt;
}

void vary(std::span<std::byte> frame, const Variation& variation, std::uint32_t number, Random& random) {
  if (variation.offset + variation.width > frame.size()) {
    return;
  }
  auto added = variation.random ? static_cast<std::uint32_t>(random()) : number;
  for (std::size_t i = variation.width; i-- > 0;) {  // from the lowest byte on, with the carry
    std::byte& b = frame[variation.offset + i];
    const std::uint32_t sum = load_u8(&b) + (added & 0xffU);
    b = static_cast<std::byte>(sum);
    added = (added >> 8U) + (sum >> 8U);
  }
}

Frame mutate(std::span<const Frame> corpus, std::size_t longest, Random& random) {
  Frame frame = corpus[below(corpus.size(), random)];
  for (std::uint64_t changes = 1 + random() % 4; changes > 0; --changes) {
    change_once(frame, corpus, longest, random);
  }
  if (random() % 4 != 0) {
    repair_checksums(frame);
  }
  return frame;
}

void repair_checksums(std::span<std::byte> frame) {
  if (frame.size() < kShortest) {
    return;
  }
  const unsigned ether_type = load_be16(&frame[12]);
  if (ether_type == 0x0800) {
    repair_ipv4(frame.subspan(kShortest));
  } else if (ether_type == 0x86dd) {
    repair_ipv6(frame.subspan(kShortest));
  }
}

}  // namespace l4n::stress
