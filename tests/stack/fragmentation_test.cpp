// What GuestLink makes of packets that are larger than the guest's MTU.
#include <doctest/doctest.h>

#include <random>
#include <vector>

#include "netns/sys/clock.hpp"
#include "stack/checksum.hpp"
#include "stack/guest_link.hpp"
#include "stack/reassembly.hpp"
#include "tests/support/byte_string.hpp"
#include "tests/support/recording_port.hpp"

namespace l4n::stack {
namespace {

using test::ByteString;
using test::RecordingPort;

constexpr MacAddress kGuestMac{0x02, 0, 0, 0, 0, 0x64};
constexpr std::size_t kLargestUdpPayload = 65507;

const sys::Endpoint kRemote{sys::make_ipv4(192, 0, 2, 1), 53};
const sys::Endpoint kGuest{sys::make_ipv4(10, 0, 2, 100), 40000};

// Puts together what was sent, by a receiver that takes nothing on trust. Checks every packet.
ByteString received(const std::vector<ByteString>& packets, unsigned mtu) {
  if (packets.size() == 1) {
    return packets[0];
  }
  sys::ManualClock clock;
  sys::TimerQueue timers(clock);
  FrameBufferPool pool;
  Reassembly reassembly(pool, timers);
  ByteString whole;
  std::size_t offset = 0;
  for (const ByteString& packet : packets) {
    const auto ip = decode_quoted_ip(packet);
    REQUIRE(ip.has_value());
    CHECK(ip->total_length == packet.size());
    CHECK(packet.size() <= mtu);
    CHECK(ip->id == decode_ipv4(packets[0])->id);
    CHECK(ip->fragment_offset == offset);
    CHECK(ip->more_fragments == (&packet != &packets.back()));
    CHECK_FALSE(ip->dont_fragment);
    offset += packet.size() - kIpv4HeaderSize;
    REQUIRE(whole.empty());
    if (FrameBufferPtr buffer = reassembly.add({kGuestMac, *ip, packet})) {
      const sys::Bytes ip_packet = buffer->bytes().subspan(VnetHeader::kSize + kEthernetHeaderSize);
      whole.assign(ip_packet.begin(), ip_packet.end());
    }
  }
  CHECK(reassembly.pending() == 0);
  return whole;
}

TEST_CASE("fragmentation: UDP datagrams of all sizes at all MTUs") {
  std::mt19937 random(1);
  for (const unsigned mtu : {68U, 69U, 75U, 76U, 576U, 1280U, 1500U, 9000U, 65520U, 65521U}) {
    const std::vector<std::size_t> sizes = {0,        1,       mtu - 29, mtu - 28,
                                            mtu - 27, 2 * mtu, 65506,    kLargestUdpPayload};
    for (const std::size_t size : sizes) {
      if (size > kLargestUdpPayload) {
        continue;
      }
      CAPTURE(mtu);
      CAPTURE(size);
      RecordingPort port;
      GuestLink link(port, mtu);
      const ByteString payload = test::random_bytes(random, size);
      port.watch(payload);
      link.send_udp(kGuestMac, kRemote, kGuest, payload);
      CHECK(port.referred() == size);
      CHECK((port.frames().size() == 1) == (size + 28 <= mtu));
      CHECK(link.counters().fragmented == (size + 28 <= mtu ? 0 : 1));
      CHECK(link.counters().lost == 0);

      const ByteString packet = received(port.packets(), mtu);
      const auto ip = decode_ipv4(packet);
      REQUIRE(ip.has_value());
      CHECK(ip->protocol == kProtocolUdp);
      const sys::Bytes datagram = sys::Bytes(packet).subspan(ip->header_length);
      const auto udp = decode_udp(datagram);
      REQUIRE(udp.has_value());
      CHECK(udp->length == size + kUdpHeaderSize);
      CHECK(udp->checksum != 0);
      CHECK(transport_checksum_valid(ip->source, ip->destination, kProtocolUdp, datagram));
      CHECK(test::same_bytes(datagram.subspan(kUdpHeaderSize), payload));
    }
  }
}

TEST_CASE("fragmentation: any payload, up to the largest packet that there is") {
  std::mt19937 random(2);
  RecordingPort port;
  GuestLink link(port, 1500);
  IpHeader header;
  header.source = kRemote.address.v4();
  header.destination = kGuest.address.v4();
  header.protocol = kProtocolIcmp;
  header.tos = 0x10;
  header.ttl = 17;
  const ByteString payload = test::random_bytes(random, 65515);
  link.send_ip(kGuestMac, header, payload);
  CHECK(port.frames().size() == (65515 + 1479) / 1480);
  for (const ByteString& packet : port.packets()) {
    const auto ip = decode_ipv4(packet);
    REQUIRE(ip.has_value());
    CHECK(ip->tos == 0x10);
    CHECK(ip->ttl == 17);
    CHECK(ip->protocol == kProtocolIcmp);
  }
  const ByteString packet = received(port.packets(), 1500);
  CHECK(test::same_bytes(sys::Bytes(packet).subspan(kIpv4HeaderSize), payload));
}

TEST_CASE("fragmentation: not where DF forbids it, nor beyond 65,535 bytes") {
  RecordingPort port;
  GuestLink link(port, 1500);
  IpHeader header;
  header.protocol = kProtocolUdp;
  header.dont_fragment = true;
  link.send_ip(kGuestMac, header, ByteString(1480));
  CHECK(port.frames().size() == 1);
  link.send_ip(kGuestMac, header, ByteString(1481));
  CHECK(port.frames().size() == 1);
  CHECK(link.counters().lost == 1);

  header.dont_fragment = false;
  link.send_ip(kGuestMac, header, ByteString(65516));
  link.send_udp(kGuestMac, kRemote, kGuest, ByteString(kLargestUdpPayload + 1));
  CHECK(port.frames().size() == 1);
  CHECK(link.counters().lost == 3);
}

TEST_CASE("fragmentation: every packet in fragments has an id of its own") {
  RecordingPort port;
  GuestLink link(port, 576);
  link.send_udp(kGuestMac, kRemote, kGuest, ByteString(1000));
  link.send_udp(kGuestMac, kRemote, kGuest, ByteString(1000));
  const std::vector<ByteString> packets = port.packets();
  REQUIRE(packets.size() == 4);
  CHECK(decode_ipv4(packets[0])->id == decode_ipv4(packets[1])->id);
  CHECK(decode_ipv4(packets[2])->id == decode_ipv4(packets[3])->id);
  CHECK(decode_ipv4(packets[0])->id != decode_ipv4(packets[2])->id);
}

}  // namespace
}  // namespace l4n::stack
