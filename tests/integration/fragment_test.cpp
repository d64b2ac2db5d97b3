// Fragments: the guest's, put together before anything looks at them, within bounds; and those toward the
// guest, which the MTU wants.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "tests/integration/support/world.hpp"

namespace l4n::integration {
namespace {

using namespace std::chrono_literals;
using sys::Endpoint;
using sys::make_ipv4;

const Endpoint kPeer{make_ipv4(192, 0, 2, 1), 7};
constexpr auto kMostDatagrams = stack::Reassembly::kMostDatagrams;

// A datagram of the guest that is worth four fragments of `kPiece` payload bytes and a shorter one.
constexpr std::size_t kPiece = 400;
constexpr std::size_t kSize = 1700;

Data payload_of(std::uint16_t id) { return random_data(kSize, id); }

Data datagram(std::uint16_t id) {
  return udp_packet(kGuestAddress, kPeer.address.v4(), {5000, kPeer.port, payload_of(id)}, {.id = id});
}

std::vector<Data> pieces_of(std::uint16_t id) { return fragment(datagram(id), 20 + kPiece); }

// What has reached the host, of all sockets.
std::vector<Data> arrived(World& w) {
  w.settle();
  return w.host.udp.opened() == 0 ? std::vector<Data>{} : w.host.udp.last().datagrams();
}

TEST_CASE("fragments in any order make the datagram that was sent") {
  std::vector<std::size_t> order{0, 1, 2, 3, 4};
  REQUIRE(pieces_of(1).size() == order.size());
  do {
    World w;
    const auto pieces = pieces_of(1);
    for (const std::size_t next : order) {
      CHECK(arrived(w).empty());
      w.inject_ip(pieces[next]);
    }
    CHECK(arrived(w) == std::vector<Data>{payload_of(1)});
    CHECK(w.gateway->reassembly().pending() == 0);
    CHECK(w.buffers() == 0);
    CHECK(w.others.empty());
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("fragments of several datagrams may mix") {
  World w;
  const auto one = pieces_of(1);
  const auto two = pieces_of(2);
  for (std::size_t i = 0; i < one.size(); ++i) {
    w.inject_ip(two[i]);
    w.inject_ip(one[one.size() - 1 - i]);
  }
  CHECK(arrived(w) == std::vector<Data>{payload_of(2), payload_of(1)});
}

TEST_CASE("a fragment that comes twice does no harm") {
  World w;
  const auto pieces = pieces_of(1);
  for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
    w.inject_ip(pieces[i]);
    w.inject_ip(pieces[i]);
  }
  w.inject_ip(pieces.back());
  CHECK(arrived(w) == std::vector<Data>{payload_of(1)});
  CHECK(w.gateway->reassembly().counters().repeated == pieces.size() - 1);
}

TEST_CASE("a datagram whose fragments overlap never arrives") {
  struct Row {
    std::string what;
    std::size_t offset = 0;
    std::size_t size = 0;
    bool more = true;
  };
  for (const Row& row : {
           Row{"into the next", 0, 408},
           {"from the one before", 392, 400},
           {"within", 408, 8},
           {"over all", 0, 1600},
           {"another end", 800, 400, false},
           {"behind the end", 1712, 8},
       }) {
    CAPTURE(row.what);
    World w;
    auto pieces = pieces_of(1);
    const Data long_packet =
        udp_packet(kGuestAddress, kPeer.address.v4(), {5000, kPeer.port, Data(3000)}, {.id = 1});
    w.inject_ip(pieces[1]);
    w.inject_ip(pieces[4]);
    w.inject_ip(fragment_of(long_packet, row.offset, row.size, row.more));
    for (const Data& piece : pieces) {
      w.inject_ip(piece);
    }
    CHECK(arrived(w).empty());
    CHECK(w.gateway->reassembly().counters().conflicting == 1);
    w.advance(31s);
    CHECK(w.others.empty());  // nor is its end told
    for (const Data& piece : pieces) {
      w.inject_ip(piece);  // the identification may be used again
    }
    CHECK(arrived(w) == std::vector<Data>{payload_of(1)});
  }
}

TEST_CASE("what never becomes whole times out, and is told if its beginning had come") {
  for (const bool has_first : {true, false}) {
    CAPTURE(has_first);
    World w;
    const auto pieces = pieces_of(1);
    w.inject_ip(pieces[2]);
    w.settle();
    w.advance(20s);
    if (has_first) {
      w.inject_ip(pieces[0]);
    }
    w.advance(10s - 1ms);  // counted from the first that came
    CHECK(w.others.empty());
    CHECK(w.gateway->reassembly().pending() == 1);
    w.advance(2ms);
    CHECK(w.gateway->reassembly().pending() == 0);
    REQUIRE(w.others.size() == (has_first ? 1 : 0));
    if (has_first) {
      const Packet& told = w.others[0];
      REQUIRE(told.icmp.has_value());
      CHECK(told.source == kGatewayAddress);
      CHECK(told.destination_mac == kGuestMac);
      CHECK(told.icmp->type == 11);
      CHECK(told.icmp->code == 1);
      CHECK(told.icmp->quoted() == pieces[0]);
    }
    w.inject_ip(pieces[1]);
    CHECK(arrived(w).empty());
  }
}

TEST_CASE("fragments of TCP, ping and questions to the DNS server are put together too") {
  World w;
  w.gateway->set_resolvers({{{make_ipv4(198, 51, 100, 1), 53}}});
  GuestPeer& guest = w.connect();
  const Data data = random_data(900, 1);
  const TcpSegment segment = guest.make(Flags::kAck, data);
  for (const Data& piece : fragment(tcp_packet(kGuestAddress, kServer.address.v4(), segment, false), 300)) {
    w.inject_ip(piece);
  }
  guest.note_sent(segment);
  w.settle();
  CHECK(w.host.last().received() == data);

  const IcmpMessage request = echo_request(1, 2, random_data(900, 2));
  for (const Data& piece : fragment(icmp_packet(kGuestAddress, kGatewayAddress, request), 300)) {
    w.inject_ip(piece);
  }
  w.settle();
  REQUIRE(w.icmp().size() == 1);
  CHECK(w.icmp()[0].icmp->rest == request.rest);

  Data question = random_data(900, 3);
  question[2] = std::byte{1};  // a query
  for (const Data& piece : fragment(udp_packet(kGuestAddress, kDnsAddress, {5000, 53, question}), 300)) {
    w.inject_ip(piece);
  }
  w.settle();
  REQUIRE(w.host.datagram_sockets() == 1);
  REQUIRE(w.host.datagram(0).sent().size() == 1);
  const Data sent = w.host.datagram(0).sent()[0];
  CHECK(std::equal(sent.begin() + 2, sent.end(), question.begin() + 2, question.end()));  // but for the ID
}

TEST_CASE("the whole packet is checked like any other") {
  World w;
  Data bad = datagram(1);
  bad.back() ^= std::byte{1};
  for (const Data& piece : fragment(bad, 20 + kPiece)) {
    w.inject_ip(piece);
  }
  CHECK(arrived(w).empty());
  for (const Data& piece :
       fragment(udp_packet(kGatewayAddress, kPeer.address.v4(), {5000, kPeer.port, Data(kSize)}, {.id = 2}),
                420)) {
    w.inject_ip(piece);  // from an address that is not the guest's
  }
  CHECK(arrived(w).empty());
  CHECK(w.gateway->reassembly().pending() == 0);
  CHECK(w.others.empty());
}

TEST_CASE("more unfinished datagrams than are kept cost the oldest") {
  World w;
  constexpr std::uint16_t kCount = kMostDatagrams + 1;
  for (std::uint16_t id = 1; id <= kCount; ++id) {
    const auto pieces = pieces_of(id);
    for (std::size_t i = 1; i < pieces.size(); ++i) {
      w.inject_ip(pieces[i]);
    }
  }
  w.settle();
  CHECK(w.gateway->reassembly().pending() == kMostDatagrams);
  CHECK(w.gateway->reassembly().counters().evicted == 1);
  for (std::uint16_t id = kCount; id > 1; --id) {
    w.inject_ip(pieces_of(id)[0]);
  }
  CHECK(arrived(w).size() == kMostDatagrams);
  w.inject_ip(pieces_of(1)[0]);
  CHECK(arrived(w).size() == kMostDatagrams);
}

TEST_CASE("unfinished datagrams hold no more than 1 MiB") {
  World w;
  GuestPeer& guest = w.connect();
  constexpr std::uint16_t kCount = 40;  // of 60,000 bytes, each without its first fragment
  const auto big = [](std::uint16_t id) {
    return fragment(udp_packet(kGuestAddress, kPeer.address.v4(), {5000, kPeer.port, random_data(60'000, id)},
                               {.id = id}),
                    1500);
  };
  for (std::uint16_t id = 1; id <= kCount; ++id) {
    const auto pieces = big(id);
    for (std::size_t i = 1; i < pieces.size(); ++i) {
      w.inject_ip(pieces[i]);
    }
    w.settle();
    CHECK(w.gateway->reassembly().bytes() <= stack::Reassembly::kMostBytes);
  }
  CHECK(w.gateway->reassembly().bytes() > stack::Reassembly::kMostBytes / 2);
  CHECK(w.gateway->reassembly().counters().evicted > 0);
  w.inject_ip(big(kCount)[0]);
  CHECK(arrived(w) == std::vector<Data>{random_data(60'000, kCount)});
  guest.send(bytes_of("unharmed"));
  w.settle();
  CHECK(w.host.last().received() == bytes_of("unharmed"));
}

// RFC 791 3.2: all but the last as long as the MTU allows, in steps of 8 bytes.
TEST_CASE("what is longer than the guest's MTU goes to it in as few fragments as possible") {
  for (const unsigned mtu : {68U, 576U, 1500U, 65520U}) {
    CAPTURE(mtu);
    WorldOptions options;
    options.mtu = mtu;
    World w(options);
    w.send_udp(kPeer, bytes_of("open"));
    w.settle();
    for (const std::size_t size : {40UL, 41UL, 548UL, 549UL, 1472UL, 1473UL, 2952UL, 2953UL, 65507UL}) {
      CAPTURE(size);
      w.others.clear();
      const std::uint64_t before = w.port.sent_frames();
      const Data payload = random_data(size, 1);
      w.host.udp.last().deliver(kPeer, payload);
      w.settle();
      REQUIRE(w.others.size() == 1);
      REQUIRE(w.others[0].udp.has_value());
      CHECK(w.others[0].udp->payload == payload);
      const std::size_t room = (mtu - 20) / 8 * 8;
      const std::size_t expected = size + 28 <= mtu ? 1 : (size + 8 + room - 1) / room;
      CHECK(w.others[0].pieces == expected);
      CHECK(w.port.sent_frames() == before + expected);
    }
  }
}

TEST_CASE("each packet in fragments has an identification of its own") {
  World w;
  w.send_udp(kPeer, bytes_of("open"));
  w.settle();
  for (int i = 0; i < 3; ++i) {
    w.host.udp.last().deliver(kPeer, Data(3000));
  }
  w.settle();
  REQUIRE(w.others.size() == 3);
  CHECK(w.others[0].id != w.others[1].id);
  CHECK(w.others[1].id != w.others[2].id);
}

}  // namespace
}  // namespace l4n::integration
