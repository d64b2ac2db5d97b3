#include "stack/reassembly.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "netns/sys/clock.hpp"
#include "stack/checksum.hpp"
#include "stack/ipv6_header.hpp"
#include "tests/support/packets.hpp"

namespace l4n::stack {
namespace {

using std::chrono::seconds;
using test::ByteString;
using test::kGuestMac;

constexpr std::size_t kLink = VnetHeader::kSize + kEthernetHeaderSize;

struct V4 {
  static constexpr bool kV4 = true;
  static constexpr std::size_t kLargest = 65515;  // payload bytes
  static constexpr sys::Duration kTimeout = Reassembly::kTimeout;
  static constexpr sys::Ipv4Address kGuest = sys::make_ipv4(10, 0, 2, 100);
  static constexpr sys::Ipv4Address kOther = sys::make_ipv4(10, 0, 2, 101);
  static constexpr sys::Ipv4Address kRemote = sys::make_ipv4(192, 0, 2, 1);
  static constexpr sys::Ipv4Address kOtherRemote = sys::make_ipv4(192, 0, 2, 2);
};
struct V6 {
  static constexpr bool kV4 = false;
  static constexpr std::size_t kLargest = 65535;
  static constexpr sys::Duration kTimeout = Reassembly::kTimeoutIpv6;
  static constexpr sys::Ipv6Network kNetwork{{{0xfd}}, 64};
  static constexpr sys::Ipv6Network kInternet{{{0x20, 0x01, 0x0d, 0xb8}}, 64};
  static constexpr sys::Ipv6Address kGuest = kNetwork.host(0x100);
  static constexpr sys::Ipv6Address kOther = kNetwork.host(0x101);
  static constexpr sys::Ipv6Address kRemote = kInternet.host(1);
  static constexpr sys::Ipv6Address kOtherRemote = kInternet.host(2);
};

const sys::Ipv4Address kGuest = V4::kGuest;
const sys::Ipv4Address kRemote = V4::kRemote;

struct Fixture {
  sys::ManualClock clock;
  sys::TimerQueue timers{clock};
  FrameBufferPool pool;
  Reassembly reassembly{pool, timers};

  ~Fixture() { CHECK(pool.in_use() == 0); }
  void advance(sys::Duration by) {
    clock.advance(by);
    timers.run_due();
  }
};

// A fragment as the guest sends it.
struct Fragment {
  std::size_t offset = 0;
  ByteString data;
  bool more = true;
  std::uint32_t id = 7;
  std::uint8_t protocol = kProtocolUdp;
  sys::IpAddress source = kGuest;
  sys::IpAddress destination = kRemote;
  // Of IPv4 NOPs, of IPv6 a hop-by-hop header (a multiple of 8).
  std::size_t option_bytes = 0;

  [[nodiscard]] ByteString packet() const {
    ByteString out = source.is_v4() ? ipv4_header() : ipv6_headers();
    out.insert(out.end(), data.begin(), data.end());
    return out;
  }

 private:
  [[nodiscard]] ByteString ipv4_header() const {
    Ipv4Header header;
    header.source = source.v4();
    header.destination = destination.v4();
    header.protocol = protocol;
    header.id = static_cast<std::uint16_t>(id);
    header.tos = 0x28;
    header.ttl = 33;
    header.more_fragments = more;
    header.fragment_offset = static_cast<std::uint16_t>(offset);
    header.total_length = static_cast<std::uint16_t>(kIpv4HeaderSize + option_bytes + data.size());
    ByteString out(kIpv4HeaderSize);
    encode_ipv4(out, header);
    out.resize(kIpv4HeaderSize + option_bytes, std::byte{1});  // NOP
    out[0] = static_cast<std::byte>(0x40U | (out.size() / 4));
    sys::store_be16(&out[10], 0);
    sys::store_be16(&out[10], internet_checksum(out));
    return out;
  }
  [[nodiscard]] ByteString ipv6_headers() const {
    Ipv6Headers headers;
    headers.source = source.v6();
    headers.destination = destination.v6();
    headers.protocol = option_bytes > 0 ? kProtocolHopByHop : kProtocolFragment;
    headers.traffic_class = 0x28;
    headers.flow_label = 0x12345;
    headers.hop_limit = 33;
    headers.total_length =
        static_cast<std::uint32_t>(kIpv6HeaderSize + option_bytes + kIpv6FragmentHeaderSize + data.size());
    ByteString out(kIpv6HeaderSize + option_bytes + kIpv6FragmentHeaderSize);
    encode_ipv6(out, headers);
    if (option_bytes > 0) {
      const auto padding = static_cast<unsigned>(option_bytes - 4);
      test::overwrite(
          out, kIpv6HeaderSize,
          test::byte_string({kProtocolFragment, static_cast<unsigned>(option_bytes / 8 - 1), 1, padding}));
    }
    Ipv6Fragment fragment;
    fragment.offset = static_cast<std::uint16_t>(offset);
    fragment.more = more;
    fragment.id = id;
    fragment.next_header = protocol;
    encode_ipv6_fragment(std::span(out).subspan(kIpv6HeaderSize + option_bytes), fragment);
    return out;
  }
};

// What the front end makes of it.
IpHeader header_of(const ByteString& packet) { return decode_quoted_ip(packet).value(); }

FrameBufferPtr add(Reassembly& reassembly, const Fragment& fragment) {
  const ByteString packet = fragment.packet();
  return reassembly.add({kGuestMac, header_of(packet), packet});
}

template <typename Family = V4>
Fragment blank() {
  Fragment fragment;
  fragment.source = Family::kGuest;
  fragment.destination = Family::kRemote;
  return fragment;
}

// Payload bytes [begin, end) of `payload` as a fragment.
template <typename Family = V4>
Fragment part(const ByteString& payload, std::size_t begin, std::size_t end) {
  auto fragment = blank<Family>();
  fragment.offset = begin;
  fragment.data.assign(payload.begin() + static_cast<std::ptrdiff_t>(begin),
                       payload.begin() + static_cast<std::ptrdiff_t>(end));
  fragment.more = end < payload.size();
  return fragment;
}

template <typename Family = V4>
std::vector<Fragment> cut(const ByteString& payload, std::size_t room) {
  std::vector<Fragment> fragments;
  for (std::size_t at = 0; at < payload.size(); at += room) {
    fragments.push_back(part<Family>(payload, at, std::min(at + room, payload.size())));
  }
  return fragments;
}

sys::Bytes ip_packet(FrameBuffer& buffer) { return buffer.bytes().subspan(kLink); }

void check_ipv4_header(sys::Bytes packet, const ByteString& payload) {
  const auto ip = decode_ipv4(packet);
  REQUIRE(ip.has_value());
  CHECK(ip->total_length == packet.size());
  CHECK_FALSE(ip->is_fragment());
  CHECK_FALSE(ip->dont_fragment);
  CHECK(ip->id == 7);
  CHECK(ip->ttl == 33);
  CHECK(ip->tos == 0x28);
  CHECK(test::same_bytes(packet.subspan(ip->header_length), payload));
}

void check_ipv6_header(sys::Bytes packet, const ByteString& payload) {
  const DecodedIpv6 decoded = decode_ipv6(packet);
  const auto* ip = std::get_if<Ipv6Headers>(&decoded);
  REQUIRE(ip != nullptr);
  CHECK(ip->total_length == packet.size());
  CHECK_FALSE(ip->fragment);
  CHECK(ip->protocol == kProtocolUdp);
  CHECK(ip->hop_limit == 33);
  CHECK(ip->traffic_class == 0x28);
  CHECK(ip->flow_label == 0x12345);
  CHECK(test::same_bytes(packet.subspan(ip->header_length), payload));
}

template <typename Family = V4>
void check_packet(const FrameBufferPtr& buffer, const ByteString& payload) {
  REQUIRE(buffer);
  if (Family::kV4) {
    check_ipv4_header(ip_packet(*buffer), payload);
  } else {
    check_ipv6_header(ip_packet(*buffer), payload);
  }
  const sys::Bytes link = buffer->bytes().first(kLink);
  CHECK(std::all_of(link.begin(), link.begin() + VnetHeader::kSize,
                    [](std::byte b) { return b == std::byte{0}; }));
  const auto ethernet = decode_ethernet(link.subspan(VnetHeader::kSize));
  REQUIRE(ethernet.has_value());
  CHECK(ethernet->source == kGuestMac);
  CHECK(ethernet->destination == kGatewayMac);
  CHECK(ethernet->ether_type == (Family::kV4 ? kEtherTypeIpv4 : kEtherTypeIpv6));
}

TEST_CASE_TEMPLATE("reassembly: fragments in any order, some of them twice", Family, V4, V6) {
  Fixture f;
  std::mt19937 random(1);
  std::uint64_t repeated = 0;
  for (int round = 0; round < 300; ++round) {
    const std::size_t size = round % 10 == 0 ? Family::kLargest : 9 + random() % 20000;
    const std::size_t room = std::max<std::size_t>((8 + random() % 3000) / 8 * 8, size / 500 / 8 * 8 + 8);
    const ByteString payload = test::random_bytes(random, size);
    std::vector<Fragment> fragments = cut<Family>(payload, room);
    if (fragments.size() < 2 || fragments.front().data.size() < kUdpHeaderSize) {
      continue;
    }
    std::shuffle(fragments.begin(), fragments.end(), random);
    CAPTURE(size);
    CAPTURE(room);
    for (std::size_t i = 0; i + 1 < fragments.size(); ++i) {
      REQUIRE_FALSE(add(f.reassembly, fragments[i]));
      if (random() % 4 == 0) {
        REQUIRE_FALSE(add(f.reassembly, fragments[random() % (i + 1)]));
        ++repeated;
      }
    }
    check_packet<Family>(add(f.reassembly, fragments.back()), payload);
    REQUIRE(f.reassembly.pending() == 0);
    REQUIRE(f.reassembly.bytes() == 0);
  }
  CHECK(f.reassembly.counters().repeated == repeated);
  CHECK(f.reassembly.counters().conflicting == 0);
  CHECK(f.reassembly.counters().malformed == 0);
  CHECK(f.reassembly.counters().evicted == 0);
  CHECK(f.timers.armed_count() == 0);
}

TEST_CASE_TEMPLATE("reassembly: the smallest fragments of the largest packet, last one first", Family, V4,
                   V6) {
  Fixture f;
  std::mt19937 random(2);
  const ByteString payload = test::random_bytes(random, Family::kLargest);
  const std::vector<Fragment> fragments = cut<Family>(payload, 8);
  for (std::size_t i = fragments.size(); i-- > 1;) {
    REQUIRE_FALSE(add(f.reassembly, fragments[i]));
  }
  check_packet<Family>(add(f.reassembly, fragments.front()), payload);
}

TEST_CASE("reassembly: the result goes through the front end like any packet") {
  Fixture f;
  std::mt19937 random(3);
  const ByteString data = test::random_bytes(random, 5000);
  ByteString datagram(kUdpHeaderSize);
  sys::store_be16(&datagram[0], 4000);
  sys::store_be16(&datagram[2], 5000);
  sys::store_be16(&datagram[4], static_cast<std::uint16_t>(kUdpHeaderSize + data.size()));
  datagram.insert(datagram.end(), data.begin(), data.end());
  ChecksumAccumulator sum;
  sum.add_pseudo_header(kGuest, kRemote, kProtocolUdp, static_cast<std::uint32_t>(datagram.size()));
  sum.add(datagram);
  sys::store_be16(&datagram[6], sum.finish());

  FrameBufferPtr whole;
  for (const Fragment& fragment : cut(datagram, 1480)) {
    REQUIRE_FALSE(whole);
    const ByteString packet = fragment.packet();
    ByteString frame(kEthernetHeaderSize);
    encode_ethernet(frame, {kGatewayMac, kGuestMac, kEtherTypeIpv4});
    frame.insert(frame.end(), packet.begin(), packet.end());
    const Ingress ingress = classify({}, frame);
    REQUIRE(std::holds_alternative<IpFragment>(ingress));
    whole = f.reassembly.add(std::get<IpFragment>(ingress).packet);
  }
  REQUIRE(whole);
  const Ingress ingress = classify({}, whole->bytes().subspan(VnetHeader::kSize));
  REQUIRE(std::holds_alternative<UdpDatagram>(ingress));
  const auto& udp = std::get<UdpDatagram>(ingress);
  CHECK(udp.source() == sys::Endpoint{kGuest, 4000});
  CHECK(udp.destination() == sys::Endpoint{kRemote, 5000});
  CHECK(udp.packet.source_mac == kGuestMac);
  CHECK(test::same_bytes(udp.payload, data));
}

TEST_CASE("reassembly: fragments of unknown protocols are not worth keeping") {
  Fragment fragment;
  fragment.protocol = 47;
  fragment.data.resize(64);
  const ByteString packet = fragment.packet();
  ByteString frame(kEthernetHeaderSize);
  encode_ethernet(frame, {kGatewayMac, kGuestMac, kEtherTypeIpv4});
  frame.insert(frame.end(), packet.begin(), packet.end());
  const Ingress ingress = classify({}, frame);
  REQUIRE(std::holds_alternative<Dropped>(ingress));
  CHECK(std::get<Dropped>(ingress).reason == DropReason::unknown_protocol);
}

TEST_CASE_TEMPLATE("reassembly: overlaps end the datagram, and its other fragments with it", Family, V4, V6) {
  struct Row {
    std::string what;
    std::vector<Fragment> before;
    Fragment conflict;
  };
  std::mt19937 random(4);
  const ByteString payload = test::random_bytes(random, 96);
  const ByteString other = test::random_bytes(random, 96);
  const std::vector<Row> rows = {
      {"front half again", {part<Family>(payload, 0, 32)}, part<Family>(payload, 16, 48)},
      {"into the one behind", {part<Family>(payload, 32, 64)}, part<Family>(payload, 16, 40)},
      {"over two",
       {part<Family>(payload, 0, 32), part<Family>(payload, 48, 96)},
       part<Family>(payload, 24, 56)},
      {"inside another, the same bytes", {part<Family>(payload, 0, 64)}, part<Family>(payload, 16, 32)},
      {"around another, the same bytes", {part<Family>(payload, 16, 32)}, part<Family>(payload, 8, 48)},
      {"the same place, other bytes", {part<Family>(payload, 0, 32)}, part<Family>(other, 0, 32)},
      {"the same start, shorter", {part<Family>(payload, 0, 32)}, part<Family>(payload, 0, 16)},
      {"the same start, longer", {part<Family>(payload, 0, 32)}, part<Family>(payload, 0, 40)},
      {"the same bytes, but last",
       {part<Family>(payload, 16, 32)},
       part<Family>({payload.begin(), payload.begin() + 32}, 16, 32)},
      {"a second end",
       {part<Family>(payload, 64, 96)},
       part<Family>({payload.begin(), payload.begin() + 32}, 16, 32)},
      {"behind the end",
       {part<Family>({payload.begin(), payload.begin() + 32}, 16, 32)},
       part<Family>(payload, 32, 64)},
      {"an end before what is there",
       {part<Family>(payload, 64, 80)},
       part<Family>({payload.begin(), payload.begin() + 32}, 16, 32)},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Fixture f;
    for (const Fragment& fragment : row.before) {
      REQUIRE_FALSE(add(f.reassembly, fragment));
    }
    CHECK_FALSE(add(f.reassembly, row.conflict));
    CHECK(f.reassembly.counters().conflicting == 1);
    CHECK(f.reassembly.bytes() == 0);
    for (const Fragment& fragment : cut<Family>(payload, 32)) {
      CHECK_FALSE(add(f.reassembly, fragment));
    }
    CHECK(f.reassembly.counters().conflicting == 1);
    CHECK(f.reassembly.bytes() == 0);

    f.advance(Family::kTimeout);
    CHECK(f.reassembly.pending() == 0);
    const std::vector<Fragment> again = cut<Family>(payload, 48);
    CHECK_FALSE(add(f.reassembly, again[0]));
    check_packet<Family>(add(f.reassembly, again[1]), payload);
  }
}

TEST_CASE("reassembly: malformed fragments are dropped and leave the datagram alone") {
  struct Row {
    std::string what;
    std::size_t offset;
    std::size_t size;
    bool more;
    std::uint8_t protocol;
    std::size_t options;
  };
  const std::vector<Row> rows = {
      {"empty", 8, 0, true, kProtocolUdp, 0},
      {"empty, last", 8, 0, false, kProtocolUdp, 0},
      {"not a multiple of 8", 8, 12, true, kProtocolUdp, 0},
      {"ends past 65535", 65512, 24, false, kProtocolUdp, 0},
      {"ends past 65535 with options", 65480, 32, false, kProtocolUdp, 8},
      {"UDP header not in the first", 0, 0, true, kProtocolUdp, 0},
      {"TCP header not in the first", 0, 16, true, kProtocolTcp, 0},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Fixture f;
    Fragment fragment;
    fragment.offset = row.offset;
    fragment.data.resize(row.size);
    fragment.more = row.more;
    fragment.protocol = row.protocol;
    fragment.option_bytes = row.options;
    CHECK_FALSE(add(f.reassembly, fragment));
    CHECK(f.reassembly.counters().malformed == 1);
    CHECK(f.reassembly.pending() == 0);
  }
  Fixture f;
  ByteString payload(65515);
  CHECK_FALSE(add(f.reassembly, part(payload, 65512, 65515)));  // the largest that there is
  CHECK(f.reassembly.counters().malformed == 0);
}

TEST_CASE("reassembly: options of the first fragment stay, and count in the total length") {
  Fixture f;
  std::mt19937 random(5);
  const ByteString payload = test::random_bytes(random, 4000);
  std::vector<Fragment> fragments = cut(payload, 1024);
  fragments.front().option_bytes = 40;
  for (std::size_t i = fragments.size(); i-- > 1;) {
    REQUIRE_FALSE(add(f.reassembly, fragments[i]));
  }
  const FrameBufferPtr buffer = add(f.reassembly, fragments.front());
  check_packet(buffer, payload);
  CHECK(decode_ipv4(ip_packet(*buffer))->header_length == 60);

  const ByteString largest = test::random_bytes(random, 65515);
  fragments = cut(largest, 16384);
  fragments.front().option_bytes = 4;
  for (const Fragment& fragment : fragments) {
    CHECK_FALSE(add(f.reassembly, fragment));
  }
  CHECK(f.reassembly.pending() == 0);
  CHECK(f.reassembly.counters().malformed == 1);
}

TEST_CASE("reassembly: malformed fragments of IPv6, should one get here") {
  struct Row {
    std::string what;
    std::size_t offset;
    std::size_t size;
    bool more;
    std::size_t options;
  };
  const std::vector<Row> rows = {
      {"empty", 8, 0, true, 0},
      {"empty, last", 8, 0, false, 0},
      {"not a multiple of 8", 8, 12, true, 0},
      {"ends past 65535", 65528, 8, false, 0},
      {"ends past 65535 with extension headers", 65520, 8, false, 8},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Fixture f;
    auto fragment = blank<V6>();
    fragment.offset = row.offset;
    fragment.data.resize(row.size);
    fragment.more = row.more;
    fragment.option_bytes = row.options;
    CHECK_FALSE(add(f.reassembly, fragment));
    CHECK(f.reassembly.counters().malformed == 1);
    CHECK(f.reassembly.pending() == 0);
  }
  Fixture f;
  const ByteString payload(65535);
  CHECK_FALSE(add(f.reassembly, part<V6>(payload, 65528, 65535)));  // the largest that there is
  CHECK(f.reassembly.counters().malformed == 0);
}

TEST_CASE("reassembly: extension headers of the first fragment stay, the fragment header goes") {
  Fixture f;
  std::mt19937 random(11);
  const ByteString payload = test::random_bytes(random, 4000);
  std::vector<Fragment> fragments = cut<V6>(payload, 1024);
  fragments.front().option_bytes = 16;
  const ByteString first = fragments.front().packet();
  for (std::size_t i = fragments.size(); i-- > 1;) {
    fragments[i].protocol = kProtocolTcp;  // only the first one's counts
    REQUIRE_FALSE(add(f.reassembly, fragments[i]));
  }
  const FrameBufferPtr buffer = add(f.reassembly, fragments.front());
  check_packet<V6>(buffer, payload);
  const sys::Bytes packet = ip_packet(*buffer);
  CHECK(packet.size() == kIpv6HeaderSize + 16 + payload.size());
  CHECK(packet[6] == std::byte{kProtocolHopByHop});
  CHECK(packet[kIpv6HeaderSize] == std::byte{kProtocolUdp});
  CHECK(test::same_bytes(packet.subspan(kIpv6HeaderSize + 1, 15),
                         std::span(first).subspan(kIpv6HeaderSize + 1, 15)));

  // Those of the first one are what makes the packet too large.
  const ByteString largest = test::random_bytes(random, 65535);
  fragments = cut<V6>(largest, 16384);
  fragments.front().option_bytes = 8;
  for (const Fragment& fragment : fragments) {
    CHECK_FALSE(add(f.reassembly, fragment));
  }
  CHECK(f.reassembly.pending() == 0);
  CHECK(f.reassembly.counters().malformed == 1);
}

TEST_CASE("reassembly: what is behind the fragment header is part of the packet, headers or not") {
  Fixture f;
  const ByteString data = test::from_hex("1100 010400000000 04d2 0035 0010 0000 0102030405060708");
  std::vector<Fragment> fragments = cut<V6>(data, 16);
  for (Fragment& fragment : fragments) {
    fragment.protocol = kProtocolDestinationOptions;
  }
  REQUIRE_FALSE(add(f.reassembly, fragments[0]));
  const FrameBufferPtr buffer = add(f.reassembly, fragments[1]);
  REQUIRE(buffer);
  const sys::Bytes packet = ip_packet(*buffer);
  CHECK(packet[6] == std::byte{kProtocolDestinationOptions});
  CHECK(test::same_bytes(packet.subspan(kIpv6HeaderSize), data));
  const DecodedIpv6 decoded = decode_ipv6(packet);
  REQUIRE(std::holds_alternative<Ipv6Headers>(decoded));
  CHECK(std::get<Ipv6Headers>(decoded).header_length == kIpv6HeaderSize + 8);
}

TEST_CASE("reassembly: source, destination and all 32 bits of the id keep datagrams of IPv6 apart") {
  Fixture f;
  std::mt19937 random(12);
  std::vector<ByteString> payloads;
  std::vector<std::pair<Fragment, Fragment>> pairs;
  for (unsigned i = 0; i < 4; ++i) {
    payloads.push_back(test::random_bytes(random, 100));
    pairs.emplace_back(part<V6>(payloads[i], 0, 48), part<V6>(payloads[i], 48, 100));
    for (Fragment* fragment : {&pairs[i].first, &pairs[i].second}) {
      fragment->source = i == 1 ? V6::kOther : V6::kGuest;
      fragment->destination = i == 2 ? V6::kOtherRemote : V6::kRemote;
      fragment->id = i == 3 ? 0x10007 : 7;
    }
    CHECK_FALSE(add(f.reassembly, pairs[i].first));
  }
  CHECK(f.reassembly.pending() == 4);
  for (unsigned i = 0; i < 4; ++i) {
    check_packet<V6>(add(f.reassembly, pairs[i].second), payloads[i]);
  }
}

TEST_CASE("reassembly: each family has its time, whichever came first") {
  for (const bool v6_first : {true, false}) {
    CAPTURE(v6_first);
    Fixture f;
    const ByteString payload(64);
    std::vector<Fragment> firsts = {part<V4>(payload, 0, 24), part<V6>(payload, 0, 24)};
    if (v6_first) {
      std::swap(firsts[0], firsts[1]);
    }
    std::vector<ByteString> told;
    f.reassembly.on_timeout([&told](const MacAddress& /*mac*/, sys::Bytes packet) {
      told.emplace_back(packet.begin(), packet.end());
    });
    for (const Fragment& first : firsts) {
      CHECK_FALSE(add(f.reassembly, first));
    }
    f.advance(seconds(30));
    CHECK(told == std::vector<ByteString>{part<V4>(payload, 0, 24).packet()});
    CHECK(f.reassembly.pending() == 1);
    f.advance(seconds(29));
    CHECK(f.reassembly.pending() == 1);
    f.advance(seconds(1));
    REQUIRE(told.size() == 2);
    CHECK(told[1] == part<V6>(payload, 0, 24).packet());
    CHECK(f.reassembly.pending() == 0);
    CHECK(f.reassembly.bytes() == 0);
    CHECK(f.timers.armed_count() == 0);
  }
}

TEST_CASE("reassembly: source, destination, protocol and id keep datagrams apart") {
  Fixture f;
  std::mt19937 random(6);
  std::vector<std::pair<Fragment, Fragment>> pairs;
  std::vector<ByteString> payloads;
  for (unsigned i = 0; i < 5; ++i) {
    payloads.push_back(test::random_bytes(random, 100));
    pairs.emplace_back(part(payloads[i], 0, 48), part(payloads[i], 48, 100));
    for (Fragment* fragment : {&pairs[i].first, &pairs[i].second}) {
      fragment->source = i == 1 ? V4::kOther : kGuest;
      fragment->destination = i == 2 ? V4::kOtherRemote : kRemote;
      fragment->protocol = i == 3 ? kProtocolIcmp : kProtocolUdp;
      fragment->id = i == 4 ? std::uint16_t{8} : std::uint16_t{7};
    }
  }
  for (const auto& [first, second] : pairs) {
    CHECK_FALSE(add(f.reassembly, first));
  }
  CHECK(f.reassembly.pending() == 5);
  for (unsigned i = 0; i < 5; ++i) {
    const FrameBufferPtr buffer = add(f.reassembly, pairs[i].second);
    REQUIRE(buffer);
    CHECK(test::same_bytes(ip_packet(*buffer).subspan(kIpv4HeaderSize), payloads[i]));
  }
  CHECK(f.reassembly.counters().reassembled == 5);
}

TEST_CASE_TEMPLATE("reassembly: what is not complete in time is forgotten, and its sender told", Family, V4,
                   V6) {
  Fixture f;
  std::mt19937 random(7);
  const ByteString payload = test::random_bytes(random, 64);
  std::vector<ByteString> told;
  f.reassembly.on_timeout([&told](const MacAddress& mac, sys::Bytes packet) {
    CHECK(mac == kGuestMac);
    told.emplace_back(packet.begin(), packet.end());
  });
  const Fragment first = part<Family>(payload, 0, 24);
  CHECK_FALSE(add(f.reassembly, first));
  f.advance(seconds(10));
  Fragment headless = part<Family>(payload, 24, 64);
  headless.id = 8;
  CHECK_FALSE(add(f.reassembly, headless));

  f.advance(Family::kTimeout - seconds(11));
  CHECK(f.reassembly.pending() == 2);
  f.advance(seconds(1));
  CHECK(f.reassembly.pending() == 1);
  REQUIRE(told.size() == 1);
  CHECK(told[0] == first.packet());
  CHECK((Family::kV4 ? may_send_icmp_error(told[0]) : may_send_icmp6_error(told[0])));
  CHECK_FALSE(add(f.reassembly, part<Family>(payload, 24, 64)));  // too late: begins anew

  f.advance(seconds(10));
  CHECK(f.reassembly.pending() == 1);
  f.advance(Family::kTimeout - seconds(10));
  CHECK(f.reassembly.pending() == 0);
  CHECK(f.reassembly.bytes() == 0);
  CHECK(f.reassembly.counters().timed_out == 3);
  CHECK(told.size() == 1);
  CHECK(f.timers.armed_count() == 0);
}

TEST_CASE_TEMPLATE("reassembly: one datagram more than allowed takes the place of the oldest", Family, V4,
                   V6) {
  Fixture f;
  std::mt19937 random(8);
  const ByteString payload = test::random_bytes(random, 64);
  for (unsigned i = 0; i <= Reassembly::kMostDatagrams; ++i) {
    Fragment first = part<Family>(payload, 0, 32);
    first.id = static_cast<std::uint16_t>(i);
    CHECK_FALSE(add(f.reassembly, first));
  }
  CHECK(f.reassembly.pending() == Reassembly::kMostDatagrams);
  CHECK(f.reassembly.counters().evicted == 1);
  Fragment last = part<Family>(payload, 32, 64);
  last.id = 1;
  CHECK(add(f.reassembly, last));
  last.id = 0;
  CHECK_FALSE(add(f.reassembly, last));
}

TEST_CASE_TEMPLATE("reassembly: more bytes than allowed push out the oldest", Family, V4, V6) {
  Fixture f;
  const ByteString payload(65000);
  for (unsigned i = 0; i < 40; ++i) {
    Fragment first = part<Family>(payload, 0, 64000);
    first.id = static_cast<std::uint16_t>(i);
    CHECK_FALSE(add(f.reassembly, first));
    CHECK(f.reassembly.bytes() <= Reassembly::kMostBytes);
  }
  CHECK(f.reassembly.pending() == Reassembly::kMostBytes / 64100);
  Fragment last = part<Family>(payload, 64000, 65000);
  last.id = 39;
  CHECK(add(f.reassembly, last));
}

TEST_CASE_TEMPLATE("reassembly: a flood of first fragments is bounded and hurts nobody afterwards", Family,
                   V4, V6) {
  Fixture f;
  std::mt19937 random(9);
  const ByteString payload = test::random_bytes(random, 3000);
  std::size_t most_pending = 0;
  std::size_t most_bytes = 0;
  Fragment fragment = part<Family>(payload, 0, 1480);
  const ByteString packet = fragment.packet();
  IpHeader ip = header_of(packet);
  for (unsigned i = 0; i < 100'000; ++i) {
    ip.id = i % 65536;
    ip.source = i < 65536 ? Family::kGuest : Family::kOther;
    REQUIRE_FALSE(f.reassembly.add({kGuestMac, ip, packet}));
    most_pending = std::max(most_pending, f.reassembly.pending());
    most_bytes = std::max(most_bytes, f.reassembly.bytes());
  }
  CHECK(most_pending <= Reassembly::kMostDatagrams);
  CHECK(most_bytes <= Reassembly::kMostBytes);
  CHECK(f.pool.in_use() == 0);

  fragment.destination = Family::kOtherRemote;
  CHECK_FALSE(add(f.reassembly, fragment));
  Fragment last = part<Family>(payload, 1480, 3000);
  last.destination = fragment.destination;
  CHECK(add(f.reassembly, last));
  f.advance(Family::kTimeout);
  CHECK(f.reassembly.pending() == 0);
  CHECK(f.reassembly.bytes() == 0);
}

// The rules once more, as simply as they can be said: one entry per byte.
class Reference {
 public:
  enum class Outcome { waiting, complete, repeated, conflict, over };

  Outcome add(const Fragment& fragment) {
    if (over_) {
      return Outcome::over;
    }
    if (std::any_of(seen_.begin(), seen_.end(), [&fragment](const Fragment& other) {
          return other.offset == fragment.offset && other.data == fragment.data &&
                 other.more == fragment.more;
        })) {
      return Outcome::repeated;
    }
    const std::size_t end = fragment.offset + fragment.data.size();
    bool conflict = end_ && (!fragment.more || end > *end_);
    for (std::size_t i = 0; i < bytes_.size(); ++i) {
      const bool inside = i >= fragment.offset && i < end;
      conflict = conflict || (bytes_[i] && (inside || (!fragment.more && i >= end)));
    }
    if (conflict) {
      over_ = true;
      return Outcome::conflict;
    }
    for (std::size_t i = fragment.offset; i < end; ++i) {
      bytes_[i] = fragment.data[i - fragment.offset];
    }
    if (!fragment.more) {
      end_ = end;
    }
    seen_.push_back(fragment);
    return end_ && whole() ? Outcome::complete : Outcome::waiting;
  }

  [[nodiscard]] ByteString payload() const {
    ByteString out;
    for (std::size_t i = 0; i < *end_; ++i) {
      out.push_back(*bytes_[i]);
    }
    return out;
  }

 private:
  [[nodiscard]] bool whole() const {
    return std::all_of(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(*end_),
                       [](const auto& byte) { return byte.has_value(); });
  }

  std::vector<std::optional<std::byte>> bytes_ = std::vector<std::optional<std::byte>>(256);
  std::vector<Fragment> seen_;
  std::optional<std::size_t> end_;
  bool over_ = false;
};

TEST_CASE_TEMPLATE("reassembly: random fragments fare as in a simple reference", Family, V4, V6) {
  std::mt19937 random(10);
  unsigned completed = 0;
  unsigned conflicts = 0;
  for (int round = 0; round < 2000; ++round) {
    Fixture f;
    Reference reference;
    const std::size_t units = 2 + random() % 6;  // of 8 bytes
    for (int i = 0; i < 40; ++i) {
      auto fragment = blank<Family>();
      // Mostly a partition of the datagram, now and then anything.
      const bool wild = random() % 24 == 0;
      const std::size_t first = random() % units;
      const std::size_t count = wild ? 1 + random() % 3 : 1;
      fragment.offset = first * 8;
      fragment.data.assign(count * 8, static_cast<std::byte>(wild ? random() % 2 : first));
      fragment.more = wild ? random() % 2 == 0 : first + count < units;
      fragment.more |= !Family::kV4 && first == 0;  // else it is atomic, and is no fragment
      const auto expected = reference.add(fragment);
      const FrameBufferPtr buffer = add(f.reassembly, fragment);
      REQUIRE((expected == Reference::Outcome::complete) == (buffer != nullptr));
      const bool refused = expected == Reference::Outcome::conflict || expected == Reference::Outcome::over;
      REQUIRE(f.reassembly.counters().conflicting == (refused ? 1 : 0));
      if (buffer) {
        check_packet<Family>(buffer, reference.payload());
        ++completed;
        break;
      }
      conflicts += expected == Reference::Outcome::conflict ? 1 : 0;
    }
  }
  CHECK(completed > 200);
  CHECK(conflicts > 200);
}

}  // namespace
}  // namespace l4n::stack
