#include "nat/limits.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "nat/port_forwards.hpp"

namespace l4n::nat {
namespace {

std::size_t descriptors_of(const Limits& limits) {
  return limits.tcp_flows + limits.udp_flows + limits.ping_flows + limits.dns_questions + limits.dns_spare;
}

Limits with_flows(std::size_t tcp, std::size_t udp) {
  Limits limits;
  limits.tcp_flows = tcp;
  limits.udp_flows = udp;
  return limits;
}

}  // namespace

TEST_CASE("limits: what is wanted fits in, or is scaled down") {
  struct Row {
    std::string what;
    Limits wanted;
    std::size_t descriptors;
    Limits effective;
  };
  const std::vector<Row> rows = {
      {"plenty", {}, 32768, {}},
      {"just enough", {}, 96 + 1408 + 20480, {}},
      {"the hard limit of many an old system", {}, 4096, {2400, 1024, 600, 181, 363, 90}},
      {"the soft limit of most systems", {}, 1024, {556, 556, 139, 42, 84, 21}},
      {"as little as a careful administrator gives", {}, 256, {134, 134, 33, 10, 20, 5}},
      {"nothing becomes 0", {}, 8, {4, 4, 1, 1, 1, 1}},
      {"less is wanted than fits in", with_flows(100, 10), 1024, {100, 100, 10, 42, 84, 21}},
      {"more is wanted than any process may have",
       with_flows(1 << 20, 4096),
       32768,
       {31142, 1024, 121, 256, 512, 128}},
      {"attempts of which the table has no room", with_flows(10, 10), 32768, {10, 10, 10, 256, 512, 128}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    const Limits got = within_descriptors(row.wanted, row.descriptors);
    CHECK(got.tcp_flows == row.effective.tcp_flows);
    CHECK(got.tcp_attempts == row.effective.tcp_attempts);
    CHECK(got.udp_flows == row.effective.udp_flows);
    CHECK(got.ping_flows == row.effective.ping_flows);
    CHECK(got.dns_questions == row.effective.dns_questions);
    CHECK(got.dns_spare == row.effective.dns_spare);
  }
}

TEST_CASE("limits: as many TCP flows as the memory carries") {
  struct Row {
    std::size_t memory;
    std::size_t wanted;
    std::size_t flows;
    std::size_t attempts;
  };
  constexpr std::size_t kMiB = 1024 * 1024;
  const std::vector<Row> rows = {
      {192 * kMiB, 16384, 16384, 1024},
      {192 * kMiB, 100'000, 24576, 1024},
      {16 * kMiB, 16384, 2048, 1024},
      {kMiB, 16384, 128, 128},
      {kMiB, 10, 10, 10},
      {1, 16384, 1, 1},
  };
  for (const Row& row : rows) {
    CAPTURE(row.memory);
    CAPTURE(row.wanted);
    Limits wanted = with_flows(row.wanted, 4096);
    wanted.memory = row.memory;
    const Limits got = within_memory(wanted);
    CHECK(got.tcp_flows == row.flows);
    CHECK(got.tcp_attempts == row.attempts);
    CHECK(got.udp_flows == 4096);
  }
}

TEST_CASE("limits: never more than there are descriptors") {
  for (std::size_t descriptors = 16; descriptors < 70'000; descriptors = descriptors * 5 / 4) {
    CAPTURE(descriptors);
    CHECK(descriptors_of(within_descriptors({}, descriptors)) < descriptors);
  }
}

}  // namespace l4n::nat
