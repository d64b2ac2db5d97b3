// What makes many frames of a few: counted or random fields, mutations, and checksums made right again, so
// that a changed frame gets past the first check.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <string_view>
#include <vector>

namespace l4n::stress {

using Frame = std::vector<std::byte>;
using Random = std::mt19937_64;

// What AF_PACKET takes at least: the Ethernet header.
inline constexpr std::size_t kShortest = 14;

// A field that differs from frame to frame.
struct Variation {
  std::size_t offset = 0;
  std::size_t width = 0;  // bytes, 1 to 4
  bool random = false;    // else the template's value plus the frame's number
};
// "OFFSET:WIDTH:count" or "OFFSET:WIDTH:random".
[[nodiscard]] std::optional<Variation> parse_variation(std::string_view text);
// `number`: of the frame in the flood. A field that lies outside of the frame is left alone.
void vary(std::span<std::byte> frame, const Variation& variation, std::uint32_t number, Random& random);

// A corpus frame with a few changes of its bits, fields and length; at most `longest` bytes.
[[nodiscard]] Frame mutate(std::span<const Frame> corpus, std::size_t longest, Random& random);

// The IPv4 header checksum, and those of TCP, UDP, ICMP and ICMPv6 that follow an IP header directly. What
// does not add up otherwise (lengths, fragments) is left alone.
void repair_checksums(std::span<std::byte> frame);

}  // namespace l4n::stress
