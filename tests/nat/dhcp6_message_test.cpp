#include "nat/dhcp6_message.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/support/byte_string.hpp"
#include "tests/support/dhcp6_client.hpp"

namespace l4n::nat {
namespace {

using test::byte_string;
using test::ByteString;
using test::concat;
using test::dhcp6_address;
using test::dhcp6_option;
using test::ip6;
using Builder = test::Dhcp6MessageBuilder;

// A span over exactly the message's bytes on the heap, so that an over-read is seen.
std::optional<Dhcp6Request> decode(sys::Bytes message) {
  const std::unique_ptr<std::byte[]> exact(new std::byte[message.size()]);  // NOLINT(*-avoid-c-arrays)
  std::copy(message.begin(), message.end(), exact.get());
  return decode_dhcp6_request({exact.get(), message.size()});
}

Builder many_associations(unsigned count) {
  Builder message(test::kSolicit6);
  for (unsigned i = 0; i < count; ++i) {
    message.addresses(i);
  }
  return message;
}

TEST_CASE("dhcp6 message: every field of a request") {
  const Builder message = Builder(test::kRequest6)
                              .client(7)
                              .server()
                              .wants({23, 24, 0x1234})
                              .option(8, byte_string({0, 10}))  // elapsed time
                              .rapid()
                              .addresses(0x01020304, {ip6("fd00::100"), ip6("fd00::101")})
                              .temporary(5)
                              .prefix(6);
  const auto request = decode(message.build());
  REQUIRE(request);
  CHECK(request->type == Dhcp6Type::request);
  CHECK(request->transaction_id == 0xabcdef);
  CHECK(request->client_id == test::client_duid(7));
  CHECK(request->server_id == test::server_duid());
  CHECK(request->rapid_commit);
  CHECK(request->wants(kDhcp6DnsServers));
  CHECK(request->wants(0x1234));
  CHECK_FALSE(request->wants(25));
  REQUIRE(request->associations.size() == 3);
  CHECK(request->associations[0].kind == Dhcp6Kind::address);
  CHECK(request->associations[0].iaid == 0x01020304);
  CHECK(request->associations[0].addresses ==
        std::vector<sys::Ipv6Address>{ip6("fd00::100"), ip6("fd00::101")});
  CHECK(request->associations[1].kind == Dhcp6Kind::temporary_address);
  CHECK(request->associations[1].iaid == 5);
  CHECK(request->associations[2].kind == Dhcp6Kind::prefix);
  CHECK(request->associations[2].iaid == 6);
}

TEST_CASE("dhcp6 message: absent options are absent, and who says nothing wants all") {
  const auto request = decode(Builder(test::kInformation6).build());
  REQUIRE(request);
  CHECK(request->type == Dhcp6Type::information_request);
  CHECK(request->client_id.empty());
  CHECK(request->server_id.empty());
  CHECK_FALSE(request->rapid_commit);
  CHECK(request->associations.empty());
  CHECK(request->wants(kDhcp6DnsServers));
  CHECK_FALSE(decode(Builder(test::kInformation6).wants({}).build())->wants(kDhcp6DnsServers));
}

TEST_CASE("dhcp6 message: requests that are accepted or not") {
  const ByteString ia(12);
  const ByteString good_address = dhcp6_address(ip6("fd00::1"));
  const std::vector<sys::Ipv6Address> eight(8, ip6("fd00::100"));
  const struct {
    std::string what;
    Builder message;
    bool accepted;
  } rows[] = {
      {"the lowest type", Builder(test::kSolicit6), true},
      {"a type below", Builder(0), false},
      {"a relay's", Builder(test::kRelayForward6), false},
      {"an unknown option", Builder(test::kSolicit6).option(65000, byte_string({1, 2})), true},
      {"half of an option's header", Builder(test::kSolicit6).raw(byte_string({0, 1})), false},
      {"a cut-off option", Builder(test::kSolicit6).raw(byte_string({0, 99, 0, 2, 0})), false},
      {"the shortest DUID", Builder(test::kSolicit6).option(1, ByteString(3)), true},
      {"a DUID of only a type", Builder(test::kSolicit6).option(1, ByteString(2)), false},
      {"the longest DUID", Builder(test::kSolicit6).option(1, ByteString(130)), true},
      {"a DUID longer than that", Builder(test::kSolicit6).option(1, ByteString(131)), false},
      {"two client identifiers", Builder(test::kSolicit6).client(1).client(1), false},
      {"two server identifiers", Builder(test::kRequest6).server().server(), false},
      {"an empty server identifier", Builder(test::kRequest6).option(2, {}), false},
      {"two option requests", Builder(test::kSolicit6).wants({23}).wants({24}), false},
      {"an odd option request", Builder(test::kSolicit6).option(6, ByteString(3)), false},
      {"rapid commit twice", Builder(test::kSolicit6).rapid().rapid(), false},
      {"rapid commit with a value", Builder(test::kSolicit6).option(14, ByteString(1)), false},
      {"a short IA_NA", Builder(test::kSolicit6).option(3, ByteString(11)), false},
      {"a short IA_PD", Builder(test::kSolicit6).option(25, ByteString(11)), false},
      {"a short IA_TA", Builder(test::kSolicit6).option(4, ByteString(3)), false},
      {"an IA_TA without times", Builder(test::kSolicit6).option(4, concat({ByteString(4), good_address})),
       true},
      {"half an option inside", Builder(test::kSolicit6).option(3, concat({ia, ByteString(3)})), false},
      {"a short address", Builder(test::kSolicit6).option(3, concat({ia, dhcp6_option(5, ByteString(23))})),
       false},
      {"half an option inside an address",
       Builder(test::kSolicit6).option(3, concat({ia, dhcp6_option(5, ByteString(25))})), false},
      {"an option inside an address",
       Builder(test::kSolicit6)
           .option(3,
                   concat({ia, dhcp6_option(5, concat({ByteString(24), dhcp6_option(13, ByteString(2))}))})),
       true},
      {"8 associations", many_associations(8), true},
      {"9 associations", many_associations(9), false},
      {"8 addresses", Builder(test::kSolicit6).addresses(1, eight), true},
      {"9 addresses", Builder(test::kSolicit6).addresses(1, eight).addresses(2, {ip6("fd00::1")}), false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.what);
    CHECK(decode(row.message.build()).has_value() == row.accepted);
  }
}

TEST_CASE("dhcp6 message: a cut-off request is refused or has lost whole options only") {
  const ByteString whole =
      Builder(test::kRequest6).client(1).server().addresses(1, {ip6("fd00::100")}).build();
  std::vector<std::size_t> accepted;
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    if (decode(sys::Bytes(whole).first(size))) {
      accepted.push_back(size);
    }
  }
  CHECK(accepted == std::vector<std::size_t>{4, 18, 32, 76});
}

TEST_CASE("dhcp6 message: no bytes make the decoder read too far") {
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same bytes in every run
  const ByteString whole = Builder(test::kRenew6)
                               .client(1)
                               .server()
                               .wants({23})
                               .addresses(1, {ip6("fd00::100")})
                               .prefix(2)
                               .build();
  std::size_t accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    ByteString message = whole;
    for (int change = 0; change < 3; ++change) {
      message[random() % message.size()] = static_cast<std::byte>(random());
    }
    accepted += decode(message) ? 1U : 0U;
    static_cast<void>(decode(test::random_bytes(random, random() % 64)));
  }
  CHECK(accepted > 1000);
  CHECK(accepted < 20000);
}

TEST_CASE("dhcp6 message: every field of a reply, in order") {
  const ByteString server = test::server_duid();
  const ByteString client = test::client_duid(9);
  const std::vector<std::string> search = {"a.test"};
  Dhcp6Response response;
  response.type = Dhcp6Type::advertise;
  response.transaction_id = 0x123456;
  response.server_id = server;
  response.client_id = client;
  response.rapid_commit = true;
  response.status = Dhcp6Status::use_multicast;
  response.associations = {
      {Dhcp6Kind::address, 1, {{ip6("fd00::100"), 86400}, {ip6("fd01::1"), 0}}},
      {Dhcp6Kind::prefix, 2, {}, Dhcp6Status::no_prefix_avail},
      {Dhcp6Kind::temporary_address, 3, {}, Dhcp6Status::no_addrs_avail},
  };
  response.dns_server = ip6("fd00::3");
  response.domain_search = search;
  const auto view = test::view_dhcp6_reply(encode_dhcp6_response(response));
  REQUIRE(view);
  CHECK(view->type == 2);
  CHECK(view->transaction_id == 0x123456);
  CHECK(view->order == std::vector<unsigned>{2, 1, 14, 13, 3, 25, 4, 23, 24});
  CHECK(view->values.at(2) == server);
  CHECK(view->values.at(1) == client);
  CHECK(view->values.at(14).empty());
  CHECK(view->status() == 5);
  CHECK(view->associations == std::vector<std::string>{
                                  "3:1 fd00::100/86400 fd01::1/0 T1=43200 T2=69120",
                                  "25:2 status=6",
                                  "4:3 status=2",
                              });
  CHECK(view->values.at(23) == test::from_hex("fd00 0000 0000 0000 0000 0000 0000 0003"));
  CHECK(view->values.at(24) == test::from_hex("01 61 04 74657374 00"));
}

TEST_CASE("dhcp6 message: options that are not set are left out") {
  const auto view = test::view_dhcp6_reply(encode_dhcp6_response({}));
  REQUIRE(view);
  CHECK(view->type == 7);
  CHECK(view->order.empty());
}

TEST_CASE("dhcp6 message: the longest answer fits the smallest MTU") {
  const ByteString duid(130);
  const std::vector<std::string> search(500, "example.test");
  Dhcp6Response response;
  const ByteString server = test::server_duid();
  response.server_id = server;
  response.client_id = duid;
  response.rapid_commit = true;
  response.status = Dhcp6Status::success;
  for (std::uint32_t i = 0; i < kMostDhcp6Associations; ++i) {
    response.associations.push_back(
        {Dhcp6Kind::address, i, {{ip6("fd00::1"), 1}, {ip6("fd00::2"), 1}}, Dhcp6Status::success});
  }
  response.dns_server = ip6("fd00::3");
  response.domain_search = search;
  const auto message = encode_dhcp6_response(response);
  CHECK(message.size() <= 1232);
  CHECK(message.size() > 1232 - 14);  // not one name more
  REQUIRE(test::view_dhcp6_reply(message));
  CHECK(test::view_dhcp6_reply(message)->values.at(24).size() % 14 == 0);
}

}  // namespace
}  // namespace l4n::nat
