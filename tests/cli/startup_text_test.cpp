#include "cli/startup_text.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/cli/command_line.hpp"

namespace l4n::cli {
namespace {

const std::string kDefaultNetwork =
    "* Network:         10.0.2.0\n"
    "* Netmask:         255.255.255.0\n"
    "* Gateway:         10.0.2.2\n"
    "* DNS:             10.0.2.3\n"
    "* DHCP begin:      10.0.2.15\n"
    "* DHCP end:        10.0.2.30\n"
    "* Recommended IP:  10.0.2.100\n";

const std::string kLoopbackWarning =
    "WARNING: 127.0.0.1:* on the host is accessible as 10.0.2.2 "
    "(set --disable-host-loopback to prohibit connecting to 127.0.0.1:*)\n";

const std::string kDefaultNetwork6 =
    "* IPv6 Prefix:     fd00::/64\n"
    "* IPv6 Gateway:    fd00::2\n"
    "* IPv6 DNS:        fd00::3\n"
    "* IPv6 Guest:      fd00::100\n";

const std::string kLoopbackWarning6 =
    "WARNING: [::1]:* on the host is accessible as fd00::2 "
    "(set --disable-host-loopback to prohibit connecting to [::1]:*)\n";

struct Row {
  std::string line;
  std::string text;
};

}  // namespace

TEST_CASE("startup text") {
  const std::vector<Row> rows = {
      {"prog 1 t", "Starting slirp\n* MTU:             1500\n" + kDefaultNetwork + kLoopbackWarning},
      {"prog --disable-host-loopback -m 65521 1 t",
       "Starting slirp\n* MTU:             65521\n" + kDefaultNetwork},
      {"prog --disable-dns --disable-host-loopback 1 t",
       "Starting slirp\n* MTU:             1500\n" + kDefaultNetwork},
      {"prog --cidr=10.9.0.0/16 -a /run/s -c --macaddress=AA:bb:cc:dd:ee:f 1 t",
       "Starting slirp\n"
       "* MTU:             1500\n"
       "* Network:         10.9.0.0\n"
       "* Netmask:         255.255.0.0\n"
       "* Gateway:         10.9.0.2\n"
       "* DNS:             10.9.0.3\n"
       "* DHCP begin:      10.9.0.15\n"
       "* DHCP end:        10.9.0.30\n"
       "* Recommended IP:  10.9.0.100\n"
       "* API Socket:      /run/s\n"
       "* MAC address:     aa:bb:cc:dd:ee:0f\n"
       "WARNING: 127.0.0.1:* on the host is accessible as 10.9.0.2 "
       "(set --disable-host-loopback to prohibit connecting to 127.0.0.1:*)\n"},
      {"prog -c --macaddress=2:0:0:0:0:1 --outbound-addr6=::1 --outbound-addr=192.0.2.7 -a /s 1 t",
       "Starting slirp\n* MTU:             1500\n" + kDefaultNetwork +
           "* API Socket:      /s\n"
           "* Outbound IPv4:   192.0.2.7\n"
           "* Outbound IPv6:   ::1\n"
           "* MAC address:     02:00:00:00:00:01\n" +
           kLoopbackWarning},
      {"prog -6 1 t", "Starting slirp\n* MTU:             1500\n" + kDefaultNetwork + kDefaultNetwork6 +
                          kLoopbackWarning + kLoopbackWarning6},
      {"prog -6 --disable-host-loopback -a /s 1 t", "Starting slirp\n* MTU:             1500\n" +
                                                        kDefaultNetwork + kDefaultNetwork6 +
                                                        "* API Socket:      /s\n"},
      {"prog -6 --disable-host-loopback --cidr6=fd01:2:3:4:5:6:7:800/120 1 t",
       "Starting slirp\n* MTU:             1500\n" + kDefaultNetwork +
           "* IPv6 Prefix:     fd01:2:3:4:5:6:7:800/120\n"
           "* IPv6 Gateway:    fd01:2:3:4:5:6:7:802\n"
           "* IPv6 DNS:        fd01:2:3:4:5:6:7:803\n"
           "* IPv6 Guest:      fd01:2:3:4:5:6:7:864\n"},
      {"prog --disable-host-loopback --cidr6=fd07::/64 1 t",
       "Starting slirp\n* MTU:             1500\n" + kDefaultNetwork},
      {"prog --disable-host-loopback --cidr=10.0.2.128/25 1 t",
       "Starting slirp\n"
       "* MTU:             1500\n"
       "* Network:         10.0.2.128\n"
       "* Netmask:         255.255.255.128\n"
       "* Gateway:         10.0.2.130\n"
       "* DNS:             10.0.2.131\n"
       "* DHCP begin:      10.0.2.143\n"
       "* DHCP end:        10.0.2.158\n"
       "* Recommended IP:  10.0.2.228\n"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.line);
    const ParseOutcome outcome = test::parse_line(row.line);
    REQUIRE(outcome.options.has_value());
    CHECK(startup_text(*outcome.options) == row.text);
  }
}

TEST_CASE("startup text: every value starts in column 20") {
  const ParseOutcome outcome =
      test::parse_line("prog -c -6 --macaddress=2:0:0:0:0:1 --outbound-addr=lo -a /s 1 t");
  REQUIRE(outcome.options.has_value());
  for (std::string text = startup_text(*outcome.options); !text.empty(); text.erase(0, text.find('\n') + 1)) {
    if (text.starts_with("* ")) {
      CAPTURE(text);
      CHECK(text[18] == ' ');
      CHECK(text[19] != ' ');
    }
  }
}

}  // namespace l4n::cli
