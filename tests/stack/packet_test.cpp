#include "stack/packet.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/support/packets.hpp"

namespace l4n::stack {
namespace {

using sys::make_ipv4;
using test::be16;
using test::byte_string;
using test::ByteString;
using test::from_hex;
using test::overwrite;

// A copy of exactly that size, so that the sanitizer sees a read past its end.
ByteString cut(sys::Bytes data, std::size_t size) {
  const sys::Bytes part = data.first(size);
  return {part.begin(), part.end()};
}

TEST_CASE("ethernet: there and back, and every truncation") {
  const EthernetHeader header{{1, 2, 3, 4, 5, 6}, {7, 8, 9, 10, 11, 12}, 0x86dd};
  ByteString out(kEthernetHeaderSize);
  encode_ethernet(out, header);
  CHECK(out == from_hex("01 02 03 04 05 06 07 08 09 0a 0b 0c 86 dd"));
  const auto back = decode_ethernet(out);
  REQUIRE(back);
  CHECK(back->destination == header.destination);
  CHECK(back->source == header.source);
  CHECK(back->ether_type == header.ether_type);
  for (std::size_t size = 0; size < out.size(); ++size) {
    CHECK_FALSE(decode_ethernet(cut(out, size)));
  }
}

TEST_CASE("ethernet: group addresses") {
  CHECK(is_multicast(kBroadcastMac));
  CHECK(is_multicast({0x01, 0, 0x5e, 0, 0, 1}));
  CHECK(is_multicast({0x33, 0x33, 0, 0, 0, 1}));
  CHECK_FALSE(is_multicast(kGatewayMac));
  CHECK_FALSE(is_multicast({}));
}

Ipv4Header sample_ipv4() {
  Ipv4Header h;
  h.source = make_ipv4(10, 0, 2, 100);
  h.destination = make_ipv4(192, 0, 2, 1);
  h.protocol = kProtocolUdp;
  h.ttl = 3;
  h.tos = 0xb8;
  h.id = 0xbeef;
  h.dont_fragment = true;
  h.total_length = kIpv4HeaderSize;
  return h;
}

void check_same(const Ipv4Header& a, const Ipv4Header& b) {
  CHECK(a.source == b.source);
  CHECK(a.destination == b.destination);
  CHECK(a.protocol == b.protocol);
  CHECK(a.ttl == b.ttl);
  CHECK(a.tos == b.tos);
  CHECK(a.id == b.id);
  CHECK(a.dont_fragment == b.dont_fragment);
  CHECK(a.more_fragments == b.more_fragments);
  CHECK(a.fragment_offset == b.fragment_offset);
  CHECK(a.header_length == b.header_length);
  CHECK(a.total_length == b.total_length);
  CHECK(a.is_fragment() == b.is_fragment());
}

TEST_CASE("ipv4: the bytes on the wire") {
  ByteString out(kIpv4HeaderSize);
  encode_ipv4(out, sample_ipv4());
  CHECK(cut(out, 10) == from_hex("45 b8 00 14 be ef 40 00 03 11"));
  CHECK(test::same_bytes(std::span(out).subspan(12), from_hex("0a 00 02 64 c0 00 02 01")));
  CHECK(test::plain_checksum(out) == 0);
}

TEST_CASE("ipv4: there and back") {
  std::vector<Ipv4Header> rows(6, sample_ipv4());
  rows[1].dont_fragment = false;
  rows[2].more_fragments = true;
  rows[3].fragment_offset = 65528;
  rows[4].fragment_offset = 8;
  rows[4].more_fragments = true;
  rows[4].dont_fragment = false;
  rows[5].total_length = 65535;
  for (const Ipv4Header& row : rows) {
    ByteString packet(row.total_length);
    encode_ipv4(packet, row);
    const auto back = decode_ipv4(packet);
    REQUIRE(back);
    check_same(*back, row);
  }
}

TEST_CASE("ipv4: fragments") {
  Ipv4Header h;
  CHECK_FALSE(h.is_fragment());
  h.more_fragments = true;
  CHECK(h.is_fragment());
  h.more_fragments = false;
  h.fragment_offset = 8;
  CHECK(h.is_fragment());
}

TEST_CASE("ipv4: every truncation is refused") {
  test::Ipv4Spec spec;
  spec.options = from_hex("01 01 01 00");
  const ByteString packet = test::ipv4_packet(spec, from_hex("aa bb cc"));
  REQUIRE(decode_ipv4(packet));
  for (std::size_t size = 0; size < packet.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(decode_ipv4(cut(packet, size)));
  }
}

TEST_CASE("ipv4: of a quoted packet only the header must be there") {
  test::Ipv4Spec spec;
  spec.options = from_hex("01 01 01 00");
  const ByteString packet = test::ipv4_packet(spec, from_hex("aa bb cc"));
  for (std::size_t size = 0; size <= packet.size(); ++size) {
    CAPTURE(size);
    const auto h = decode_quoted_ipv4(cut(packet, size));
    REQUIRE(h.has_value() == (size >= 24));
    if (h) {
      CHECK(h->total_length == packet.size());
    }
  }
}

TEST_CASE("ipv4: what is behind the total length is not part of the packet") {
  const ByteString packet = test::concat({test::ipv4_packet({}, from_hex("aa")), ByteString(25)});
  const auto h = decode_ipv4(packet);
  REQUIRE(h);
  CHECK(h->total_length == 21);
}

TEST_CASE("ipv4: malformed headers") {
  struct Row {
    std::string description;
    std::size_t at;
    ByteString bytes;
    bool good;
  };
  const std::vector<Row> rows = {
      {"untouched", 0, byte_string({0x46}), true},
      {"version 0", 0, byte_string({0x06}), false},
      {"version 6", 0, byte_string({0x66}), false},
      {"version 5", 0, byte_string({0x56}), false},
      {"header of 0 bytes", 0, byte_string({0x40}), false},
      {"header of 16 bytes", 0, byte_string({0x44}), false},
      {"header of 20 bytes", 0, byte_string({0x45}), true},
      {"header as long as the packet", 0, byte_string({0x48}), true},
      {"header longer than the packet", 0, byte_string({0x49}), false},
      {"header of 60 bytes", 0, byte_string({0x4f}), false},
      {"total length 0", 2, be16(0), false},
      {"total length below the header", 2, be16(23), false},
      {"total length the header", 2, be16(24), true},
      {"total length beyond the packet", 2, be16(33), false},
      {"total length 65535", 2, be16(65535), false},
  };
  test::Ipv4Spec spec;
  spec.options = from_hex("01 01 01 01");
  const ByteString good = test::ipv4_packet(spec, ByteString(8));
  for (const Row& row : rows) {
    CAPTURE(row.description);
    ByteString packet = good;
    overwrite(packet, row.at, row.bytes);
    // The checksum is right, whatever the header says: only the length may be the reason.
    const std::size_t header = std::min<std::size_t>((std::to_integer<unsigned>(packet[0]) & 15U) * 4U, 32);
    overwrite(packet, 10, be16(0));
    overwrite(packet, 10, be16(test::plain_checksum(std::span(packet).first(header))));
    CHECK(decode_ipv4(packet).has_value() == row.good);
  }
}

TEST_CASE("ipv4: every single wrong bit is found by the checksum") {
  const ByteString good = test::ipv4_packet({}, ByteString(8));
  for (std::size_t bit = 0; bit < kIpv4HeaderSize * 8; ++bit) {
    ByteString packet = good;
    packet[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    CAPTURE(bit);
    CHECK_FALSE(decode_ipv4(packet));
  }
}

TEST_CASE("tcp: the bytes on the wire, there and back") {
  TcpHeader h;
  h.source_port = 40000;
  h.destination_port = 80;
  h.seq = 0x01020304;
  h.ack = 0xfffefdfc;
  h.flags = TcpFlags::kAck | TcpFlags::kPsh;
  h.window = 0x1234;
  ByteString out(kTcpHeaderSize, std::byte{0xee});
  encode_tcp(out, h);
  CHECK(out == from_hex("9c40 0050 01020304 fffefdfc 50 18 1234 0000 0000"));
  const auto back = decode_tcp(out);
  REQUIRE(back);
  CHECK(back->source_port == h.source_port);
  CHECK(back->destination_port == h.destination_port);
  CHECK(back->seq == h.seq);
  CHECK(back->ack == h.ack);
  CHECK(back->flags == h.flags);
  CHECK(back->window == h.window);
  CHECK(back->header_length == 20);
  CHECK_FALSE(back->mss.has_value());
  CHECK_FALSE(back->window_scale.has_value());
}

TEST_CASE("tcp: a longer header is written as such") {
  TcpHeader h;
  h.header_length = 60;
  ByteString out(60);
  encode_tcp(out, h);
  CHECK(out[12] == std::byte{0xf0});
  const auto back = decode_tcp(out);
  REQUIRE(back);
  CHECK(back->header_length == 60);
}

TEST_CASE("tcp: every truncation of the header is refused") {
  test::TcpSpec spec;
  spec.options = from_hex("02 04 05 b4 01 03 03 07");
  const ByteString segment = test::tcp_segment({}, spec);
  REQUIRE(decode_tcp(segment));
  for (std::size_t size = 0; size < segment.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(decode_tcp(cut(segment, size)));
  }
}

TEST_CASE("tcp: every data offset") {
  for (unsigned words = 0; words < 16; ++words) {
    CAPTURE(words);
    test::TcpSpec spec;
    spec.flags = TcpFlags::kAck;
    spec.payload = ByteString(16);  // 36 bytes in all
    ByteString segment = test::tcp_segment({}, spec);
    segment[12] = static_cast<std::byte>(words << 4U);
    CHECK(decode_tcp(segment).has_value() == (words >= 5 && words <= 9));
  }
}

struct OptionRow {
  std::string description;
  std::string options;
  bool good;
  std::optional<std::uint16_t> mss;
  std::optional<std::uint8_t> window_scale;
};

const std::vector<OptionRow>& option_rows() {
  static const std::vector<OptionRow> rows = {
      {"none", "", true, {}, {}},
      {"as Linux sends them", "02 04 05 b4 04 02 08 0a 00 00 00 01 00 00 00 00 01 03 03 07", true, 1460, 7},
      {"only MSS", "02 04 ff ff", true, 65535, {}},
      {"MSS 0", "02 04 00 00", true, 0, {}},
      {"only window scale", "03 03 00 00", true, {}, 0},
      {"window scale 14", "01 03 03 0e", true, {}, 14},
      {"window scale 15 counts as 14", "01 03 03 0f", true, {}, 14},
      {"window scale 255 counts as 14", "01 03 03 ff", true, {}, 14},
      {"nothing but no-operations", "01 01 01 01 01 01 01 01", true, {}, {}},
      {"the end hides what follows", "00 02 04 05 b4 00 00 00", true, {}, {}},
      {"the end hides what is malformed", "00 02 00 00", true, {}, {}},
      {"the last of two counts", "02 04 05 b4 02 04 02 18", true, 536, {}},
      {"an unknown option is skipped", "fe 06 aa bb cc dd 01 01 02 04 05 b4", true, 1460, {}},
      {"an unknown option without a value", "fd 02 01 01", true, {}, {}},
      {"MSS of the wrong length is ignored", "02 03 05 01", true, {}, {}},
      {"MSS that is too long is ignored", "02 06 05 b4 00 00 01 01", true, {}, {}},
      {"window scale of the wrong length is ignored", "03 04 07 07", true, {}, {}},
      {"window scale without a value is ignored", "03 02 01 01", true, {}, {}},
      {"the kind as the last byte", "01 01 01 02", false, {}, {}},
      {"an unknown kind as the last byte", "01 01 01 fe", false, {}, {}},
      {"the end as the last byte", "01 01 01 00", true, {}, {}},
      {"length 0", "02 00 05 b4", false, {}, {}},
      {"length 1", "02 01 05 b4", false, {}, {}},
      {"length 0 of an unknown kind", "fe 00 01 01", false, {}, {}},
      {"one byte past the end", "02 05 05 b4", false, {}, {}},
      {"far past the end", "01 01 02 ff", false, {}, {}},
      {"the value is missing", "01 01 02 04", false, {}, {}},
      {"the value is cut", "01 02 04 05", false, {}, {}},
      {"good ones before do not help", "02 04 05 b4 01 01 03 03", false, {}, {}},
      {"all 40 bytes", "02 04 05 b4 fe 22" + std::string(2 * 32, '0') + "01 01", true, 1460, {}},
  };
  return rows;
}

TEST_CASE("tcp: the options of a SYN") {
  for (const OptionRow& row : option_rows()) {
    CAPTURE(row.description);
    test::TcpSpec spec;
    spec.options = from_hex(row.options);
    spec.payload = from_hex("02 04 11 11");  // data that looks like an option
    REQUIRE(spec.options.size() % 4 == 0);
    const auto h = decode_tcp(test::tcp_segment({}, spec));
    REQUIRE(h.has_value() == row.good);
    if (h) {
      CHECK(h->mss == row.mss);
      CHECK(h->window_scale == row.window_scale);
    }
  }
}

TEST_CASE("tcp: the options of other segments are not looked at") {
  for (const OptionRow& row : option_rows()) {
    CAPTURE(row.description);
    test::TcpSpec spec;
    spec.flags = TcpFlags::kAck;
    spec.options = from_hex(row.options);
    const auto h = decode_tcp(test::tcp_segment({}, spec));
    REQUIRE(h);
    CHECK_FALSE(h->mss.has_value());
    CHECK_FALSE(h->window_scale.has_value());
  }
}

TEST_CASE("tcp: random options never lead past the end") {
  std::mt19937 random(4);
  for (int round = 0; round < 20000; ++round) {
    test::TcpSpec spec;
    spec.options = test::random_bytes(random, random() % 11 * 4);
    for (std::byte& b : spec.options) {
      b &= (random() % 2 == 0) ? std::byte{0x07} : std::byte{0xff};  // more that mean something
    }
    const auto h = decode_tcp(test::tcp_segment({}, spec));
    if (h && h->window_scale) {
      REQUIRE(*h->window_scale <= 14);
    }
  }
}

TEST_CASE("udp: lengths") {
  struct Row {
    std::string description;
    unsigned length;
    std::size_t present;
    bool good;
  };
  const std::vector<Row> rows = {
      {"no payload", 8, 8, true},       {"payload", 12, 12, true},
      {"padding behind", 10, 30, true}, {"length 0", 0, 20, false},
      {"length 7", 7, 20, false},       {"one more than there is", 21, 20, false},
      {"65535", 65535, 20, false},      {"65535 that are there", 65535, 65535, true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    ByteString datagram(row.present);
    overwrite(datagram, 0, from_hex("00 35 9c 40"));
    overwrite(datagram, 4, be16(row.length));
    overwrite(datagram, 6, be16(0xabcd));
    const auto h = decode_udp(datagram);
    REQUIRE(h.has_value() == row.good);
    if (h) {
      CHECK(h->source_port == 53);
      CHECK(h->destination_port == 40000);
      CHECK(h->length == row.length);
      CHECK(h->checksum == 0xabcd);
    }
  }
}

TEST_CASE("udp: every truncation is refused") {
  const ByteString datagram = test::udp_datagram({}, 1, 2, from_hex("aa bb cc"));
  REQUIRE(decode_udp(datagram));
  for (std::size_t size = 0; size < datagram.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(decode_udp(cut(datagram, size)));
  }
}

TEST_CASE("icmp echo: the identifier is replaced and the checksum stays right") {
  std::mt19937 random(9);
  const std::vector<std::uint16_t> ids = {0, 1, 0x00ff, 0x7fff, 0x8000, 0xfffe, 0xffff, 0x1234};
  for (const std::uint16_t from : ids) {
    for (const std::uint16_t to : ids) {
      CAPTURE(from);
      CAPTURE(to);
      const ByteString rest = test::concat({be16(from), be16(0xabcd), test::random_bytes(random, 7)});
      ByteString message = test::icmp_message(8, 0, rest);
      CHECK(echo_id(message) == from);
      CHECK(echo_sequence(message) == 0xabcd);
      set_echo_id(message, to);
      CHECK(echo_id(message) == to);
      CHECK(echo_sequence(message) == 0xabcd);
      CHECK(test::plain_checksum(message) == 0);
    }
  }
}

TEST_CASE("icmp echo: a wrong checksum stays wrong") {
  ByteString message = test::icmp_message(8, 0, from_hex("0007 0001 61"));
  message[8] = std::byte{0x62};
  set_echo_id(message, 0x4321);
  CHECK(test::plain_checksum(message) != 0);
}

TEST_CASE("transport checksum: good ones, and every single wrong bit") {
  const sys::IpAddress source = make_ipv4(10, 0, 2, 100);
  const sys::IpAddress destination = make_ipv4(192, 0, 2, 1);
  test::TcpSpec spec;
  spec.payload = from_hex("68 65 6c 6c 6f");  // an odd length
  const ByteString good = test::tcp_segment({}, spec);
  CHECK(transport_checksum_valid(source, destination, kProtocolTcp, good));
  CHECK_FALSE(transport_checksum_valid(source, destination, kProtocolUdp, good));
  CHECK_FALSE(transport_checksum_valid(make_ipv4(10, 0, 2, 101), destination, kProtocolTcp, good));
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    ByteString bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    CAPTURE(bit);
    CHECK_FALSE(transport_checksum_valid(source, destination, kProtocolTcp, bad));
  }
}

TEST_CASE("transport checksum: IPv6") {
  const sys::IpAddress source = *sys::parse_ip("fd00::100");
  const sys::IpAddress destination = *sys::parse_ip("2001:db8::1");
  ByteString datagram = from_hex("9c40 0035 000b 0000 aabbcc");
  overwrite(datagram, 6, be16(test::plain_transport_checksum(source, destination, kProtocolUdp, datagram)));
  CHECK(transport_checksum_valid(source, destination, kProtocolUdp, datagram));
  CHECK_FALSE(transport_checksum_valid(source, source, kProtocolUdp, datagram));
}

}  // namespace
}  // namespace l4n::stack
