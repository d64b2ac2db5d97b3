#include "cli/api_protocol.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cerrno>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/sys/pipe.hpp"

namespace l4n::cli {
namespace {

using nat::Forward;
using nat::ForwardProtocol;
using nat::ForwardRule;
using sys::make_ipv4;

constexpr std::uint16_t kChosenPort = 40001;

class FakeForwards final : public nat::ForwardControl {
 public:
  sys::Result<Forward> add(const ForwardRule& rule) override {
    asked.push_back(rule);
    if (throws) {
      throw std::runtime_error("no memory");
    }
    if (fails_with != 0) {
      return sys::errno_error(fails_with, "cannot listen");
    }
    Forward forward{next_id++, rule};
    if (rule.host.port == 0) {
      forward.rule.host.port = kChosenPort;
    }
    forwards.push_back(forward);
    return forward;
  }
  bool remove(std::uint32_t id) noexcept override {
    return std::erase_if(forwards, [id](const Forward& f) { return f.id == id; }) != 0;
  }
  [[nodiscard]] std::vector<Forward> list() const override { return forwards; }

  std::vector<ForwardRule> asked;  // all of them
  std::vector<Forward> forwards;   // in force
  std::uint32_t next_id = 1;
  int fails_with = 0;
  bool throws = false;
};

struct Fixture {
  FakeForwards forwards;
  sys::test::Pipe stderr_pipe;
  sys::Log log{stderr_pipe.writer.get()};
  StatsSnapshot stats;
  std::optional<sys::Ipv6Address> guest6 = sys::parse_ipv6("fd00::100");

  std::string ask(std::string_view request) {
    return answer_api_request(request,
                              {forwards, make_ipv4(10, 0, 2, 100), guest6, log, [this] { return stats; }});
  }
};

std::string error(std::string_view text) {
  return fmt::format(R"({{"error":{{"desc":"bad request: {}"}}}})", text);
}

std::string add(std::string_view arguments) {
  return fmt::format(R"({{"execute":"add_hostfwd","arguments":{{{}}}}})", arguments);
}

std::string entry(std::string_view rest) { return fmt::format("{{{}}}", rest); }

std::string listing(std::string_view entries) {
  return fmt::format(R"({{"return":{{"entries":[{0}]}},"entries":[{0}]}})", entries);
}

constexpr std::string_view kList = R"({"execute":"list_hostfwd"})";
constexpr std::string_view kStats = R"({"execute":"stats"})";

}  // namespace

TEST_CASE_FIXTURE(Fixture, "API: requests that are none") {
  struct Row {
    std::string request;
    std::string error;
  };
  const std::string depth_bomb(1000, '[');
  const std::vector<Row> rows = {
      {"", "cannot parse JSON"},
      {"\n", "cannot parse JSON"},
      {"{", "cannot parse JSON"},
      {"x", "cannot parse JSON"},
      {std::string(1, '\0'), "cannot parse JSON"},
      {"{]", "cannot parse JSON"},
      {"}", "cannot parse JSON"},
      {"{'execute':'list_hostfwd'}", "cannot parse JSON"},
      {R"({"execute":"list_hostfwd",})", "cannot parse JSON"},
      {R"(// {"execute":"list_hostfwd"})", "cannot parse JSON"},
      {"\xff{\"execute\":\"list_hostfwd\"}", "cannot parse JSON"},
      {"{\"execute\":\"list_hostfwd\",\"x\":\"\xff\"}", "cannot parse JSON"},
      {"{\"execute\":\"\xc0\xaf\"}", "cannot parse JSON"},
      {R"({"execute":"x","execute":"list_hostfwd"})", "cannot parse JSON"},
      {R"({"execute":"list_hostfwd","x":[{"a":1},{"a":1,"b":{},"a":1}]})", "cannot parse JSON"},
      {R"({"execute":"list_hostfwd","x":1e400})", "cannot parse JSON"},
      {depth_bomb, "cannot parse JSON"},
      {R"({"execute":)" + depth_bomb, "cannot parse JSON"},
      {depth_bomb + std::string(1000, ']'), "json_object() failed"},
      {"[]", "json_object() failed"},
      {"1", "json_object() failed"},
      {"\"list_hostfwd\"", "json_object() failed"},
      {"null", "json_object() failed"},
      {"{}", "no execute found"},
      {R"({"arguments":{}})", "no execute found"},
      {R"({"execute":null})", "no execute found"},
      {R"({"execute":1})", "no execute found"},
      {R"({"execute":["list_hostfwd"]})", "no execute found"},
      {R"({"execute":""})", "unknown execute"},
      {R"({"execute":"LIST_HOSTFWD"})", "unknown execute"},
      {R"({"execute":"list_hostfwd\u0000"})", "unknown execute"},
      {std::string(4095, ' '), "cannot parse JSON"},
      {std::string(4096, ' '), "too large message"},
      {std::string(kList) + std::string(4096 - kList.size(), ' '), "too large message"},
      {std::string(10 << 20, 'x'), "too large message"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.request.substr(0, 80));
    CHECK(ask(row.request) == error(row.error));
  }
  CHECK(forwards.asked.empty());
}

TEST_CASE_FIXTURE(Fixture, "API: what surrounds the request's object does not matter") {
  const std::string list(kList);
  for (const std::string& request :
       {list, list + "\n", " " + list, list + std::string(1, '\0'), list + "xyz", list + list,
        "\xef\xbb\xbf" + list, list + std::string(4095 - list.size(), ' '),
        R"({"x":{"a":1},"y":{"a":)" + std::string(1000, '[') + std::string(1000, ']') +
            R"(},"execute":"list_hostfwd"})"}) {
    CAPTURE(request.substr(0, 80));
    CHECK(ask(request) == listing(""));
  }
}

TEST_CASE_FIXTURE(Fixture, "API: bad arguments of add_hostfwd") {
  struct Row {
    std::string arguments;
    std::string argument;  // the one that is complained about
  };
  std::vector<Row> rows = {
      {"", "proto"},
      {R"("host_port":80,"guest_port":80)", "proto"},
      // The first bad one in this order is told, wherever it stands.
      {R"("guest_port":-1,"guest_addr":"x","host_port":-1,"host_addr":"x","proto":"x")", "proto"},
      {R"("guest_port":-1,"guest_addr":"x","host_port":-1,"host_addr":"x","proto":"tcp")", "host_addr"},
      {R"("guest_port":-1,"guest_addr":"x","host_port":-1,"proto":"tcp")", "host_port"},
      {R"("guest_port":-1,"guest_addr":"x","host_port":1,"proto":"tcp")", "guest_addr"},
      {R"("guest_port":-1,"host_port":1,"proto":"tcp")", "guest_port"},
      {R"("proto":"udp","guest_port":80)", "host_port"},
      {R"("proto":"udp","host_port":80)", "guest_port"},
  };
  for (const std::string bad :
       {"\"\"", "\"TCP\"", "\"icmp\"", "\"tcp5\"", "\"tcp46\"", "\"4\"", "1", "null", "true", "[\"tcp\"]"}) {
    rows.push_back({R"("host_port":80,"guest_port":80,"proto":)" + bad, "proto"});
  }
  for (const std::string bad : {"1", "true", "[]", "{}", "\"x\"", "\"localhost\"", "\"256.1.1.1\"",
                                "\"127.1\"", "\"127.0.0.1 \"", "\"127.0.0.1\\u0000\"", "\"[::1]\"", "\":\"",
                                "\"::1::\"", "\"::ffff:127.0.0.1\"", "\"fe80::1%lo\""}) {
    rows.push_back({R"("proto":"tcp","host_port":80,"guest_port":80,"host_addr":)" + bad, "host_addr"});
    rows.push_back({R"("proto":"tcp","host_port":80,"guest_port":80,"guest_addr":)" + bad, "guest_addr"});
  }
  for (const std::string bad : {"-1",
                                "65536",
                                "80.5",
                                "-0.5",
                                "1e300",
                                "-1e300",
                                "9223372036854775808",
                                "18446744073709551616",
                                "4294967376",
                                "null",
                                "true",
                                "[80]",
                                "{}",
                                "\"80\"",
                                "\"\"",
                                "\"-\"",
                                "\"80-\"",
                                "\"-80\"",
                                "\"0-5\"",
                                "\"90-80\"",
                                "\"80-65536\"",
                                "\"80-90 \"",
                                "\" 80-90\"",
                                "\"80-85-90\"",
                                "\"+80-90\"",
                                "\"0x50-90\""}) {
    rows.push_back({R"("proto":"tcp","guest_port":80,"host_port":)" + bad, "host_port"});
    rows.push_back({R"("proto":"tcp","host_port":80,"guest_port":)" + bad, "guest_port"});
  }
  const std::vector<std::string> bad_pairs = {
      R"("host_port":80,"guest_port":0)",           R"("host_port":0,"guest_port":0)",
      R"("host_port":80,"guest_port":"80-81")",     R"("host_port":0,"guest_port":"80-81")",
      R"("host_port":"80-90","guest_port":0)",      R"("host_port":"80-90","guest_port":"80-89")",
      R"("host_port":"80-90","guest_port":"8-19")", R"("host_port":"80-90","guest_port":65526)",
      R"("host_port":"1-65535","guest_port":2)",    R"("host_port":"80-81","guest_port":"80-80")"};
  for (const std::string& ports : bad_pairs) {
    rows.push_back({R"("proto":"tcp",)" + ports, "guest_port"});
  }
  for (const Row& row : rows) {
    CAPTURE(row.arguments);
    CHECK(ask(add(row.arguments)) == error("add_hostfwd: bad arguments." + row.argument));
  }
  for (const std::string arguments : {"null", "1", "[]", "\"x\""}) {
    CAPTURE(arguments);
    CHECK(ask(R"({"execute":"add_hostfwd","arguments":)" + arguments + "}") ==
          error("add_hostfwd: bad arguments.proto"));
  }
  CHECK(ask(R"({"execute":"add_hostfwd"})") == error("add_hostfwd: bad arguments.proto"));
  CHECK(ask(add(R"("proto":"tcp","proto":"udp","host_port":1,"guest_port":1)")) ==
        error("cannot parse JSON"));
  CHECK(forwards.asked.empty());
}

TEST_CASE_FIXTURE(Fixture, "API: add_hostfwd asks for the rule that is meant") {
  struct Row {
    std::string arguments;
    ForwardRule rule;
  };
  const sys::IpAddress any;
  const sys::IpAddress guest = make_ipv4(10, 0, 2, 100);
  const sys::IpAddress loopback = make_ipv4(127, 0, 0, 1);
  const std::string ports = R"("host_port":8080,"guest_port":80)";
  const ForwardRule plain{ForwardProtocol::tcp, {any, 8080}, {guest, 80}, 1};
  const std::vector<Row> rows = {
      {R"("proto":"tcp",)" + ports, plain},
      {R"("proto":"udp",)" + ports, {ForwardProtocol::udp, {any, 8080}, {guest, 80}, 1}},
      {R"("proto":"tcp","host_addr":"127.0.0.1","guest_addr":"10.0.2.15",)" + ports,
       {ForwardProtocol::tcp, {loopback, 8080}, {make_ipv4(10, 0, 2, 15), 80}, 1}},
      {R"("proto":"tcp","host_addr":"","guest_addr":"",)" + ports, plain},
      {R"("proto":"tcp","host_addr":null,"guest_addr":null,)" + ports, plain},
      {R"("proto":"tcp","unknown":{"x":[1]},)" + ports, plain},
      {R"("proto":"tcp","host_port":8080.0,"guest_port":8e1)", plain},
      {R"("proto":"tcp","host_port":1,"guest_port":65535)",
       {ForwardProtocol::tcp, {any, 1}, {guest, 65535}, 1}},
      {R"("proto":"tcp","host_port":0,"guest_port":80)", {ForwardProtocol::tcp, {any, 0}, {guest, 80}, 1}},
      {R"("proto":"tcp","host_port":"8000-8010","guest_port":80)",
       {ForwardProtocol::tcp, {any, 8000}, {guest, 80}, 11}},
      {R"("proto":"udp","host_port":"8000-8010","guest_port":"90-100")",
       {ForwardProtocol::udp, {any, 8000}, {guest, 90}, 11}},
      {R"("proto":"tcp","host_port":"80-80","guest_port":"81-81")",
       {ForwardProtocol::tcp, {any, 80}, {guest, 81}, 1}},
      {R"("proto":"tcp","host_port":80,"guest_port":"81-81")",
       {ForwardProtocol::tcp, {any, 80}, {guest, 81}, 1}},
      {R"("proto":"tcp","host_port":"1-65535","guest_port":1)",
       {ForwardProtocol::tcp, {any, 1}, {guest, 1}, 65535}},
      {R"("proto":"tcp","host_port":"80-90","guest_port":65525)",
       {ForwardProtocol::tcp, {any, 80}, {guest, 65525}, 11}},
  };
  std::uint32_t id = 1;
  for (const Row& row : rows) {
    CAPTURE(row.arguments);
    forwards.asked.clear();
    const bool chosen = row.rule.host.port == 0;
    CHECK(ask(add(row.arguments)) ==
          fmt::format(R"({{"return":{{"id":{}{}}}}})", id, chosen ? R"(,"host_port":40001)" : ""));
    CHECK(forwards.asked == std::vector{row.rule});
    ++id;
  }
}

TEST_CASE_FIXTURE(Fixture, "API: the guest of a forward that names none is the context's") {
  CHECK(answer_api_request(add(R"("proto":"tcp","host_port":1,"guest_port":2)"),
                           {forwards, make_ipv4(192, 168, 77, 228), std::nullopt, log}) ==
        R"({"return":{"id":1}})");
  REQUIRE(forwards.asked.size() == 1);
  CHECK(forwards.asked[0].guest == sys::Endpoint{make_ipv4(192, 168, 77, 228), 2});
}

TEST_CASE_FIXTURE(Fixture, "API: families of add_hostfwd") {
  const struct {
    std::string arguments;
    std::string with;     // the two addresses when the guest has IPv6, or the bad argument
    std::string without;  // and when it has none
  } rows[] = {
      {R"("proto":"tcp4")", "0.0.0.0 10.0.2.100", "0.0.0.0 10.0.2.100"},
      {R"("proto":"tcp6")", ":: fd00::100", ":: 10.0.2.100"},
      {R"("proto":"tcp6","host_addr":"","guest_addr":null)", ":: fd00::100", ":: 10.0.2.100"},
      {R"("proto":"tcp","host_addr":"::")", ":: fd00::100", ":: 10.0.2.100"},
      {R"("proto":"tcp","host_addr":"::1")", "::1 fd00::100", "::1 10.0.2.100"},
      {R"("proto":"tcp6","host_addr":"2001:DB8:0::1")", "2001:db8::1 fd00::100", "2001:db8::1 10.0.2.100"},
      {R"("proto":"tcp","host_addr":"::1","guest_addr":"10.0.2.7")", "::1 10.0.2.7", "::1 10.0.2.7"},
      {R"("proto":"tcp6","guest_addr":"10.0.2.7")", ":: 10.0.2.7", ":: 10.0.2.7"},
      {R"("proto":"tcp","guest_addr":"fd00::7")", "0.0.0.0 fd00::7", "guest_addr"},
      {R"("proto":"tcp4","guest_addr":"fd00::7")", "0.0.0.0 fd00::7", "guest_addr"},
      {R"("proto":"tcp6","guest_addr":"fd00::7")", ":: fd00::7", "guest_addr"},
      {R"("proto":"tcp4","host_addr":"::1")", "host_addr", "host_addr"},
      {R"("proto":"tcp6","host_addr":"127.0.0.1")", "host_addr", "host_addr"},
      {R"("proto":"tcp6","host_addr":"::ffff:127.0.0.1")", "host_addr", "host_addr"},
  };
  for (const auto& row : rows) {
    for (const bool with : {true, false}) {
      CAPTURE(row.arguments);
      CAPTURE(with);
      const std::string& expected = with ? row.with : row.without;
      const bool good = expected.find(' ') != std::string::npos;
      Fixture fixture;
      fixture.guest6 = with ? fixture.guest6 : std::nullopt;
      const std::string reply = fixture.ask(add(row.arguments + R"(,"host_port":80,"guest_port":81)"));
      CHECK(reply == (good ? R"({"return":{"id":1}})" : error("add_hostfwd: bad arguments." + expected)));
      REQUIRE(fixture.forwards.asked.size() == (good ? 1 : 0));
      if (good) {
        const ForwardRule& rule = fixture.forwards.asked[0];
        CHECK(sys::to_string(rule.host.address) + " " + sys::to_string(rule.guest.address) == expected);
      }
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "API: list_hostfwd names a protocol as it was asked for") {
  const struct {
    std::string protocol;
    std::string host;
    std::string guest;
  } rows[] = {
      {"tcp", "127.0.0.1", "10.0.2.100"},  {"udp", "::1", "fd00::100"}, {"tcp4", "127.0.0.1", "fd00::7"},
      {"udp4", "127.0.0.1", "10.0.2.100"}, {"tcp6", "::", "10.0.2.7"},  {"udp6", "::1", "fd00::7"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.protocol);
    Fixture fixture;
    const std::string arguments =
        fmt::format(R"("proto":"{}","host_addr":"{}","host_port":1,"guest_addr":"{}","guest_port":2)",
                    row.protocol, row.host, row.guest);
    fixture.ask(add(arguments));
    CHECK(fixture.ask(kList) == listing(entry(R"("id":1,)" + arguments)));
  }
}

TEST_CASE_FIXTURE(Fixture, "API: a forward that cannot be made") {
  forwards.fails_with = EADDRINUSE;
  CHECK(ask(add(R"("proto":"tcp","host_port":"80-81","guest_port":90)")) ==
        error("add_hostfwd: slirp_add_hostfwd failed"));
  CHECK(stderr_pipe.take() ==
        "warning: cannot forward tcp 0.0.0.0:80 to 10.0.2.100:90: cannot listen: Address already in use\n");
  forwards.throws = true;
  CHECK(ask(add(R"("proto":"tcp","host_port":80,"guest_port":90)")) == error("cannot parse JSON"));
  CHECK(stderr_pipe.take() == "error: an API request failed: no memory\n");
}

TEST_CASE_FIXTURE(Fixture, "API: list_hostfwd, in both forms at once") {
  CHECK(ask(kList) == listing(""));
  CHECK(ask(R"({"execute":"list_hostfwd","arguments":1})") == listing(""));
  ask(add(R"("proto":"tcp","host_port":8080,"guest_port":80)"));
  ask(add(R"("proto":"udp","host_addr":"127.0.0.1","host_port":"8000-8010","guest_addr":"10.0.2.7",)"
          R"("guest_port":90)"));
  ask(add(R"("proto":"tcp","host_port":0,"guest_port":80)"));
  const std::string first =
      entry(R"("id":1,"proto":"tcp","host_addr":"0.0.0.0","host_port":8080,"guest_addr":"10.0.2.100",)"
            R"("guest_port":80)");
  const std::string second =
      entry(R"("id":2,"proto":"udp","host_addr":"127.0.0.1","host_port":"8000-8010","guest_addr":"10.0.2.7",)"
            R"("guest_port":"90-100")");
  const std::string third =
      entry(R"("id":3,"proto":"tcp","host_addr":"0.0.0.0","host_port":40001,"guest_addr":"10.0.2.100",)"
            R"("guest_port":80)");
  CHECK(ask(kList) == listing(first + "," + second + "," + third));
}

TEST_CASE_FIXTURE(Fixture, "API: remove_hostfwd") {
  const auto remove = [this](const std::string& arguments) {
    return ask(R"({"execute":"remove_hostfwd")" + arguments + "}");
  };
  ask(add(R"("proto":"tcp","host_port":1,"guest_port":1)"));
  ask(add(R"("proto":"tcp","host_port":2,"guest_port":2)"));
  for (const std::string bad :
       {"", R"(,"arguments":1)", R"(,"arguments":{})", R"(,"arguments":{"id":null})",
        R"(,"arguments":{"id":"1"})", R"(,"arguments":{"id":1.5})", R"(,"arguments":{"id":0})",
        R"(,"arguments":{"id":-1})", R"(,"arguments":{"id":3})", R"(,"arguments":{"id":1e300})",
        R"(,"arguments":{"id":4294967297})", R"(,"arguments":{"id":[1]})", R"(,"arguments":{"id":true})"}) {
    CAPTURE(bad);
    CHECK(remove(bad) == error("remove_hostfwd: bad arguments.id"));
  }
  REQUIRE(forwards.forwards.size() == 2);
  CHECK(remove(R"(,"arguments":{"id":1})") == R"({"return":{}})");
  REQUIRE(forwards.forwards.size() == 1);
  CHECK(forwards.forwards[0].id == 2);
  CHECK(remove(R"(,"arguments":{"id":1})") == error("remove_hostfwd: bad arguments.id"));
}

TEST_CASE("API: statistics of the moment") {
  Fixture f;
  f.stats.network.in_use.tcp_flows = 7;
  CHECK(f.ask(kStats).starts_with(R"({"return":{"limits":{"tcp_flows":16384,)"));
  CHECK(f.ask(kStats).find(R"("in_use":{"tcp_flows":7,)") != std::string::npos);
  f.stats.network.in_use.tcp_flows = 8;
  CHECK(f.ask(kStats).find(R"("in_use":{"tcp_flows":8,)") != std::string::npos);
  CHECK(f.ask(R"({"execute":"stats","arguments":{"any":1}})") == f.ask(kStats));
}

}  // namespace l4n::cli
