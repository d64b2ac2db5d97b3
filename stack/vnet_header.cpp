#include "stack/vnet_header.hpp"

#include <cstring>

namespace l4n::stack {
namespace {

std::uint16_t load_host16(const std::byte* p) noexcept {
  std::uint16_t v = 0;
  std::memcpy(&v, p, sizeof v);
  return v;
}

void store_host16(std::byte* p, std::uint16_t v) noexcept { std::memcpy(p, &v, sizeof v); }

}  // namespace

VnetHeader VnetHeader::decode(sys::Bytes data) noexcept {
  VnetHeader h;
  h.flags = sys::load_u8(&data[0]);
  h.gso_type = sys::load_u8(&data[1]);
  h.header_length = load_host16(&data[2]);
  h.gso_size = load_host16(&data[4]);
  h.checksum_start = load_host16(&data[6]);
  h.checksum_offset = load_host16(&data[8]);
  return h;
}

void VnetHeader::encode(sys::MutableBytes out) const noexcept {
  out[0] = static_cast<std::byte>(flags);
  out[1] = static_cast<std::byte>(gso_type);
  store_host16(&out[2], header_length);
  store_host16(&out[4], gso_size);
  store_host16(&out[6], checksum_start);
  store_host16(&out[8], checksum_offset);
}

}  // namespace l4n::stack
