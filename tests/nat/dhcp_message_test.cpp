#include "nat/dhcp_message.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/byte_string.hpp"
#include "tests/support/dhcp_client.hpp"

namespace l4n::nat {
namespace {

using sys::make_ipv4;
using test::byte_string;
using test::ByteString;
using test::DhcpMessageBuilder;
using test::text_bytes;
using Builder = DhcpMessageBuilder;

constexpr stack::MacAddress kMac{0x02, 0x11, 0x22, 0x33, 0x44, 0x55};
constexpr std::size_t kNoLimit = 65507;

Builder builder() { return Builder(kMac); }

// A span over exactly the message's bytes on the heap, so that an over-read is seen.
std::optional<DhcpRequest> decode(const ByteString& message) {
  const std::unique_ptr<std::byte[]> exact(new std::byte[message.size()]);  // NOLINT(*-avoid-c-arrays)
  std::copy(message.begin(), message.end(), exact.get());
  return decode_dhcp_request({exact.get(), message.size()});
}

ByteString options(const std::vector<std::pair<unsigned, ByteString>>& list) {
  ByteString out;
  for (const auto& [code, value] : list) {
    out = test::concat({out, byte_string({code, static_cast<unsigned>(value.size())}), value});
  }
  return out;
}

// Writes bytes into the sname or the file field.
Builder& fill(Builder& message, std::size_t at, const ByteString& bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    message.at(at + i, std::to_integer<unsigned>(bytes[i]));
  }
  return message;
}

TEST_CASE("dhcp message: every field of a request") {
  const auto request = decode(builder()
                                  .broadcast()
                                  .ciaddr(make_ipv4(10, 0, 2, 16))
                                  .giaddr(make_ipv4(10, 9, 9, 9))
                                  .raw(byte_string({0, 0}))
                                  .type(test::kRequest)
                                  .requested(make_ipv4(10, 0, 2, 17))
                                  .option(12, text_bytes("guest"))
                                  .server(make_ipv4(10, 0, 2, 2))
                                  .option(57, byte_string({0x05, 0xdc}))
                                  .option(61, byte_string({1, 2, 3}))
                                  .option(55, byte_string({1, 3, 6}))
                                  .build());
  REQUIRE(request);
  CHECK(request->type == DhcpType::request);
  CHECK(request->xid == 0x12345678);
  CHECK(request->broadcast);
  CHECK(request->ciaddr == make_ipv4(10, 0, 2, 16));
  CHECK(request->giaddr == make_ipv4(10, 9, 9, 9));
  CHECK(request->chaddr == kMac);
  CHECK(request->requested_address == make_ipv4(10, 0, 2, 17));
  CHECK(request->server_id == make_ipv4(10, 0, 2, 2));
  CHECK(request->max_message_size == 1500);
  CHECK(request->client_id == byte_string({1, 2, 3}));
}

TEST_CASE("dhcp message: absent options are absent") {
  const auto request = decode(builder().type(test::kDiscover).build());
  REQUIRE(request);
  CHECK(request->type == DhcpType::discover);
  CHECK_FALSE(request->broadcast);
  CHECK_FALSE(request->requested_address);
  CHECK_FALSE(request->server_id);
  CHECK_FALSE(request->max_message_size);
  CHECK(request->client_id.empty());
}

TEST_CASE("dhcp message: requests that are accepted or not") {
  struct Row {
    const char* what;
    ByteString message;
    bool good;
  };
  const auto discover = [] { return builder().type(test::kDiscover); };
  const std::vector<Row> rows = {
      {"empty", {}, false},
      {"plain", discover().build(), true},
      {"no options at all", builder().build_without_end(), false},
      {"no message type (BOOTP)", builder().build(), false},
      {"no end option", discover().build_without_end(), true},
      {"bytes after the end option", discover().raw(byte_string({255, 53, 9, 1})).build(), true},
      {"padding between options", builder().raw(byte_string({0, 0, 0})).type(test::kInform).build(), true},
      {"a reply", discover().at(0, 2).build(), false},
      {"op 0", discover().at(0, 0).build(), false},
      {"not Ethernet", discover().at(1, 32).build(), false},
      {"no hardware address", discover().at(2, 0).build(), false},
      {"long hardware address", discover().at(2, 16).build(), false},
      {"multicast hardware address", discover().at(28, 0x01).build(), false},
      {"hardware address of zeros", Builder({}).type(test::kDiscover).build(), false},
      {"wrong cookie, first byte", discover().at(test::kDhcpCookieAt, 0x62).build(), false},
      {"wrong cookie, last byte", discover().at(test::kDhcpCookieAt + 3, 0).build(), false},
      {"message type 0", builder().type(0).build(), false},
      {"message type 9", builder().type(9).build(), false},
      {"message type of no bytes", builder().option(53, ByteString{}).build(), false},
      {"message type of two bytes", builder().option(53, byte_string({1, 1})).build(), false},
      {"two message types", discover().type(test::kRequest).build(), false},
      {"requested address of three bytes", discover().option(50, byte_string({1, 2, 3})).build(), false},
      {"requested address of five bytes", discover().option(50, byte_string({1, 2, 3, 4, 5})).build(), false},
      {"requested address of no bytes", discover().option(50, ByteString{}).build(), false},
      {"server identifier of eight bytes", discover().option(54, ByteString(8)).build(), false},
      {"maximum size of one byte", discover().option(57, byte_string({9})).build(), false},
      {"client identifier of no bytes", discover().option(61, ByteString{}).build(), false},
      {"client identifier of one byte", discover().option(61, byte_string({1})).build(), false},
      {"client identifier of 255 bytes", discover().option(61, ByteString(255)).build(), true},
      {"client identifier of 256 bytes",
       discover().option(61, ByteString(255)).option(61, ByteString(1)).build(), false},
      {"unknown option of no bytes", discover().option(200, ByteString{}).build(), true},
      {"option without a length", discover().raw(byte_string({200})).build_without_end(), false},
      {"option longer than the message", discover().raw(byte_string({200, 9, 1})).build(), false},
      {"overload 0", discover().option(52, byte_string({0})).build(), true},
      {"overload 4", discover().option(52, byte_string({4})).build(), false},
      {"overload of two bytes", discover().option(52, byte_string({1, 1})).build(), false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK(decode(row.message).has_value() == row.good);
  }
}

TEST_CASE("dhcp message: a truncated request is refused or has lost whole options only") {
  const auto message = builder()
                           .type(test::kRequest)
                           .requested(make_ipv4(10, 0, 2, 17))
                           .server(make_ipv4(10, 0, 2, 2))
                           .option(61, byte_string({1, 2, 3}))
                           .build();
  // Where an option ends: after the type, the address, the server, the identifier, the end option.
  const std::vector<std::size_t> boundaries = {243, 249, 255, 260, 261};
  for (std::size_t size = 0; size <= message.size(); ++size) {
    CAPTURE(size);
    const auto request = decode({message.begin(), message.begin() + static_cast<std::ptrdiff_t>(size)});
    const bool whole = std::find(boundaries.begin(), boundaries.end(), size) != boundaries.end();
    CHECK(request.has_value() == whole);
    CHECK((request && request->requested_address.has_value()) == (whole && size >= 249));
    CHECK((request && !request->client_id.empty()) == (whole && size >= 260));
  }
}

TEST_CASE("dhcp message: split options are put together (RFC 3396)") {
  const auto request = decode(builder()
                                  .option(50, byte_string({10, 0}))
                                  .type(test::kRequest)
                                  .option(61, byte_string({1, 2}))
                                  .option(50, byte_string({2, 17}))
                                  .option(61, byte_string({3}))
                                  .build());
  REQUIRE(request);
  CHECK(request->requested_address == make_ipv4(10, 0, 2, 17));
  CHECK(request->client_id == byte_string({1, 2, 3}));
}

TEST_CASE("dhcp message: options in the file and sname fields (option 52)") {
  const ByteString end = byte_string({255});
  const ByteString type = options({{53, byte_string({3})}});
  const ByteString id = options({{61, byte_string({7, 8})}});
  struct Row {
    const char* what;
    unsigned overload;
    ByteString file;
    ByteString server_name;
    bool good;
    ByteString client_id;
  };
  const std::vector<Row> rows = {
      {"file", 1, test::concat({type, id, end}), {}, true, byte_string({7, 8})},
      {"sname", 2, {}, test::concat({type, id, end}), true, byte_string({7, 8})},
      {"both", 3, test::concat({type, end}), test::concat({id, end}), true, byte_string({7, 8})},
      {"split, file before sname", 3, test::concat({type, id, end}),
       test::concat({options({{61, byte_string({9})}}), end}), true, byte_string({7, 8, 9})},
      {"file does not count unless named", 2, id, type, true, {}},
      {"neither is named", 0, type, type, false, {}},
      {"padding up to the field's end", 1, type, {}, true, {}},
      {"an option runs out of the field", 2, {}, test::concat({type, byte_string({61, 62})}), false, {}},
      {"no end option in a full field",
       2,
       {},
       test::concat({type, options({{61, ByteString(59)}})}),
       true,
       ByteString(59)},
      {"an overload inside is one too many",
       1,
       test::concat({type, options({{52, byte_string({2})}})}),
       {},
       true,
       {}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    Builder message = builder();
    message.option(52, byte_string({row.overload}));
    fill(message, test::kDhcpFileAt, row.file);
    fill(message, test::kDhcpServerNameAt, row.server_name);
    const auto request = decode(message.build());
    CHECK(request.has_value() == row.good);
    CHECK((!request || request->client_id == row.client_id));
  }
}

TEST_CASE("dhcp message: no bytes make the decoder read too far or take what is not a request") {
  std::mt19937 random(7);
  const ByteString good = builder()
                              .type(test::kRequest)
                              .option(52, byte_string({3}))
                              .requested(make_ipv4(10, 0, 2, 17))
                              .option(61, byte_string({1, 2, 3}))
                              .build();
  for (int i = 0; i < 20000; ++i) {
    ByteString message = good;
    message.resize(random() % 4 == 0 ? random() % (good.size() + 40) : good.size());
    for (unsigned n = random() % 8; n > 0 && !message.empty(); --n) {
      message[random() % message.size()] = static_cast<std::byte>(random());
    }
    if (const auto request = decode(message)) {
      CHECK(message.size() >= test::kDhcpOptionsAt);
      CHECK(request->client_id.size() != 1);
      CHECK(request->client_id.size() <= 255);
      CHECK(request->type <= DhcpType::inform);
    }
  }
}

DhcpResponse full_response() {
  DhcpResponse response;
  response.type = DhcpType::ack;
  response.xid = 0x12345678;
  response.broadcast = true;
  response.ciaddr = make_ipv4(10, 0, 2, 16);
  response.yiaddr = make_ipv4(10, 0, 2, 17);
  response.chaddr = kMac;
  response.server_id = make_ipv4(10, 0, 2, 2);
  response.lease_time = 86400;
  response.subnet_mask = make_ipv4(255, 255, 255, 0);
  response.router = make_ipv4(10, 0, 2, 2);
  response.dns_server = make_ipv4(10, 0, 2, 3);
  response.interface_mtu = std::uint16_t{65520};
  return response;
}

TEST_CASE("dhcp message: every field of a reply, in order") {
  const std::vector<std::string> search = {"example.org", "a.b."};
  DhcpResponse response = full_response();
  response.domain_search = search;
  const ByteString message = encode_dhcp_response(response, 548);
  CHECK(message.size() == 300);
  const auto view = test::view_dhcp_reply(message);
  REQUIRE(view);
  CHECK(view->order == std::vector<unsigned>{53, 54, 51, 1, 3, 6, 26, 119, 255});
  CHECK(view->xid == 0x12345678);
  CHECK(view->broadcast);
  CHECK(view->ciaddr == make_ipv4(10, 0, 2, 16));
  CHECK(view->yiaddr == make_ipv4(10, 0, 2, 17));
  CHECK(view->siaddr == sys::Ipv4Address{});
  CHECK(view->giaddr == sys::Ipv4Address{});
  CHECK(view->chaddr == test::from_hex("02 11 22 33 44 55 00 00 00 00 00 00 00 00 00 00"));
  CHECK(view->type() == test::kAck);
  CHECK(view->address(54) == make_ipv4(10, 0, 2, 2));
  CHECK(view->number(51) == 86400);
  CHECK(view->address(1) == make_ipv4(255, 255, 255, 0));
  CHECK(view->address(3) == make_ipv4(10, 0, 2, 2));
  CHECK(view->address(6) == make_ipv4(10, 0, 2, 3));
  CHECK(view->number(26) == 65520);
  CHECK(view->values.at(119) ==
        test::concat({byte_string({7}), text_bytes("example"), byte_string({3}), text_bytes("org"),
                      byte_string({0}), byte_string({1}), text_bytes("a"), byte_string({1}), text_bytes("b"),
                      byte_string({0})}));
}

TEST_CASE("dhcp message: options that are not set are left out") {
  DhcpResponse response;
  response.type = DhcpType::nak;
  const auto bare = test::view_dhcp_reply(encode_dhcp_response(response, 548));
  REQUIRE(bare);
  CHECK(bare->order == std::vector<unsigned>{53, 54, 255});

  const ByteString id = byte_string({1, 2, 3});
  response.text = "no";
  response.client_id = id;
  const auto view = test::view_dhcp_reply(encode_dhcp_response(response, 548));
  REQUIRE(view);
  CHECK(view->order == std::vector<unsigned>{53, 54, 56, 61, 255});
  CHECK(view->values.at(56) == text_bytes("no"));
  CHECK(view->values.at(61) == id);
}

std::vector<std::string> numbered_domains(unsigned count) {
  std::vector<std::string> out;
  for (unsigned i = 0; i < count; ++i) {
    out.push_back("domain-number-" + std::to_string(1000 + i) + ".example");  // 28 bytes on the wire
  }
  return out;
}

TEST_CASE("dhcp message: a long search list is split into several options (RFC 3396)") {
  const auto search = numbered_domains(20);
  DhcpResponse response = full_response();
  response.domain_search = search;
  const auto view = test::view_dhcp_reply(encode_dhcp_response(response, kNoLimit));
  REQUIRE(view);
  CHECK(view->order == std::vector<unsigned>{53, 54, 51, 1, 3, 6, 26, 119, 119, 119, 255});
  CHECK(view->values.at(119).size() == 20 * 28);
}

TEST_CASE("dhcp message: the search list is cut between names where the limit is reached") {
  const auto search = numbered_domains(40);
  DhcpResponse response = full_response();
  const std::size_t without = 240 + 3 + 6 + 6 + 6 + 6 + 6 + 4 + 1;
  response.domain_search = search;
  for (std::size_t limit = 300; limit < 1500; ++limit) {
    CAPTURE(limit);
    const ByteString message = encode_dhcp_response(response, limit);
    CHECK(message.size() <= limit);
    const auto view = test::view_dhcp_reply(message);
    REQUIRE(view);
    const std::size_t list = view->has(119) ? view->values.at(119).size() : 0;
    CHECK(list % 28 == 0);
    // One name more would not have fitted.
    const std::size_t more = list + 28;
    CHECK((list == 40 * 28 || without + more + 2 * ((more + 254) / 255) > limit));
  }
}

TEST_CASE("dhcp message: the longest fixed content keeps the smallest limit") {
  const ByteString id(255);
  const auto search = numbered_domains(40);
  DhcpResponse response = full_response();
  response.client_id = id;
  response.domain_search = search;
  const ByteString message = encode_dhcp_response(response, 548);
  CHECK(message.size() <= 548);
  CHECK(test::view_dhcp_reply(message).has_value());
}

}  // namespace
}  // namespace l4n::nat
