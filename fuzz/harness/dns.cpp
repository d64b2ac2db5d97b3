// The forwarder's view of DNS messages: what is a query, what answers it, and the answer "server failure".
//
// Input: two records, a query and a response.
#include "nat/dns_message.hpp"

#include <algorithm>
#include <array>

#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/reference/dns_name.hpp"
#include "fuzz/structure/records.hpp"
#include "fuzz/support/fault.hpp"
#include "fuzz/support/text.hpp"

namespace l4n::fuzz {
namespace {

constexpr std::size_t kHeader = 12;

// RFC 1035 4.1.1.
struct Header {
  std::uint16_t id = 0;
  bool response = false;
  unsigned opcode = 0;
  bool authoritative = false;
  bool truncated = false;
  bool recursion_desired = false;
  unsigned rcode = 0;
  std::array<std::uint16_t, 4> counts{};  // questions, answers, authorities, additional
};

std::optional<Header> read_header(sys::Bytes message) {
  sys::ByteReader r(message);
  Header h;
  h.id = r.be16();
  const unsigned flags = r.be16();
  h.response = (flags >> 15U) != 0;
  h.opcode = flags >> 11U & 0xfU;
  h.authoritative = (flags >> 10U & 1U) != 0;
  h.truncated = (flags >> 9U & 1U) != 0;
  h.recursion_desired = (flags >> 8U & 1U) != 0;
  h.rcode = flags & 0xfU;
  for (std::uint16_t& count : h.counts) {
    count = r.be16();
  }
  return r.failed() ? std::nullopt : std::optional(h);
}

// Bytes of the first question, 0 when there is none that can be read.
std::size_t question_size(sys::Bytes message, const Header& header) {
  if (header.counts[0] == 0) {
    return 0;
  }
  std::size_t at = kHeader;
  while (at < message.size() && sys::load_u8(&message[at]) != 0) {
    if (sys::load_u8(&message[at]) > 63) {
      return 0;
    }
    at += std::size_t{1} + sys::load_u8(&message[at]);
  }
  const std::size_t end = at + 1 + 4;
  return end <= message.size() ? end - kHeader : 0;
}

void check_failure(sys::Bytes query, const Header& asked) {
  std::vector<std::byte> failure = nat::dns_server_failure(query);
  if (fault("dns: id")) {
    failure[1] ^= std::byte{1};
  }
  if (fault("dns: question") && failure.size() > kHeader) {
    failure.back() ^= std::byte{1};
  }
  FUZZ_REQUIRE(nat::is_dns_response_to(failure, query), "a failure that does not answer its query");
  const auto told = read_header(failure);
  FUZZ_REQUIRE(told && told->response && told->rcode == 2, "a failure that does not say so");
  FUZZ_REQUIRE(told->id == asked.id && told->opcode == asked.opcode &&
                   told->recursion_desired == asked.recursion_desired,
               "a failure with another header than its query");
  FUZZ_REQUIRE(!told->authoritative && !told->truncated, "a failure with authority or more to come");
  const std::size_t question = question_size(query, asked);
  FUZZ_REQUIRE(failure.size() == kHeader + question &&
                   std::equal(failure.begin() + kHeader, failure.end(), query.begin() + kHeader),
               "a failure with another question than its query");
  const std::array<std::uint16_t, 4> counts{static_cast<std::uint16_t>(question > 0 ? 1 : 0), 0, 0, 0};
  FUZZ_REQUIRE(told->counts == counts, "a failure whose counts do not fit");
}

void run(sys::Bytes input) {
  std::vector<Record> records = split_records(input);
  records.resize(std::max<std::size_t>(records.size(), 2));
  const Record& query = records[0];
  const Record& response = records[1];
  const auto asked = read_header(query);
  const auto told = read_header(response);
  const bool is_query = asked && !asked->response;
  FUZZ_REQUIRE(nat::is_dns_query(query) == is_query, "{} is {}taken for a query", printable(text(query)),
               is_query ? "not " : "");
  if (!is_query) {
    return;
  }
  const bool answers = told && told->response && told->id == asked->id;
  FUZZ_REQUIRE(nat::is_dns_response_to(response, query) == answers, "{} is {}taken for the answer",
               printable(text(response)), answers ? "not " : "");
  check_failure(query, *asked);
}

std::string print_message(const Record& message) {
  const auto header = read_header(message);
  if (!header) {
    return fmt::format("{} bytes, no header\n", message.size());
  }
  std::size_t at = kHeader;
  const auto name = read_name(message, at);
  return fmt::format("{} id {:04x} opcode {} rcode {} counts {} {} {} {} name {}\n",
                     header->response ? "response" : "query", header->id, header->opcode, header->rcode,
                     header->counts[0], header->counts[1], header->counts[2], header->counts[3],
                     name ? printable(*name) : "-");
}

std::string print(sys::Bytes input) {
  std::string text;
  for (const Record& record : split_records(input)) {
    text += print_message(record);
  }
  return text;
}

std::size_t mutate(sys::MutableBytes data, std::size_t size, std::size_t max_size, Random& random) {
  return mutate_records(data, size, max_size, random, mutate_record_bytes);
}

}  // namespace

const Harness kHarness{run, print, mutate};

}  // namespace l4n::fuzz
