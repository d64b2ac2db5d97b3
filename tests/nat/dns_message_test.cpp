#include "nat/dns_message.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/support/byte_string.hpp"

namespace l4n::nat {
namespace {

using test::ByteString;
using test::from_hex;

// ID, flags, one question; then example.org, A, IN.
const std::string kHeader = "abcd 0100 0001 0000 0000 0000";
const std::string kQuestion = "07 6578616d706c65 03 6f7267 00 0001 0001";
// EDNS: an OPT record (RFC 6891) of 1232 bytes.
const std::string kOpt = "00 0029 04d0 00000000 0000";

// A copy of exactly that size, so that the sanitizer sees a read past its end.
ByteString cut(const ByteString& data, std::size_t size) {
  return {data.begin(), data.begin() + static_cast<std::ptrdiff_t>(size)};
}

TEST_CASE("dns message: what is a query") {
  struct Row {
    std::string description;
    std::string message;
    bool query;
  };
  const std::vector<Row> rows = {
      {"a query", kHeader + kQuestion, true},
      {"a query with EDNS", "abcd 0120 0001 0000 0000 0001" + kQuestion + kOpt, true},
      {"a header alone", kHeader, true},
      {"a notification", "abcd 2000 0001 0000 0000 0000" + kQuestion, true},
      {"a response", "abcd 8180 0001 0001 0000 0000" + kQuestion, false},
      {"only the response bit", "abcd 8000 0000 0000 0000 0000", false},
      {"eleven bytes", "abcd 0100 0001 0000 0000 00", false},
      {"two bytes", "abcd", false},
      {"nothing", "", false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    CHECK(is_dns_query(from_hex(row.message)) == row.query);
  }
}

TEST_CASE("dns message: what answers a query") {
  struct Row {
    std::string description;
    std::string response;
    bool answers;
  };
  const std::vector<Row> rows = {
      {"the same ID", "abcd 8180 0001 0000 0000 0000" + kQuestion, true},
      {"a failure without the question", "abcd 8182 0000 0000 0000 0000", true},
      {"truncated", "abcd 8380 0001 0000 0000 0000" + kQuestion, true},
      {"another ID, high byte", "aacd 8180 0001 0000 0000 0000" + kQuestion, false},
      {"another ID, low byte", "abcc 8180 0001 0000 0000 0000" + kQuestion, false},
      {"the query itself", kHeader + kQuestion, false},
      {"eleven bytes", "abcd 8180 0001 0000 0000 00", false},
      {"nothing", "", false},
  };
  const ByteString query = from_hex(kHeader + kQuestion);
  for (const Row& row : rows) {
    CAPTURE(row.description);
    CHECK(is_dns_response_to(from_hex(row.response), query) == row.answers);
  }
}

TEST_CASE("dns message: server failure, with the question where there is a good one") {
  struct Row {
    std::string description;
    std::string query;
    std::string answer;
  };
  const std::string long_label = "3f" + std::string(2 * 63, '6');
  const std::string no_question = "abcd 8182 0000 0000 0000 0000";
  const std::vector<Row> rows = {
      {"plain", kHeader + kQuestion, "abcd 8182 0001 0000 0000 0000" + kQuestion},
      {"EDNS is left out", "abcd 0120 0001 0000 0000 0001" + kQuestion + kOpt,
       "abcd 8182 0001 0000 0000 0000" + kQuestion},
      {"no recursion desired", "abcd 0000 0001 0000 0000 0000" + kQuestion,
       "abcd 8082 0001 0000 0000 0000" + kQuestion},
      {"opcode and no other flag is kept", "abcd 7fff 0001 0000 0000 0000" + kQuestion,
       "abcd f982 0001 0000 0000 0000" + kQuestion},
      {"the root", kHeader + "00 0002 0001", "abcd 8182 0001 0000 0000 0000 00 0002 0001"},
      {"a label of 63", kHeader + long_label + "00 0001 0001",
       "abcd 8182 0001 0000 0000 0000" + long_label + "00 0001 0001"},
      {"only the first of two questions", "abcd 0100 0002 0000 0000 0000" + kQuestion + kQuestion,
       "abcd 8182 0001 0000 0000 0000" + kQuestion},
      {"no question", kHeader, no_question},
      {"a question that the header does not announce", "abcd 0100 0000 0000 0000 0000" + kQuestion,
       no_question},
      {"only EDNS", "abcd 0100 0000 0000 0000 0001" + kOpt, no_question},
      {"a compressed name", kHeader + "c00c 0001 0001", no_question},
      {"a compressed tail", kHeader + "03 777777 c00c 0001 0001", no_question},
      {"a label of 64", kHeader + "40" + std::string(2 * 64, '6') + "00 0001 0001", no_question},
      {"a label past the end", kHeader + "05 61626364", no_question},
      {"no end of the name", kHeader + "03 777777", no_question},
      {"no type", kHeader + "03 777777 00", no_question},
      {"half a class", kHeader + "03 777777 00 0001 00", no_question},
  };
  for (const Row& row : rows) {
    CAPTURE(row.description);
    CHECK(dns_server_failure(from_hex(row.query)) == from_hex(row.answer));
  }
}

TEST_CASE("dns message: no truncation is read past its end") {
  const ByteString query = from_hex(kHeader + kQuestion + kOpt);
  for (std::size_t size = 0; size <= query.size(); ++size) {
    CAPTURE(size);
    const ByteString part = cut(query, size);
    CHECK(is_dns_query(part) == (size >= kDnsHeaderSize));
    CHECK_FALSE(is_dns_response_to(part, query));
    if (size >= kDnsHeaderSize) {
      const ByteString answer = dns_server_failure(part);
      const std::size_t whole = kDnsHeaderSize + from_hex(kQuestion).size();
      CHECK(answer.size() == (size >= whole ? whole : kDnsHeaderSize));
      CHECK(is_dns_response_to(answer, part));
    }
  }
}

TEST_CASE("dns message: random questions") {
  std::mt19937 random(8);
  for (int round = 0; round < 20000; ++round) {
    ByteString query = test::random_bytes(random, kDnsHeaderSize + random() % 80);
    for (std::size_t i = kDnsHeaderSize; i < query.size(); ++i) {
      query[i] &= random() % 4 == 0 ? std::byte{0xff} : std::byte{0x07};  // short labels
    }
    query[2] &= std::byte{0x7f};
    const ByteString answer = dns_server_failure(query);
    REQUIRE(answer.size() >= kDnsHeaderSize);
    REQUIRE(answer.size() <= query.size());
    REQUIRE(is_dns_response_to(answer, query));
  }
}

}  // namespace
}  // namespace l4n::nat
