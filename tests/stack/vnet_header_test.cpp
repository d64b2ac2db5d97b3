#include "stack/vnet_header.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "tests/support/byte_string.hpp"

namespace l4n::stack {
namespace {

// The kernel's struct virtio_net_hdr: host byte order, no padding.
struct KernelHeader {
  std::uint8_t flags;
  std::uint8_t gso_type;
  std::uint16_t hdr_len;
  std::uint16_t gso_size;
  std::uint16_t csum_start;
  std::uint16_t csum_offset;
};
static_assert(sizeof(KernelHeader) == VnetHeader::kSize);

test::ByteString as_bytes(const KernelHeader& header) {
  test::ByteString bytes(sizeof header);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

TEST_CASE("vnet header: the kernel's layout, both ways") {
  const std::vector<KernelHeader> rows = {
      {0, 0, 0, 0, 0, 0},
      {1, 0, 0, 0, 34, 16},
      {1, 1, 54, 1460, 34, 16},
      {2, 4, 0x1234, 0x5678, 0x9abc, 0xdef0},
      {0xff, 0xff, 0xffff, 0xffff, 0xffff, 0xffff},
  };
  for (const KernelHeader& row : rows) {
    const test::ByteString bytes = as_bytes(row);
    const VnetHeader header = VnetHeader::decode(bytes);
    CHECK(header.flags == row.flags);
    CHECK(header.gso_type == row.gso_type);
    CHECK(header.header_length == row.hdr_len);
    CHECK(header.gso_size == row.gso_size);
    CHECK(header.checksum_start == row.csum_start);
    CHECK(header.checksum_offset == row.csum_offset);
    test::ByteString out(VnetHeader::kSize, std::byte{0xee});
    header.encode(out);
    CHECK(out == bytes);
  }
}

TEST_CASE("vnet header: which flags make a checksum trusted") {
  struct Row {
    std::string description;
    std::uint8_t flags;
    bool trusted;
  };
  const std::vector<Row> rows = {
      {"none", 0, false},         {"partial", VnetHeader::kNeedsChecksum, true},
      {"verified", 2, true},      {"both", 3, true},
      {"another flag", 4, false}, {"all but the two", 0xfc, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    VnetHeader header;
    header.flags = row.flags;
    CHECK(header.checksum_trusted() == row.trusted);
  }
}

}  // namespace
}  // namespace l4n::stack
