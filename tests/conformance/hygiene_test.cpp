// What a hostile guest may put on its interface: frames of any length, cut, with hostile lengths, checksums
// and offload headers. Each is dropped and counted, and answered by nothing.
#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "tests/conformance/frames.hpp"
#include "tests/conformance/row.hpp"
#include "tests/support/dhcp_client.hpp"

namespace l4n::conformance {
namespace {

using integration::bytes_of;
using integration::Flags;
using integration::kDnsAddress;
using integration::kGatewayAddress;
using integration::kGuestAddress;
using integration::kServer;
using stack::DropReason;

const sys::Endpoint kDns{kDnsAddress, 53};

std::uint64_t dropped(const World& w, DropReason reason) {
  return w.gateway->counters().dropped.at(static_cast<std::size_t>(reason));
}

// The guest sends a frame, which is dropped for this reason; nothing comes back, no socket opens.
void check_dropped(World& w, const Data& frame, DropReason reason) {
  const std::uint64_t before = dropped(w, reason);
  w.port.inject(frame);
  w.settle();
  CHECK_MESSAGE(dropped(w, reason) == before + 1, stack::to_string(reason), " expected, so far ",
                counters_text(w));
  CHECK(w.others.empty());
  CHECK(host_sockets(w) == 0);
}

Data data_frame() {
  integration::TcpSegment segment = syn_segment();
  segment.options.clear();
  segment.flags = Flags::kAck | Flags::kPsh;
  segment.payload = bytes_of("some data");
  return ip_frame(integration::tcp_packet(kGuestAddress, kServer.address.v4(), segment, false));
}

Data dhcp_discover() {
  return test::DhcpMessageBuilder(integration::kGuestMac).type(test::kDiscover).build();
}

Data dhcp_frame(sys::Bytes message) {
  const Data packet = integration::udp_packet({}, sys::make_ipv4(255, 255, 255, 255),
                                              {68, 67, Data(message.begin(), message.end())});
  return integration::ethernet_frame(stack::kEtherTypeIpv4, packet, integration::kGuestMac,
                                     stack::kBroadcastMac);
}

struct Named {
  const char* name;
  Data frame;
};
std::vector<Named> valid_frames() {
  return {
      {"ARP", arp_request(kGatewayAddress)},
      {"TCP SYN", syn_frame(kServer)},
      {"TCP data", data_frame()},
      {"UDP", udp_frame(kDns, dns_query(1))},
      {"ICMP echo", echo_frame(kGatewayAddress)},
      {"DHCP", dhcp_frame(dhcp_discover())},
  };
}
bool is_arp(const Data& frame) { return sys::load_be16(&frame[12]) == stack::kEtherTypeArp; }

// --- lengths ---

void any_length(std::byte fill) {
  for (std::size_t size = 0; size <= 80; ++size) {
    CAPTURE(size);
    World w;
    w.port.inject(Data(size, fill));
    w.settle();
    CHECK(w.others.empty());
    CHECK(host_sockets(w) == 0);
    CHECK(w.gateway->counters().frames == 1);
    CHECK_FALSE(counters_text(w).empty());
    CHECK(dropped(w, DropReason::short_frame) == (size < 14 ? 1 : 0));
  }
}

// An Ethernet header that is in order, and anything behind it.
void any_length_behind(std::uint16_t ether_type) {
  for (std::size_t size = 0; size <= 80 - 14; ++size) {
    for (const unsigned fill : {0x00U, 0x45U, 0xffU}) {
      CAPTURE(size);
      CAPTURE(fill);
      World w;
      const Data payload(size, static_cast<std::byte>(fill));
      check_dropped(w, integration::ethernet_frame(ether_type, payload),
                    ether_type == stack::kEtherTypeArp    ? DropReason::bad_arp
                    : ether_type == stack::kEtherTypeIpv4 ? DropReason::bad_ip_header
                                                          : DropReason::unknown_type);
    }
  }
}

void shorter_than_the_virtio_header() {
  World w;
  for (std::size_t n = 0; n < stack::VnetHeader::kSize; ++n) {
    w.port.inject_raw(Data(n));
  }
  w.settle();
  CHECK(w.others.empty());
  CHECK(counters_text(w) == fmt::format("short frame {}", stack::VnetHeader::kSize));
}

// Cut anywhere, the headers still telling of the whole.
void every_prefix() {
  for (const Named& valid : valid_frames()) {
    for (std::size_t size = 0; size < valid.frame.size(); ++size) {
      INFO(valid.name, " cut to ", size);
      World w;
      const DropReason reason = size < 14             ? DropReason::short_frame
                                : is_arp(valid.frame) ? DropReason::bad_arp
                                                      : DropReason::bad_ip_header;
      check_dropped(w, Data(valid.frame.begin(), valid.frame.begin() + static_cast<std::ptrdiff_t>(size)),
                    reason);
    }
    INFO(valid.name, ": the whole frame is good");
    World w;
    w.port.inject(valid.frame);
    w.settle();
    CHECK(counters_text(w).empty());
  }
}

// The least that a header of this protocol takes, options of TCP included.
std::size_t transport_header_size(const Data& frame) {
  switch (sys::load_u8(&frame[kIpAt + 9])) {
    case stack::kProtocolTcp:
      return (sys::load_u8(&frame[kTransportAt + 12]) >> 4U) * std::size_t{4};
    case stack::kProtocolUdp:
      return frame.size() - kTransportAt;  // what the UDP length says
    default:
      return 8;
  }
}

// Cut behind the IP header, which tells of the cut: the transport's own checks must find it.
void every_prefix_of_the_transport() {
  for (const Named& valid : valid_frames()) {
    if (is_arp(valid.frame)) {
      continue;
    }
    for (std::size_t size = 0; size < valid.frame.size() - kTransportAt; ++size) {
      INFO(valid.name, " with ", size, " bytes behind the IP header");
      World w;
      check_dropped(w, with_ip_payload(valid.frame, size),
                    size < transport_header_size(valid.frame) ? DropReason::bad_transport_header
                                                              : DropReason::bad_checksum);
    }
  }
}

// Every DHCP message that ends too early, in a datagram that is in order.
void every_prefix_of_a_dhcp_message() {
  const Data message = dhcp_discover();
  for (std::size_t size = 0; size < test::kDhcpOptionsAt + 3; ++size) {
    CAPTURE(size);
    World w;
    w.port.inject(dhcp_frame(sys::Bytes(message).first(size)));
    w.settle();
    CHECK(w.others.empty());
    CHECK(w.gateway->dhcp().counters().malformed == 1);
  }
}

TEST_CASE("frames: lengths") {
  check_rows({
      {"frames", "0 to 80 bytes of zeros", [] { any_length(std::byte{0}); }},
      {"frames", "0 to 80 bytes of ones", [] { any_length(std::byte{0xff}); }},
      {"frames", "0 to 66 bytes behind an ARP type", [] { any_length_behind(stack::kEtherTypeArp); }},
      {"frames", "0 to 66 bytes behind an IPv4 type", [] { any_length_behind(stack::kEtherTypeIpv4); }},
      {"frames", "0 to 66 bytes behind an unknown type", [] { any_length_behind(0x88b5); }},
      {"frames", "shorter than the virtio header", shorter_than_the_virtio_header},
      {"frames", "every prefix of a valid frame", every_prefix},
      {"frames", "every prefix of its transport part", every_prefix_of_the_transport},
      {"frames", "every prefix of a DHCP message", every_prefix_of_a_dhcp_message},
  });
}

// --- checksums ---

// One bit wrong anywhere behind the Ethernet header.
void every_bit_flipped() {
  for (const Named& valid : valid_frames()) {
    if (is_arp(valid.frame)) {
      continue;  // has no checksum
    }
    World w;
    for (std::size_t bit = kIpAt * 8; bit < valid.frame.size() * 8; ++bit) {
      Data frame = valid.frame;
      frame[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      w.port.inject(frame);
      w.settle();
      INFO(valid.name, ", bit ", bit % 8, " of byte ", bit / 8);
      const std::uint64_t ip = dropped(w, DropReason::bad_ip_header);
      const std::uint64_t transport =
          dropped(w, DropReason::bad_transport_header) + dropped(w, DropReason::bad_checksum);
      const std::uint64_t in_ip = std::min(bit + 1, kTransportAt * 8) - kIpAt * 8;
      REQUIRE(ip == in_ip);
      REQUIRE(transport == bit + 1 - kIpAt * 8 - in_ip);
    }
    CHECK(w.others.empty());
    CHECK(host_sockets(w) == 0);
  }
}

TEST_CASE("frames: checksums") {
  const Data syn = syn_frame(kServer);
  const Data udp = udp_frame(kDns, dns_query(1));
  check_frame_rows({
      {"RFC 9293 3.1",
       "a TCP checksum of 0 is no excuse",
       {changed(syn, kTransportAt + 16, {0, 0})},
       {},
       "bad checksum 1"},
      {"RFC 9293 3.1",
       "a TCP checksum without the pseudo-header",
       {[&syn] {
         Data frame = changed(syn, kTransportAt + 16, {0, 0});
         const std::uint16_t sum = integration::ones_sum(sys::Bytes(frame).subspan(kTransportAt));
         sys::store_be16(&frame[kTransportAt + 16], static_cast<std::uint16_t>(~sum));
         return frame;
       }()},
       {},
       "bad checksum 1"},
      {"RFC 9293 3.1",
       "an address that the checksum does not cover",
       {with_ip(syn, 16, {198, 51, 100, 1})},
       {},
       "bad checksum 1"},
      {"RFC 768",
       "a UDP checksum that is wrong",
       {changed(udp, kTransportAt + 6, {0, 1})},
       {},
       "bad checksum 1"},
  });
  check_rows({{"RFC 1071", "any one bit wrong behind the Ethernet header", every_bit_flipped}});
}

// --- hostile headers ---

TEST_CASE("frames: hostile headers") {
  const Data syn = syn_frame(kServer);
  const Data udp = udp_frame(kDns, dns_query(1));
  const std::string kTransport = "malformed transport header 1";
  check_frame_rows({
      {"RFC 894", "a multicast source address", {changed(syn, 6, {0x01})}, {}, "multicast source address 1"},
      {"RFC 894",
       "a broadcast source address",
       {changed(syn, 6, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff})},
       {},
       "multicast source address 1"},
      {"RFC 894",
       "a frame for another station",
       {changed(syn, 5, {0x99})},
       {},
       "frame for another station 1"},
      {"RFC 894", "a length of IEEE 802.3", {changed(syn, 12, {0x00, 0x40})}, {}, "unknown Ethernet type 1"},
      {"RFC 894", "a VLAN tag", {changed(syn, 12, {0x81, 0x00})}, {}, "unknown Ethernet type 1"},
      {"RFC 9293 3.1", "a data offset of 0", {with_tcp(syn, 12, {0x00})}, {}, kTransport},
      {"RFC 9293 3.1", "a data offset of 4", {with_tcp(syn, 12, {0x40})}, {}, kTransport},
      {"RFC 9293 3.1", "a data offset beyond the segment", {with_tcp(syn, 12, {0xf0})}, {}, kTransport},
      {"RFC 768", "a UDP length of 0", {changed(udp, kTransportAt + 4, {0, 0})}, {}, kTransport},
      {"RFC 768", "a UDP length of 7", {changed(udp, kTransportAt + 4, {0, 7})}, {}, kTransport},
      {"RFC 768",
       "a UDP length beyond the packet",
       {changed(udp, kTransportAt + 4, {0, 200})},
       {},
       kTransport},
      {"RFC 768", "the greatest UDP length", {changed(udp, kTransportAt + 4, {0xff, 0xff})}, {}, kTransport},
  });
}

// Offload headers of any content, with frames that are valid, damaged or anything.
void any_offload_header() {
  World w;
  std::mt19937 random(9);
  const std::vector<Named> valid = valid_frames();
  for (int i = 0; i < 6000; ++i) {
    Data frame = i % 3 == 0 ? integration::random_data(random() % 200, static_cast<std::uint32_t>(random()))
                            : valid.at(random() % valid.size()).frame;
    if (i % 3 == 1) {
      frame.at(random() % frame.size()) ^= static_cast<std::byte>(random());
    }
    stack::VnetHeader vnet;
    vnet.flags = static_cast<std::uint8_t>(random());
    vnet.gso_type = static_cast<std::uint8_t>(random());
    vnet.gso_size = static_cast<std::uint16_t>(random());
    vnet.header_length = static_cast<std::uint16_t>(random());
    vnet.checksum_start = static_cast<std::uint16_t>(random());
    vnet.checksum_offset = static_cast<std::uint16_t>(random());
    w.port.inject(frame, vnet);
  }
  w.settle();
  CHECK(w.gateway->counters().frames == 6000);
  // It still works.
  w.others.clear();
  w.port.inject(arp_request(kGatewayAddress));
  w.settle();
  CHECK(w.others.size() == 1);
}

TEST_CASE("frames: offload headers") {
  check_rows({
      {"virtio 1.2 5.1.6", "headers of any content do no harm", any_offload_header},
      {"virtio 1.2 5.1.6", "a promise that the checksum is right does not make up for lengths",
       [] {
         World w;
         stack::VnetHeader vnet;
         vnet.flags = stack::VnetHeader::kDataValid;
         w.port.inject(with_ip_payload(syn_frame(kServer), 19), vnet);
         w.port.inject(with_ip_payload(echo_frame(kGatewayAddress), 7), vnet);
         w.settle();
         CHECK(w.others.empty());
         CHECK(counters_text(w) == "malformed transport header 2");
       }},
  });
}

}  // namespace
}  // namespace l4n::conformance
