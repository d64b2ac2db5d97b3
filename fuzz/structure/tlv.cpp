#include "fuzz/structure/tlv.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace l4n::fuzz {
namespace {

constexpr std::size_t kMostNewBytes = 40;

bool is_single(unsigned type, const TlvFormat& format) {
  return std::find(format.single.begin(), format.single.end(), type) != format.single.end();
}

unsigned read_number(sys::ByteReader& reader, const TlvFormat& format) {
  return format.number_size == 1 ? reader.u8() : reader.be16();
}

void append_number(std::vector<std::byte>& out, std::size_t number, const TlvFormat& format) {
  if (format.number_size == 2) {
    out.push_back(static_cast<std::byte>(number >> 8U));
  }
  out.push_back(static_cast<std::byte>(number));
}

std::size_t header_size(const TlvFormat& format) { return 2 * format.number_size; }

std::size_t counted_header(const TlvFormat& format) { return format.counts_header ? header_size(format) : 0; }

std::size_t largest_value(const TlvFormat& format) {
  const std::size_t most = format.number_size == 1 ? 0xff : 0xffff;
  return most * format.unit - counted_header(format);
}

unsigned choose_type(const TlvFormat& format, Random& random) {
  if (format.known.empty() || random.one_in(8)) {
    return static_cast<unsigned>(random.below(format.number_size == 1 ? 0x100 : 0x10000));
  }
  return format.known[random.below(format.known.size())];
}

// Lengths that protocols like, and any other.
std::size_t choose_size(Random& random) {
  constexpr std::array<std::size_t, 10> kSizes{0, 1, 2, 3, 4, 6, 8, 14, 16, 24};
  return random.one_in(4) ? random.below(kMostNewBytes) : kSizes[random.below(kSizes.size())];
}

void change_value(std::vector<std::byte>& value, Random& random) {
  if (value.empty() || random.one_in(3)) {
    const std::size_t kept = value.size();
    value.resize(choose_size(random));
    std::generate(value.begin() + static_cast<std::ptrdiff_t>(std::min(kept, value.size())), value.end(),
                  [&random] { return random.byte(); });
    return;
  }
  value[random.below(value.size())] = random.byte();
}

Tlv new_tlv(const TlvFormat& format, Random& random) {
  Tlv tlv{choose_type(format, random), std::vector<std::byte>(choose_size(random))};
  std::generate(tlv.value.begin(), tlv.value.end(), [&random] { return random.byte(); });
  return tlv;
}

}  // namespace

std::vector<Tlv> split_tlvs(sys::Bytes data, const TlvFormat& format) {
  std::vector<Tlv> list;
  sys::ByteReader reader(data);
  while (reader.left() > 0) {
    Tlv tlv{read_number(reader, format), {}};
    if (!is_single(tlv.type, format)) {
      const std::size_t size = read_number(reader, format) * format.unit;
      const sys::Bytes value = reader.bytes(size - std::min(size, counted_header(format)));
      tlv.value.assign(value.begin(), value.end());
    }
    if (reader.failed()) {
      break;
    }
    list.push_back(std::move(tlv));
  }
  return list;
}

std::vector<std::byte> join_tlvs(std::span<const Tlv> list, const TlvFormat& format) {
  std::vector<std::byte> out;
  for (const Tlv& tlv : list) {
    append_number(out, tlv.type, format);
    if (is_single(tlv.type, format)) {
      continue;
    }
    const std::size_t size = std::min(tlv.value.size(), largest_value(format));
    const std::size_t counted = size + counted_header(format);
    const std::size_t units = (counted + format.unit - 1) / format.unit;
    append_number(out, units, format);
    out.insert(out.end(), tlv.value.begin(), tlv.value.begin() + static_cast<std::ptrdiff_t>(size));
    out.resize(out.size() + units * format.unit - counted);
  }
  return out;
}

void mutate_tlvs(std::vector<Tlv>& list, const TlvFormat& format, Random& random) {
  const std::size_t at = random.below(list.size());
  const auto place = list.begin() + static_cast<std::ptrdiff_t>(at);
  switch (list.empty() ? 0 : random.below(7)) {
    case 0:
      list.insert(place, new_tlv(format, random));
      return;
    case 1:
      list.erase(place);
      return;
    case 2:
      list.push_back(list[at]);
      return;
    case 3:
      std::swap(list[at], list[random.below(list.size())]);
      return;
    case 4:
      list[at].type = choose_type(format, random);
      return;
    default:
      change_value(list[at].value, random);
      return;
  }
}

}  // namespace l4n::fuzz
