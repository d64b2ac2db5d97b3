// The suite's tables: one row for each rule of a standard, with the document and section that it comes from.
//
// Every row runs in a world of its own. A row that fails is named with its section; one row alone runs by
// `conformance_tests --subcase='*5961*SYN*'`.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/integration/support/world.hpp"

namespace l4n::conformance {

using integration::World;
using integration::WorldOptions;

struct Row {
  const char* rfc;
  const char* name;
  std::function<void()> check;
};

// As a test case's only content: each row is a subcase.
inline void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    const std::string title = std::string(row.rfc) + ": " + row.name;
    SUBCASE(title.c_str()) { row.check(); }
  }
}

// The guest sends these frames, one turn after the other, and this comes back, in this order, and nothing
// else.
struct FrameRow {
  const char* rfc;
  const char* name;
  std::vector<integration::Data> frames;
  std::vector<std::string> answers;  // as answer_text() tells them
  std::string counted;               // as counters_text() tells them
};
// No row of this kind may open a socket of the host.
void check_frame_rows(const std::vector<FrameRow>& rows, const WorldOptions& options = {});

// "ARP reply 10.0.2.2", "ICMP 0/0 from 10.0.2.2", "UDP 10.0.2.2:67 -> 255.255.255.255:68", "TCP RST": with
// all addresses that a reader needs to tell a right answer from a wrong one.
[[nodiscard]] std::string answer_text(const integration::Packet& packet);
[[nodiscard]] std::vector<std::string> answer_texts(const std::vector<integration::Packet>& packets);
// "SYN ACK", "RST", in the order of RFC 9293 3.1 from the right; "-" for none.
[[nodiscard]] std::string flags_text(std::uint8_t flags);

// What the gateway has counted as dropped, denied or unserved: "malformed IP header 1", joined by ", ".
[[nodiscard]] std::string counters_text(const World& w);
// Sockets of any kind that the gateway has ever asked the host for.
[[nodiscard]] std::size_t host_sockets(const World& w);

}  // namespace l4n::conformance
