// RFC 826 and RFC 5227: who answers for which address.
#include "tests/conformance/frames.hpp"
#include "tests/conformance/row.hpp"

namespace l4n::conformance {
namespace {

using integration::kDnsAddress;
using integration::kGatewayAddress;
using integration::kGuestAddress;
using integration::kGuestMac;
using sys::make_ipv4;

constexpr std::size_t kArpAt = kIpAt;

const std::string kGatewayReply = "ARP reply 10.0.2.2 at the gateway for 10.0.2.100";
const std::string kDnsReply = "ARP reply 10.0.2.3 at the gateway for 10.0.2.100";

// Requests for every address of the guest's network but those, and for some elsewhere.
std::vector<Data> requests_for_others() {
  std::vector<Data> frames;
  for (unsigned n = 0; n < 256; ++n) {
    if (n != 2 && n != 3) {
      frames.push_back(arp_request(make_ipv4(10, 0, 2, static_cast<std::uint8_t>(n))));
    }
  }
  frames.push_back(arp_request(make_ipv4(10, 0, 3, 2)));
  frames.push_back(arp_request(make_ipv4(192, 0, 2, 1)));
  return frames;
}

Data request_padded_to(std::size_t size) {
  Data frame = arp_request(kGatewayAddress);
  frame.resize(size);
  return frame;
}

Data unicast_request() {
  return integration::ethernet_frame(stack::kEtherTypeArp,
                                     integration::arp_packet(1, kGuestAddress, kGatewayAddress));
}

TEST_CASE("ARP") {
  const Data good = arp_request(kGatewayAddress);
  check_frame_rows({
      {"RFC 826", "a request for the gateway is answered", {good}, {kGatewayReply}, ""},
      {"RFC 826", "a request for the DNS server is answered", {arp_request(kDnsAddress)}, {kDnsReply}, ""},
      {"RFC 826", "nobody answers for any other address", requests_for_others(), {}, ""},
      {"RFC 1122 2.3.2.1",
       "a request to our own MAC address is answered",
       {unicast_request()},
       {kGatewayReply},
       ""},
      {"RFC 894", "the padding of a short frame is ignored", {request_padded_to(60)}, {kGatewayReply}, ""},
      {"RFC 826", "a reply is not answered", {changed(good, kArpAt + 7, {2})}, {}, ""},
      {"RFC 903", "a RARP operation is not answered", {changed(good, kArpAt + 7, {3})}, {}, ""},
      {"RFC 826",
       "another hardware is not answered",
       {changed(good, kArpAt + 1, {6})},
       {},
       "malformed ARP packet 1"},
      {"RFC 826",
       "another protocol is not answered",
       {changed(good, kArpAt + 2, {0x86, 0xdd})},
       {},
       "malformed ARP packet 1"},
      {"RFC 826",
       "a wrong hardware address length",
       {changed(good, kArpAt + 4, {8})},
       {},
       "malformed ARP packet 1"},
      {"RFC 826",
       "a wrong protocol address length",
       {changed(good, kArpAt + 5, {16})},
       {},
       "malformed ARP packet 1"},
      {"RFC 1812 3.3.2", "a multicast sender is not believed", {changed(good, kArpAt + 8, {0x01})}, {}, ""},
      {"RFC 5227 2.1.1",
       "a probe for our address learns of the conflict",
       {arp_request(kGatewayAddress, {})},
       {"ARP reply 10.0.2.2 at the gateway for 0.0.0.0"},
       ""},
      {"RFC 5227 2.1.1",
       "a probe for the guest's own address is not answered",
       {arp_request(kGuestAddress, {})},
       {},
       ""},
      {"RFC 5227 2.3",
       "an announcement of the guest's own address is not answered",
       {arp_request(kGuestAddress, kGuestAddress)},
       {},
       ""},
      {"RFC 5227 2.4",
       "an announcement of our address is answered: we defend it",
       {arp_request(kGatewayAddress, kGatewayAddress)},
       {"ARP reply 10.0.2.2 at the gateway for 10.0.2.2"},
       ""},
  });
}

TEST_CASE("ARP: the reply") {
  check_rows({{"RFC 826", "goes to the asker, with our address and the asker's in their places", [] {
                 World w;
                 w.port.inject(arp_request(kGatewayAddress));
                 w.settle();
                 REQUIRE(w.others.size() == 1);
                 const integration::Packet& reply = w.others[0];
                 CHECK(reply.destination_mac == kGuestMac);
                 Data expected =
                     integration::arp_packet(2, kGatewayAddress, kGuestAddress, stack::kGatewayMac);
                 const auto mac = std::as_bytes(std::span(kGuestMac));
                 std::copy(mac.begin(), mac.end(), expected.begin() + 18);
                 CHECK(reply.arp == expected);
               }}});
}

TEST_CASE("ARP without the DNS service") {
  WorldOptions options;
  options.policy.dns = false;
  check_frame_rows(
      {
          {"RFC 826", "x.3 is nobody's", {arp_request(kDnsAddress)}, {}, ""},
          {"RFC 826", "x.2 is still the gateway's", {arp_request(kGatewayAddress)}, {kGatewayReply}, ""},
      },
      options);
}

}  // namespace
}  // namespace l4n::conformance
