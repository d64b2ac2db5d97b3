#include "stack/arp.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/packets.hpp"

namespace l4n::stack {
namespace {

using sys::make_ipv4;
using test::ByteString;
using test::from_hex;
using test::kGuestMac;

const std::string kRequestHex = "0001 0800 06 04 0001 021122334455 0a000264 000000000000 0a000202";

TEST_CASE("arp: the bytes on the wire, there and back") {
  const ByteString wire = from_hex(kRequestHex);
  const auto arp = decode_arp(wire);
  REQUIRE(arp);
  CHECK(arp->operation == ArpPacket::kRequest);
  CHECK(arp->sender_mac == kGuestMac);
  CHECK(arp->sender == make_ipv4(10, 0, 2, 100));
  CHECK(arp->target_mac == MacAddress{});
  CHECK(arp->target == make_ipv4(10, 0, 2, 2));
  ByteString out(kArpPacketSize);
  encode_arp(out, *arp);
  CHECK(out == wire);
}

TEST_CASE("arp: every truncation is refused, padding is not") {
  const ByteString wire = from_hex(kRequestHex);
  for (std::size_t size = 0; size < wire.size(); ++size) {
    CAPTURE(size);
    const sys::Bytes part = std::span(wire).first(size);
    CHECK_FALSE(decode_arp(ByteString(part.begin(), part.end())));
  }
  CHECK(decode_arp(test::concat({wire, ByteString(18)})));
}

TEST_CASE("arp: only Ethernet and IPv4") {
  struct Row {
    std::string description;
    std::size_t at;
    std::string bytes;
  };
  const std::vector<Row> rows = {
      {"hardware type", 0, "0006"},         {"protocol type", 2, "86dd"},
      {"hardware address length", 4, "08"}, {"no hardware address", 4, "00"},
      {"protocol address length", 5, "10"}, {"no protocol address", 5, "00"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    ByteString wire = from_hex(kRequestHex);
    test::overwrite(wire, row.at, from_hex(row.bytes));
    CHECK_FALSE(decode_arp(wire));
  }
}

TEST_CASE("arp: who gets an answer") {
  struct Row {
    std::string description;
    ArpPacket request;
    bool target_is_ours;
    bool answered;
  };
  const sys::Ipv4Address guest = make_ipv4(10, 0, 2, 100);
  const sys::Ipv4Address gateway = make_ipv4(10, 0, 2, 2);
  const std::vector<Row> rows = {
      {"a request for us", {ArpPacket::kRequest, kGuestMac, guest, {}, gateway}, true, true},
      {"a probe for us", {ArpPacket::kRequest, kGuestMac, {}, {}, gateway}, true, true},
      {"a request for another", {ArpPacket::kRequest, kGuestMac, guest, {}, guest}, false, false},
      {"a reply", {ArpPacket::kReply, kGuestMac, guest, kGatewayMac, gateway}, true, false},
      {"an unknown operation", {3, kGuestMac, guest, {}, gateway}, true, false},
      {"operation 0", {0, kGuestMac, guest, {}, gateway}, true, false},
      {"a broadcast sender", {ArpPacket::kRequest, kBroadcastMac, guest, {}, gateway}, true, false},
      {"a multicast sender", {ArpPacket::kRequest, {1, 0, 0x5e, 0, 0, 1}, guest, {}, gateway}, true, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    const auto reply = answer_arp(row.request, row.target_is_ours, kGatewayMac);
    REQUIRE(reply.has_value() == row.answered);
    if (reply) {
      CHECK(reply->operation == ArpPacket::kReply);
      CHECK(reply->sender_mac == kGatewayMac);
      CHECK(reply->sender == row.request.target);
      CHECK(reply->target_mac == row.request.sender_mac);
      CHECK(reply->target == row.request.sender);
    }
  }
}

}  // namespace
}  // namespace l4n::stack
