#include "cli/options.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/option_table.hpp"
#include "tests/cli/command_line.hpp"

namespace l4n::cli {
namespace {

using test::parse_line;

// The options of a command line that must be good and silent.
Options good(std::string_view line) {
  CAPTURE(std::string(line));
  ParseOutcome outcome = parse_line(line);
  CHECK(outcome.out.empty());
  CHECK(outcome.err.empty());
  REQUIRE(outcome.options.has_value());
  return *outcome.options;
}

sys::Ipv6Network network6(std::string_view address, unsigned prefix) {
  return {sys::parse_ipv6(address).value(), prefix};
}

struct Refused {
  std::string line;
  std::string err;  // without the newline at the end
  bool usage;       // stdout is the usage, else nothing
};

void check_refused(const Refused& row) {
  CAPTURE(row.line);
  const ParseOutcome outcome = parse_line(row.line);
  CHECK_FALSE(outcome.options.has_value());
  CHECK(outcome.exit_code == 1);
  CHECK(outcome.err == (row.err.empty() ? "" : row.err + "\n"));
  CHECK(outcome.out == (row.usage ? usage_text("prog") : ""));
}

void check_all_refused(const std::vector<Refused>& rows) {
  for (const Refused& row : rows) {
    check_refused(row);
  }
}

const std::string kNoHostLoopbackWarning =
    "WARNING: --no-host-loopback is deprecated and will be removed in future releases, "
    "please use --disable-host-loopback instead.\n";
const std::string kCreateSandboxWarning =
    "WARNING: --create-sandbox is deprecated and will be removed in future releases, "
    "please use --enable-sandbox instead.\n";
const std::string kTooManyWarning = "WARNING: too many arguments\n";
const std::string kMacForm =
    "\nmacaddress has to be a valid MAC address (hex string, 6 bytes, each byte separated by a ':').";

}  // namespace

TEST_CASE("options: defaults") {
  const Options o = good("prog 42 tap0");
  CHECK(o.pid == 42);
  CHECK(o.tapname == "tap0");
  CHECK(o.netns_type == NetnsType::pid);
  CHECK(o.target_type == TargetType::netns);
  CHECK_FALSE(o.configure);
  CHECK_FALSE(o.exit_fd.has_value());
  CHECK_FALSE(o.ready_fd.has_value());
  CHECK(o.mtu == 1500);
  CHECK_FALSE(o.enable_ipv6);
  CHECK_FALSE(o.api_socket.has_value());
  CHECK(o.cidr == sys::Ipv4Network{sys::make_ipv4(10, 0, 2, 0), 24});
  CHECK(o.cidr6 == network6("fd00::", 64));
  CHECK_FALSE(o.disable_host_loopback);
  CHECK_FALSE(o.userns_path.has_value());
  CHECK_FALSE(o.enable_sandbox);
  CHECK_FALSE(o.enable_seccomp);
  CHECK_FALSE(o.outbound_addr.has_value());
  CHECK_FALSE(o.outbound_addr6.has_value());
  CHECK_FALSE(o.disable_dns);
  CHECK_FALSE(o.macaddress.has_value());
  CHECK(o.limits == nat::Limits{});
}

TEST_CASE("options: each option is understood") {
  const stack::MacAddress mac{0x02, 0xab, 0, 0x0c, 0xdd, 0xff};
  struct Row {
    std::string line;
    std::function<bool(const Options&)> holds;
  };
  const std::vector<Row> rows = {
      {"prog -c 1 t", [](const Options& o) { return o.configure; }},
      {"prog --configure 1 t", [](const Options& o) { return o.configure; }},
      {"prog -e 0 1 t", [](const Options& o) { return o.exit_fd == 0; }},
      {"prog --exit-fd=4 1 t", [](const Options& o) { return o.exit_fd == 4; }},
      {"prog -r3 1 t", [](const Options& o) { return o.ready_fd == 3; }},
      {"prog --ready-fd 2147483647 1 t", [](const Options& o) { return o.ready_fd == 2147483647; }},
      {"prog -e +7 1 t", [](const Options& o) { return o.exit_fd == 7; }},
      {"prog -m 68 1 t", [](const Options& o) { return o.mtu == 68; }},
      {"prog --mtu=65521 1 t", [](const Options& o) { return o.mtu == 65521; }},
      {"prog --mtu=01500 1 t", [](const Options& o) { return o.mtu == 1500; }},
      {"prog -m 1280 -6 1 t", [](const Options& o) { return o.mtu == 1280 && o.enable_ipv6; }},
      {"prog -m 1 -m 1400 1 t", [](const Options& o) { return o.mtu == 1400; }},
      {"prog --enable-ipv6 1 t", [](const Options& o) { return o.enable_ipv6; }},
      {"prog -a /s 1 t", [](const Options& o) { return o.api_socket == "/s"; }},
      {"prog --api-socket=" + std::string(107, 'a') + " 1 t",
       [](const Options& o) { return o.api_socket == std::string(107, 'a'); }},
      {"prog --disable-host-loopback 1 t", [](const Options& o) { return o.disable_host_loopback; }},
      {"prog --netns-type=pid 1 t",
       [](const Options& o) { return o.netns_type == NetnsType::pid && o.pid == 1; }},
      {"prog --netns-type=path / t",
       [](const Options& o) {
         return o.netns_type == NetnsType::path && o.netns_path == "/" && o.tapname == "t";
       }},
      {"prog --netns-type=tapfd 5",
       [](const Options& o) {
         return o.netns_type == NetnsType::tapfd && o.tapfd == 5 && o.tapname.empty();
       }},
      {"prog --userns-path=/dev/null 1 t", [](const Options& o) { return o.userns_path == "/dev/null"; }},
      {"prog --enable-sandbox 1 t", [](const Options& o) { return o.enable_sandbox && !o.enable_seccomp; }},
      {"prog --enable-seccomp 1 t", [](const Options& o) { return o.enable_seccomp && !o.enable_sandbox; }},
      {"prog --outbound-addr=192.0.2.7 1 t",
       [](const Options& o) {
         return o.outbound_addr->text == "192.0.2.7" && o.outbound_addr->interface_name.empty() &&
                o.outbound_addr->address == sys::IpAddress(sys::make_ipv4(192, 0, 2, 7));
       }},
      {"prog --outbound-addr=lo 1 t",
       [](const Options& o) {
         return o.outbound_addr->text == "lo" && o.outbound_addr->interface_name == "lo" &&
                !o.outbound_addr->address;
       }},
      {"prog --outbound-addr6=2001:db8::7 1 t",
       [](const Options& o) {
         return o.outbound_addr6->text == "2001:db8::7" && o.outbound_addr6->interface_name.empty() &&
                o.outbound_addr6->address == sys::parse_ip("2001:db8::7");
       }},
      {"prog --outbound-addr6=lo 1 t",
       [](const Options& o) {
         return o.outbound_addr6->interface_name == "lo" && !o.outbound_addr6->address;
       }},
      {"prog --disable-dns 1 t", [](const Options& o) { return o.disable_dns; }},
      {"prog -c --macaddress=02:AB:0:c:dd:ff 1 t", [mac](const Options& o) { return o.macaddress == mac; }},
      {"prog --macaddress=02:ab:00:0c:dd:ff -c 1 t", [mac](const Options& o) { return o.macaddress == mac; }},
      {"prog --target-type=netns 1 t", [](const Options& o) { return o.target_type == TargetType::netns; }},
      {"prog --target-type=bess /s",
       [](const Options& o) { return o.target_type == TargetType::bess && o.bess_socket == "/s"; }},
      {"prog 2147483647 fifteen-letters", [](const Options& o) { return o.pid == 2147483647; }},
  };
  for (const Row& row : rows) {
    CAPTURE(row.line);
    CHECK(row.holds(good(row.line)));
  }
}

TEST_CASE("options: forms that getopt_long allows") {
  const std::vector<std::string> lines = {
      "prog -c -6 -m 1400 -r 3 42 tap0",
      "prog -c6m1400 -r3 42 tap0",
      "prog 42 tap0 -c -6 -m 1400 -r 3",
      "prog 42 -c tap0 -6 -m 1400 -r 3",
      "prog --conf --enable-i --mt=1400 --rea 3 42 tap0",
      "prog -c -6 -m 1400 -r 3 -- 42 tap0",
      "prog --configure --enable-ipv6 --mtu 1400 --ready-fd=3 42 tap0",
  };
  for (const std::string& line : lines) {
    CAPTURE(line);
    const Options o = good(line);
    CHECK(o.configure);
    CHECK(o.enable_ipv6);
    CHECK(o.mtu == 1400);
    CHECK(o.ready_fd == 3);
    CHECK(o.pid == 42);
    CHECK(o.tapname == "tap0");
  }
}

TEST_CASE("options: what abbreviates --cidr is not taken for --cidr6") {
  for (const std::string name : {"cidr", "cid", "ci"}) {
    CAPTURE(name);
    const Options o = good("prog --" + name + "=10.9.0.0/16 1 t");
    CHECK(o.cidr == sys::Ipv4Network{sys::make_ipv4(10, 9, 0, 0), 16});
  }
}

TEST_CASE("options: what abbreviates --macaddress is not taken for --max-tcp-flows") {
  for (const std::string name : {"ma", "mac"}) {
    CAPTURE(name);
    CHECK(good("prog -c --" + name + "=2:0:0:0:0:1 1 t").macaddress.has_value());
  }
}

TEST_CASE("options: what abbreviates --target-type is not taken for --tcp-keepalive") {
  CHECK(good("prog --t=bess /s").target_type == TargetType::bess);
}

TEST_CASE("options: sizes") {
  struct Row {
    std::string text;
    std::size_t size;  // 0: refused
  };
  const std::vector<Row> rows = {
      {"1048576", 1048576},
      {"1024K", 1048576},
      {"1M", 1048576},
      {"192m", 192U << 20U},
      {"1G", 1U << 30U},
      {"2097153", 2097153},
      {"1048575", 0},
      {"1023K", 0},
      {"0", 0},
      {"", 0},
      {"M", 0},
      {"-1M", 0},
      {"1.5M", 0},
      {"1 M", 0},
      {" 1M", 0},
      {"1MiB", 0},
      {"1T", 0},
      {"16777216G", 0},
      {"99999999999999999999", 0},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const auto size = parse_memory_limit(row.text);
    CHECK(size.has_value() == (row.size != 0));
    CHECK((size ? *size : 0) == row.size);
  }
}

TEST_CASE("options: limits") {
  CHECK(good("prog --max-tcp-flows=1 1 t").limits.tcp_flows == 1);
  CHECK(good("prog --max-tcp-flows=1048576 1 t").limits.tcp_flows == 1048576);
  CHECK(good("prog --max-tcp-attempts 7 1 t").limits.tcp_attempts == 7);
  CHECK(good("prog --max-udp-flows=100 1 t").limits.udp_flows == 100);
  CHECK(good("prog --tcp-keepalive=60 1 t").limits.tcp_keepalive == std::chrono::seconds(60));
  CHECK(good("prog --tcp-keepalive=0 1 t").limits.tcp_keepalive == sys::Duration::zero());
  CHECK(good("prog --memory-limit=64M 1 t").limits.memory == std::size_t{64} << 20U);
  const std::string form = " must be a number from 1 to 1048576, not ";
  check_all_refused({
      {"prog --max-tcp-flows=0 1 t", "max-tcp-flows" + form + "0", false},
      {"prog --max-tcp-flows=1048577 1 t", "max-tcp-flows" + form + "1048577", false},
      {"prog --max-tcp-flows=99999999999999999999 1 t", "max-tcp-flows" + form + "99999999999999999999",
       false},
      {"prog --max-tcp-flows=many 1 t", "max-tcp-flows" + form + "many", false},
      {"prog --max-tcp-attempts=-1 1 t", "max-tcp-attempts" + form + "-1", false},
      {"prog --max-udp-flows= 1 t", "max-udp-flows" + form, false},
      {"prog --tcp-keepalive=-1 1 t", "tcp-keepalive must be a number of seconds, 0 for never, not -1",
       false},
      {"prog --tcp-keepalive=2h 1 t", "tcp-keepalive must be a number of seconds, 0 for never, not 2h",
       false},
      {"prog --memory-limit=lots 1 t", "memory-limit must be a size of at least 1M, such as 192M, not lots",
       false},
  });
}

TEST_CASE("options: an exact name wins over those that it begins") {
  const Options o = good("prog --outbound-addr=192.0.2.1 1 t");
  CHECK(o.outbound_addr.has_value());
  CHECK_FALSE(o.outbound_addr6.has_value());
}

TEST_CASE("options: what getopt refuses") {
  check_all_refused({
      {"prog --bogus 1 t", "prog: unrecognized option '--bogus'", true},
      {"prog --bogus=7 1 t", "prog: unrecognized option '--bogus=7'", true},
      {"prog 1 t --bogus", "prog: unrecognized option '--bogus'", true},
      {"prog -Z", "prog: invalid option -- 'Z'", true},
      {"prog -cZ", "prog: invalid option -- 'Z'", true},
      {"prog -m", "prog: option requires an argument -- 'm'", true},
      {"prog -cm", "prog: option requires an argument -- 'm'", true},
      {"prog --mtu", "prog: option '--mtu' requires an argument", true},
      {"prog --mt", "prog: option '--mtu' requires an argument", true},
      {"prog --cidr", "prog: option '--cidr' requires an argument", true},
      {"prog --configure=3", "prog: option '--configure' doesn't allow an argument", true},
      {"prog --c=3", "prog: option '--c=3' is ambiguous; possibilities: '--configure' '--cidr' '--cidr6'",
       true},
      {"prog --e=3",
       "prog: option '--e=3' is ambiguous; possibilities: "
       "'--exit-fd' '--enable-ipv6' '--enable-sandbox' '--enable-seccomp'",
       true},
      {"prog --disable 1 t",
       "prog: option '--disable' is ambiguous; possibilities: '--disable-host-loopback' '--disable-dns'",
       true},
      {"prog --bogus -m 0", "prog: unrecognized option '--bogus'", true},
  });
}

TEST_CASE("options: descriptors and MTU") {
  const std::string exit_fd = "exit-fd must be a non-negative integer";
  const std::string ready_fd = "ready-fd must be a non-negative integer";
  const std::string mtu = "MTU must be a positive integer (< 65522)";
  check_all_refused({
      {"prog -e x 1 t", exit_fd, true},
      {"prog -e -1 1 t", exit_fd, true},
      {"prog --exit-fd= 1 t", exit_fd, true},
      {"prog -e 3x 1 t", exit_fd, true},
      {"prog -e 0x10 1 t", exit_fd, true},
      {"prog -e 2147483648 1 t", exit_fd, true},
      {"prog -e 99999999999999999999 1 t", exit_fd, true},
      {"prog -e 3 -e x 1 t", exit_fd, true},
      {"prog -r x 1 t", ready_fd, true},
      {"prog --ready-fd=-1 1 t", ready_fd, true},
      {"prog --ready-fd= 1 t", ready_fd, true},
      {"prog -m 0 1 t", mtu, true},
      {"prog -m -5 1 t", mtu, true},
      {"prog -m abc 1 t", mtu, true},
      {"prog --mtu= 1 t", mtu, true},
      {"prog -m 65522 1 t", mtu, true},
      {"prog -m 4294968000 1 t", mtu, true},
      {"prog 1 t -m 0", mtu, true},
      {"prog -m 67 1 t", "MTU must be at least 68", true},
      {"prog -m 1279 -6 1 t", "MTU must be at least 1280 with --enable-ipv6", true},
      {"prog -6 -m 67 1 t", "MTU must be at least 68", true},
  });
}

TEST_CASE("options: API socket") {
  check_all_refused({
      {"prog -a " + std::string(108, 'a') + " 1 t", "the specified API socket path is too long (>= 108)",
       false},
      {"prog --api-socket= 1 t", "the specified API socket path is empty", false},
  });
}

TEST_CASE("options: CIDR that is good") {
  struct Row {
    std::string text;
    sys::Ipv4Network network;
  };
  const std::vector<Row> rows = {
      {"10.0.2.0/24", {sys::make_ipv4(10, 0, 2, 0), 24}},
      {"10.9.0.0/16", {sys::make_ipv4(10, 9, 0, 0), 16}},
      {"10.0.2.0/25", {sys::make_ipv4(10, 0, 2, 0), 25}},
      {"10.0.2.128/25", {sys::make_ipv4(10, 0, 2, 128), 25}},
      {"128.0.0.0/1", {sys::make_ipv4(128, 0, 0, 0), 1}},
      {"10.0.0.0/08", {sys::make_ipv4(10, 0, 0, 0), 8}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CHECK(good("prog --cidr=" + row.text + " 1 t").cidr == row.network);
  }
}

TEST_CASE("options: CIDR that is refused, in this order of checks") {
  const std::string prefix = "prefix length needs to be 1-25";
  const std::string host_bits = "CIDR needs to be a network address like 10.0.2.0/24, not like 10.0.2.100/24";
  for (const char* text : {"x",
                           "",
                           "10.0.2.0",
                           "10.0.2.0/",
                           "10.0.2/24",
                           "10/8",
                           "/24",
                           "10.0.2.0/x",
                           "10.0.2.0/24x",
                           "10.0.2.0/-1",
                           "10.0.2.0/+24",
                           "10.0.2.0/024",
                           "10.0.2.0//24",
                           "10.0.2.0/24/5",
                           "10.0.2.0.0/24",
                           "10.0.2.0./24",
                           "10..2.0/24",
                           "1000.0.0.0/24",
                           "0x10.0.0.0/8",
                           "a.b.c.d/99",
                           "fd00::/64",
                           "10.0.2.0/100",
                           "10.0.2.0/4294967320"}) {
    check_refused({std::string("prog --cidr=") + text + " 1 t", std::string("invalid CIDR: ") + text, false});
  }
  check_all_refused({
      {"prog --cidr=300.0.0.0/24 1 t", "invalid network address: 300.0.0.0", false},
      {"prog --cidr=010.0.2.0/24 1 t", "invalid network address: 010.0.2.0", false},
      {"prog --cidr=300.0.0.0/99 1 t", "invalid network address: 300.0.0.0", false},
      {"prog --cidr=10.0.2.0/0 1 t", prefix, false},
      {"prog --cidr=10.0.2.0/00 1 t", prefix, false},
      {"prog --cidr=10.0.2.0/26 1 t", prefix, false},
      {"prog --cidr=10.0.2.0/99 1 t", prefix, false},
      {"prog --cidr=10.0.2.100/26 1 t", prefix, false},
      {"prog --cidr=10.0.2.100/24 1 t", host_bits, false},
      {"prog --cidr=10.0.2.0/01 1 t", host_bits, false},
  });
}

TEST_CASE("options: IPv6 CIDR that is good") {
  struct Row {
    std::string text;
    sys::Ipv6Network network;
  };
  const std::vector<Row> rows = {
      {"fd00::/64", network6("fd00::", 64)},
      {"fd00:1:2:3::/064", network6("fd00:1:2:3::", 64)},
      {"2001:db8:0:0:0:0:0:0/65", network6("2001:db8::", 65)},
      {"FD00::A:0/112", network6("fd00::a:0", 112)},
      {"fd00::100/120", network6("fd00::100", 120)},
      {"fec0::/64", network6("fec0::", 64)},
      {"64:ff9b::/96", network6("64:ff9b::", 96)},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const Options o = good("prog -6 --cidr6=" + row.text + " 1 t");
    CHECK(o.cidr6 == row.network);
    CHECK(o.enable_ipv6);
  }
  const Options without = good("prog --cidr6=fd07::/64 1 t");
  CHECK(without.cidr6 == network6("fd07::", 64));
  CHECK_FALSE(without.enable_ipv6);
}

TEST_CASE("options: IPv6 CIDR that is refused, in this order of checks") {
  const std::string prefix = "IPv6 prefix length needs to be 64-120";
  const std::string host_bits =
      "IPv6 CIDR needs to be a network address like fd00::/64, not like fd00::100/64";
  for (const char* text : {"x", "", "/64", "fd00::", "fd00::/", "fd00::/x", "fd00::/64x", "fd00::/-1",
                           "fd00::/+64", "fd00::/0064", "fd00::/64/64", "fd00::%lo/64", "fd00::1::/64",
                           "[fd00::]/64", "10.0.2.0/24", "fd00::/4294967360"}) {
    check_refused(
        {std::string("prog -6 --cidr6=") + text + " 1 t", std::string("invalid IPv6 CIDR: ") + text, false});
  }
  for (const char* text : {"fd00::/0", "fd00::/63", "fd00::/121", "fd00::/128", "fd00::/999", "::/0"}) {
    check_refused({std::string("prog -6 --cidr6=") + text + " 1 t", prefix, false});
  }
  for (const char* text : {"::/64", "::/96", "::ffff:0:0/96", "::ffff:10.0.2.0/120", "::1/120", "ff02::/64",
                           "ff00::/120", "fe80::/64", "fe80::1:0/112", "febf:ffff::/64"}) {
    check_refused({std::string("prog -6 --cidr6=") + text + " 1 t",
                   std::string("IPv6 CIDR needs to be of ordinary unicast addresses, unlike ") + text,
                   false});
  }
  for (const char* text : {"fd00::1/64", "fd00:0:0:0:8000::/64", "fd00::100/119", "fd00::80/120"}) {
    check_refused({std::string("prog --cidr6=") + text + " 1 t", host_bits, false});
  }
}

TEST_CASE("options: outbound addresses that are refused") {
  const std::string v4 = "outbound-addr has to be valid ipv4 address or interface name.";
  const std::string v6 = "outbound-addr6 has to be valid ipv6 address or interface name.";
  for (const char* text : {"", "no-such-if", "1.2.3", "01.2.3.4", "a-very-long-interface-name"}) {
    check_refused({std::string("prog --outbound-addr=") + text + " 1 t", v4, false});
    check_refused({std::string("prog --outbound-addr6=") + text + " 1 t", v6, false});
  }
  check_refused({"prog --outbound-addr=::1 1 t", v4, false});
  check_refused({"prog --outbound-addr6=1.2.3.4 1 t", v6, false});
}

TEST_CASE("options: MAC addresses that are refused") {
  for (const char* text : {"", "aa", "aa:bb:cc:dd:ee", "aa:bb:cc:dd:ee:", "aa:bb:cc:dd:ee:fg",
                           "aa-bb-cc-dd-ee-ff", "aaa:b:c:d:e:f", "aa:bb:cc:dd:ee:ff0", "aabbccddeeff",
                           "::::::", "aa:bb:cc:dd:ee:-1", "aa:bb:cc:dd:ee:ffx", "aa:bb:cc:dd:ee:0x1"}) {
    check_refused({std::string("prog -c --macaddress=") + text + " 1 t",
                   std::string("\"") + text + "\" is an invalid MAC address." + kMacForm, false});
  }
  for (const char* text : {"aa:bb:cc:dd:ee:ff:00", "aa:bb:cc:dd:ee:ff:", "a:b:c:d:e:f:g"}) {
    check_refused({std::string("prog -c --macaddress=") + text + " 1 t",
                   std::string("\"") + text + "\" is an invalid MAC address.  Is it too long?" + kMacForm,
                   false});
  }
  const std::string needs_configure = "--macaddr cannot be specified when --configure or -c is not specified";
  check_refused({"prog --macaddress=02:00:00:00:00:01 1 t", needs_configure, true});
  check_refused({"prog --macaddress=x", needs_configure, true});
}

TEST_CASE("options: what names the target") {
  const std::string pid = "PID must be a positive integer";
  const std::string path = "existing path expected when --netns-type=path: No such file or directory";
  const std::string tapfd = "TAPFD must a file descriptor";
  const std::string netns_type = "--netns-type must be \"pid\", \"path\" or \"tapfd\"";
  const std::string target_type = "--target-type must be either \"netns\" or \"bess\"";
  const std::string tapname = "TAPNAME must have 1 to 15 characters: ";
  check_all_refused({
      {"prog", "", true},
      {"prog 1", "", true},
      {"prog -c -m 1500", "", true},
      {"prog --netns-type=path", "", true},
      {"prog --netns-type=path /", "", true},
      {"prog --netns-type=tapfd", "", true},
      {"prog --target-type=bess", "", true},
      {"prog --target-type=bess -c", "", true},
      {"prog 0 t", pid, true},
      {"prog -- -5 t", pid, true},
      {"prog abc t", pid, true},
      {"prog 42x t", pid, true},
      {"prog  t", pid, true},
      {"prog 99999999999 t", pid, true},
      {"prog -- -c tap0", pid, true},
      {"prog --netns-type=path /nonexistent t", path, true},
      {"prog --netns-type=path  t", path, true},
      {"prog --netns-type=pid --netns-type=path /nonexistent t", path, true},
      {"prog --netns-type=path /dev/null/x t",
       "existing path expected when --netns-type=path: Not a directory", true},
      {"prog --netns-type=tapfd x", tapfd, true},
      {"prog --netns-type=tapfd -- -1", tapfd, true},
      {"prog --netns-type=tapfd 2147483648", tapfd, true},
      {"prog --netns-type=foo 1 t", netns_type, true},
      {"prog --netns-type= 1 t", netns_type, true},
      {"prog --userns-path=/nonexistent 1 t", "userns path doesn't exist: /nonexistent", true},
      {"prog --userns-path= 1 t", "userns path doesn't exist: ", true},
      {"prog --target-type=foo 1 t", target_type, true},
      {"prog --target-type= 1 t", target_type, true},
      {"prog 1 sixteen--letters", tapname + "sixteen--letters", false},
      {"prog 1 ", tapname, false},
  });
}

TEST_CASE("options: bess") {
  check_all_refused({
      {"prog --target-type=bess a b", "too many arguments", true},
      {"prog --target-type=bess -c a b", "too many arguments", true},
      {"prog --target-type=bess -c a", "--configure conflicts with --target-type=bess", true},
      {"prog --target-type=bess --netns-type=pid a", "--netns-type conflicts with --target-type=bess", true},
      {"prog --target-type=bess --userns-path=/ a", "--userns-path conflicts with --target-type=bess", true},
      {"prog -c --netns-type=pid --userns-path=/ --target-type=bess a",
       "--configure conflicts with --target-type=bess", true},
      {"prog --target-type=bess " + std::string(108, 'a'),
       "the path of the BESS socket must have 1 to 107 bytes", false},
      {"prog --target-type=bess ", "the path of the BESS socket must have 1 to 107 bytes", false},
  });
}

TEST_CASE("options: the first complaint is the one that is made") {
  check_all_refused({
      {"prog -e x -m 0 1 t", "exit-fd must be a non-negative integer", true},
      {"prog -m 0 -e x 1 t", "MTU must be a positive integer (< 65522)", true},
      {"prog -m 0 --help", "MTU must be a positive integer (< 65522)", true},
      {"prog --target-type=foo -e x", "exit-fd must be a non-negative integer", true},
      {"prog --macaddress=x -e x", "exit-fd must be a non-negative integer", true},
      {"prog --userns-path=/nonexistent -e x", "userns path doesn't exist: /nonexistent", true},
      {"prog --macaddress=x --target-type=bess x",
       "--macaddr cannot be specified when --configure or -c is not specified", true},
      {"prog --cidr=x 0 t", "PID must be a positive integer", true},
  });
}

TEST_CASE("options: warnings do not stop it") {
  struct Row {
    std::string line;
    std::string out;
    std::function<bool(const Options&)> holds;
  };
  const std::vector<Row> rows = {
      {"prog --no-host-loopback 1 t", kNoHostLoopbackWarning,
       [](const Options& o) { return o.disable_host_loopback; }},
      {"prog --create-sandbox 1 t", kCreateSandboxWarning, [](const Options& o) { return o.enable_sandbox; }},
      {"prog --no-host-loopback --create-sandbox 1 t", kNoHostLoopbackWarning + kCreateSandboxWarning,
       [](const Options& o) { return o.disable_host_loopback && o.enable_sandbox; }},
      {"prog --no 1 t", kNoHostLoopbackWarning, [](const Options& o) { return o.disable_host_loopback; }},
      {"prog 1 t extra", kTooManyWarning, [](const Options& o) { return o.pid == 1 && o.tapname == "t"; }},
      {"prog --netns-type=path / t extra more", kTooManyWarning,
       [](const Options& o) { return o.netns_path == "/"; }},
      {"prog --netns-type=tapfd 5 tap0", kTooManyWarning, [](const Options& o) { return o.tapfd == 5; }},
  };
  for (const Row& row : rows) {
    CAPTURE(row.line);
    const ParseOutcome outcome = parse_line(row.line);
    CHECK(outcome.out == row.out);
    CHECK(outcome.err.empty());
    REQUIRE(outcome.options.has_value());
    CHECK(row.holds(*outcome.options));
  }
}

TEST_CASE("options: warnings stay in front of a usage that follows") {
  const ParseOutcome outcome = parse_line("prog --no-host-loopback 0 t");
  CHECK_FALSE(outcome.options.has_value());
  CHECK(outcome.out == kNoHostLoopbackWarning + usage_text("prog"));
  CHECK(outcome.err == "PID must be a positive integer\n");
}

TEST_CASE("options: help") {
  for (const char* line : {"/a/prog -h", "/a/prog --help", "/a/prog --he", "/a/prog -hZ", "/a/prog -h -m 0",
                           "/a/prog -c 1 t x -h"}) {
    CAPTURE(line);
    const ParseOutcome outcome = parse_line(line);
    CHECK_FALSE(outcome.options.has_value());
    CHECK(outcome.exit_code == 0);
    CHECK(outcome.err.empty());
    CHECK(outcome.out == usage_text("/a/prog"));
  }
  CHECK(usage_text("/a/prog").starts_with("Usage: /a/prog [OPTION]... PID|PATH|FD [TAPNAME]\n"));
}

TEST_CASE("options: the help has every option as a whole word, without the deprecated ones") {
  const std::string text = usage_text("prog");
  for (const OptionSpec& spec : option_table()) {
    CAPTURE(spec.name);
    const std::size_t at = text.find("--" + std::string(spec.name) + (spec.argument.empty() ? " " : "="));
    CHECK((at != std::string::npos) == !spec.help.empty());
    CHECK((at == std::string::npos || text[at - 1] == ' '));
  }
  for (const char* word :
       {"--netns-type", "--enable-ipv6", "--cidr", "--disable-host-loopback", "--api-socket",
        "--enable-sandbox", "--enable-seccomp", "--outbound-addr", "--mtu"}) {
    CAPTURE(word);
    CHECK(text.find(word) != std::string::npos);
  }
}

TEST_CASE("options: an empty command line is answered with the usage") {
  const ParseOutcome outcome = parse_options({});
  CHECK(outcome.exit_code == 1);
  CHECK(outcome.out == usage_text("lwip4netns"));
}

TEST_CASE("options: the caller's argv is left in its order") {
  const std::vector<const char*> argv = {"prog", "1", "-c", "t"};
  CHECK(parse_options(argv).options.has_value());
  CHECK(std::string_view(argv[1]) == "1");
  CHECK(std::string_view(argv[2]) == "-c");
}

TEST_CASE("real command lines: podman") {
  for (const std::string extra : {"", "--api-socket /run/s "}) {
    const Options o = good(
        "slirp4netns --disable-host-loopback --mtu=65520 --enable-sandbox --enable-seccomp --enable-ipv6 -c "
        "-r 3 -e 4 " +
        extra + "--netns-type=path /proc/self/ns/net tap0");
    CHECK(o.disable_host_loopback);
    CHECK(o.mtu == 65520);
    CHECK(o.enable_sandbox);
    CHECK(o.enable_seccomp);
    CHECK(o.enable_ipv6);
    CHECK(o.configure);
    CHECK(o.ready_fd == 3);
    CHECK(o.exit_fd == 4);
    CHECK(o.api_socket.value_or("") == (extra.empty() ? "" : "/run/s"));
    CHECK(o.netns_type == NetnsType::path);
    CHECK(o.netns_path == "/proc/self/ns/net");
    CHECK(o.tapname == "tap0");
  }
}

TEST_CASE("real command lines: RootlessKit") {
  const std::string common = "slirp4netns --mtu 65520 -r 3 --disable-host-loopback ";
  const std::string features = "--api-socket /run/s --enable-sandbox --enable-seccomp ";
  const Options old_form = good(common + "--cidr 10.0.3.0/24 " + features + "--enable-ipv6 4711 tap0");
  CHECK_FALSE(old_form.configure);
  CHECK(old_form.mtu == 65520);
  CHECK(old_form.ready_fd == 3);
  CHECK(old_form.disable_host_loopback);
  CHECK(old_form.cidr == sys::Ipv4Network{sys::make_ipv4(10, 0, 3, 0), 24});
  CHECK(old_form.api_socket == "/run/s");
  CHECK(old_form.enable_ipv6);
  CHECK(old_form.pid == 4711);
  CHECK(old_form.tapname == "tap0");

  const Options new_form =
      good(common + features + "--userns-path=/proc/self/ns/user --netns-type=path /proc/self/ns/net tap0");
  CHECK(new_form.userns_path == "/proc/self/ns/user");
  CHECK(new_form.netns_type == NetnsType::path);
  CHECK(new_form.netns_path == "/proc/self/ns/net");
}

TEST_CASE("real command lines: buildah and User Mode Linux") {
  const Options buildah = good("slirp4netns --mtu 65520 -r 3 -c 4711 tap0");
  CHECK(buildah.mtu == 65520);
  CHECK(buildah.ready_fd == 3);
  CHECK(buildah.configure);
  CHECK(buildah.pid == 4711);

  const Options uml = good("slirp4netns --target-type=bess /tmp/bess.sock");
  CHECK(uml.target_type == TargetType::bess);
  CHECK(uml.bess_socket == "/tmp/bess.sock");
}

}  // namespace l4n::cli
