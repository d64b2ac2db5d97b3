// Lists of options as many protocols have them: type, length, value. Taken apart so that a mutator can work
// on whole options, and put together again with lengths that fit. For DHCP, DHCPv6, neighbour discovery and
// TCP.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "fuzz/engine/random.hpp"
#include "netns/sys/bytes.hpp"

namespace l4n::fuzz {

// How a protocol writes its options.
struct TlvFormat {
  std::size_t number_size = 1;         // bytes of the type, and of the length
  std::size_t unit = 1;                // bytes that a length of 1 means
  bool counts_header = false;          // the length includes type and length
  std::span<const unsigned> single{};  // types that are one byte without length: padding, end
  std::span<const unsigned> known{};   // types that mean something to the receiver
};

struct Tlv {
  unsigned type = 0;
  std::vector<std::byte> value;
};

// To the end or to the first option that is cut off; what is left then is lost.
[[nodiscard]] std::vector<Tlv> split_tlvs(sys::Bytes data, const TlvFormat& format);
// Values are cut or padded to what the length can say.
[[nodiscard]] std::vector<std::byte> join_tlvs(std::span<const Tlv> list, const TlvFormat& format);

// One change to the list: an option more, less, twice, elsewhere, of another type or with another value.
void mutate_tlvs(std::vector<Tlv>& list, const TlvFormat& format, Random& random);

}  // namespace l4n::fuzz
