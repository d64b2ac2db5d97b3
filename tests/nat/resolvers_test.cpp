#include "nat/resolvers.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace l4n::nat {
namespace {

using namespace std::chrono_literals;

HostTarget server(unsigned n) { return {{sys::make_ipv4(192, 0, 2, n), 53}, 0}; }

struct Fixture {
  sys::ManualClock clock;
  Resolvers resolvers{clock};

  // The order as the last numbers of the addresses.
  [[nodiscard]] std::string order() const {
    std::string text;
    for (const HostTarget& target : resolvers.in_order()) {
      text += std::to_string(target.endpoint.address.v4().value & 0xffU);
    }
    return text;
  }
};

TEST_CASE_FIXTURE(Fixture, "resolvers: none") {
  CHECK(order().empty());
  resolvers.answered(server(1));
  CHECK(order().empty());
}

TEST_CASE_FIXTURE(Fixture, "resolvers: the order of the file, until one answers") {
  resolvers.set({server(1), server(2), server(3), server(4)});
  CHECK(order() == "1234");
  resolvers.answered(server(1));
  CHECK(order() == "1234");
  resolvers.answered(server(3));
  CHECK(order() == "3124");
  resolvers.answered(server(4));
  CHECK(order() == "4123");
  resolvers.answered(server(1));
  CHECK(order() == "1234");
}

TEST_CASE_FIXTURE(Fixture, "resolvers: a preference ends, even while that server goes on answering") {
  resolvers.set({server(1), server(2)});
  resolvers.answered(server(2));
  clock.advance(Resolvers::kPreferenceTime - 1ns);
  resolvers.answered(server(2));
  CHECK(order() == "21");
  clock.advance(1ns);
  CHECK(order() == "12");  // the first one gets its chance
  resolvers.answered(server(2));
  CHECK(order() == "21");  // and is still dead
  clock.advance(Resolvers::kPreferenceTime);
  resolvers.answered(server(1));
  CHECK(order() == "12");
}

TEST_CASE_FIXTURE(Fixture, "resolvers: a new list has no preference, the same one keeps it") {
  resolvers.set({server(1), server(2), server(3)});
  resolvers.answered(server(3));
  resolvers.set({server(1), server(2), server(3)});
  CHECK(order() == "312");
  resolvers.set({server(1), server(3), server(2)});
  CHECK(order() == "132");
  resolvers.answered(server(2));
  resolvers.set({server(9)});
  CHECK(order() == "9");
  resolvers.set({});
  CHECK(order().empty());
}

TEST_CASE_FIXTURE(Fixture, "resolvers: an answer of a server that is not in the list any more") {
  resolvers.set({server(1), server(2)});
  resolvers.answered(server(2));
  resolvers.answered(server(7));
  CHECK(order() == "21");
}

TEST_CASE_FIXTURE(Fixture, "resolvers: the scope belongs to the name of a server") {
  HostTarget a{{*sys::parse_ip("fe80::1"), 53}, 2};
  HostTarget b{{*sys::parse_ip("fe80::1"), 53}, 3};
  resolvers.set({a, b});
  resolvers.answered(b);
  CHECK(resolvers.in_order() == std::vector<HostTarget>{b, a});
}

}  // namespace
}  // namespace l4n::nat
