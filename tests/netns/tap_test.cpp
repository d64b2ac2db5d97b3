// The TAP and its configuration, in network namespaces that the tests make. Needs root.
#include "netns/tap.hpp"

#include <doctest/doctest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "netns/configure.hpp"
#include "tests/netns/child_process.hpp"

namespace l4n::netns {
namespace {

using testing::run_in_new_netns;

constexpr unsigned kAll = offload_checksum | offload_tso4 | offload_tso6 | offload_uso4 | offload_uso6;
constexpr unsigned kTso = offload_checksum | offload_tso4 | offload_tso6;

// True when a shell command in the current namespace succeeds.
bool shell(const std::string& command) {
  // NOLINTNEXTLINE(cert-env33-c): the commands are all in this file
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

TEST_CASE("offloads: the largest set that the kernel takes") {
  struct Case {
    std::string what;
    unsigned refused;  // any set with one of these bits gives EINVAL
    unsigned expected;
  };
  const Case cases[] = {
      {"all", 0, kAll},
      {"no USO (before 6.2)", offload_uso4 | offload_uso6, kTso},
      {"no TSO", offload_tso4 | offload_tso6 | offload_uso4 | offload_uso6, offload_checksum},
      {"none", kAll, 0},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    unsigned last = ~0U;
    const unsigned got = negotiate_offloads([&](unsigned set) {
      last = set;
      return (set & c.refused) != 0 ? EINVAL : 0;
    });
    CHECK(got == c.expected);
    CHECK(last == c.expected);  // what was set last is what is in force
  }
}

TEST_CASE("flags: the header and one queue if possible") {
  struct Case {
    std::string what;
    std::vector<int> answers;
    int code;
    unsigned expected;
  };
  const Case cases[] = {
      {"plain", {0}, 0, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR},
      {"multi-queue", {EINVAL, 0}, 0, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE},
      {"no header", {EINVAL, EINVAL, 0}, 0, IFF_TAP | IFF_NO_PI},
      {"multi-queue without header", {EINVAL, EINVAL, EINVAL, 0}, 0, IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE},
      {"never", {EINVAL, EINVAL, EINVAL, EINVAL}, EINVAL, 0},
      {"no permission", {EPERM}, EPERM, 0},
      {"in use", {EINVAL, EBUSY}, EBUSY, 0},
  };
  for (const Case& c : cases) {
    CAPTURE(c.what);
    std::size_t asked = 0;
    const auto flags = negotiate_flags([&](unsigned) { return c.answers.at(asked++); });
    CHECK(asked == c.answers.size());
    REQUIRE(flags.has_value() == (c.code == 0));
    if (flags) {
      CHECK(*flags == c.expected);
    } else {
      CHECK(flags.error().code == c.code);
    }
  }
}

TEST_CASE("bad names are refused") {
  CHECK_FALSE(open_tap(""));
  CHECK_FALSE(open_tap("abcdefghijklmnop"));
}

std::string open_new_tap() {
  auto tap = open_tap("tap0");
  if (!tap) {
    return tap.error().message();
  }
  int header_size = 0;
  if (::ioctl(tap->fd.get(), TUNGETVNETHDRSZ, &header_size) != 0 || header_size != 10) {
    return "the header has " + std::to_string(header_size) + " bytes";
  }
  if (tap->name != "tap0" || !tap->created || !tap->vnet_hdr || (tap->offloads & kTso) != kTso) {
    return "not as expected";
  }
  const int flags = ::fcntl(tap->fd.get(), F_GETFL);
  const int descriptor_flags = ::fcntl(tap->fd.get(), F_GETFD);
  if ((flags & O_NONBLOCK) == 0 || (descriptor_flags & FD_CLOEXEC) == 0) {
    return "descriptor flags";
  }
  const auto second = open_tap("tap0");
  if (second || second.error().message() !=
                    "cannot attach to TAP tap0 (another process uses it): Device or resource busy") {
    return "in use: " + (second ? std::string("attached") : second.error().message());
  }
  tap->fd.reset();
  return ::if_nametoindex("tap0") == 0 ? "" : "the device was left behind";
}

TEST_CASE("a TAP is created and goes with its descriptor") { CHECK(run_in_new_netns(open_new_tap) == ""); }

std::string attach_to(const std::string& how_made) {
  if (!shell("ip tuntap add dev tap0 mode tap " + how_made)) {
    return "cannot make the persistent TAP";
  }
  auto tap = open_tap("tap0");
  if (!tap) {
    return tap.error().message();
  }
  if (tap->created || !tap->vnet_hdr || (tap->offloads & kTso) != kTso) {
    return "not as expected";
  }
  release_offloads(tap->fd.get());
  tap->fd.reset();
  if (::if_nametoindex("tap0") == 0) {
    return "the persistent TAP has gone";
  }
  auto again = open_tap("tap0");
  return again ? "" : again.error().message();
}

TEST_CASE("a persistent TAP of any kind is attached to and stays") {
  for (const char* how : {"", "vnet_hdr", "multi_queue", "multi_queue vnet_hdr", "pi"}) {
    CAPTURE(how);
    CHECK(run_in_new_netns([how] { return attach_to(how); }) == "");
  }
}

TEST_CASE("a name that is taken by another kind of device is refused") {
  const std::string error = run_in_new_netns([] {
    auto tap = open_tap("lo");
    return tap ? std::string("attached") : tap.error().message();
  });
  CHECK(error ==
        "cannot attach to lo (a device of that name exists that is no usable TAP): Invalid argument");
}

InterfaceConfig example_config() {
  InterfaceConfig config;
  config.mac = {0x02, 0x00, 0x00, 0x00, 0x00, 0x42};
  config.mtu = 65520;
  config.addresses = {{sys::make_ipv4(10, 0, 2, 100), 24}, {*sys::parse_ip("fd00::100"), 64}};
  config.gateways = {sys::make_ipv4(10, 0, 2, 2), *sys::parse_ip("fe80::2")};
  return config;
}

std::string check_configured() {
  const char* const commands[] = {
      "ip link show lo up | grep -qw LOOPBACK,UP",
      "ip link show tap0 up | grep -q 'mtu 65520'",
      "ip link show tap0 | grep -q 02:00:00:00:00:42",
      "ip -4 addr show tap0 | grep -q 'inet 10.0.2.100/24 brd 10.0.2.255'",
      "ip -6 addr show tap0 | grep -q 'inet6 fd00::100/64'",
      "! ip -6 addr show tap0 | grep fd00::100 | grep -q tentative",
      "ip -4 route show default | grep -q 'via 10.0.2.2 dev tap0'",
      // Another metric than that of a route which an advertisement brings.
      "ip -6 route show default | grep -q 'via fe80::2 dev tap0 metric 512'",
      // The kernel's own address is usable at once too.
      "ip -6 addr show tap0 scope link | grep -q 'inet6 fe80:'",
      "! ip -6 addr show tap0 tentative | grep -q inet6",
      "ip -6 addr show lo | grep -q 'inet6 ::1/128'",
  };
  for (const char* command : commands) {
    if (!shell(command)) {
      return std::string("failed: ") + command;
    }
  }
  return "";
}

TEST_CASE("an interface is configured, and again without harm") {
  const std::string outcome = run_in_new_netns([] {
    auto tap = open_tap("tap0");
    if (!tap) {
      return tap.error().message();
    }
    for (int round = 0; round < 2; ++round) {
      if (auto done = configure_interface("tap0", example_config()); !done) {
        return done.error().message();
      }
      if (std::string wrong = check_configured(); !wrong.empty()) {
        return wrong;
      }
    }
    return std::string();
  });
  CHECK(outcome == "");
}

// Runs the commands, configures tap0, which may be there already, and then `check`s it.
std::string configure_after(const std::string& commands, const InterfaceConfig& config,
                            std::string (*check)()) {
  if (!shell(commands)) {
    return "failed: " + commands;
  }
  auto tap = open_tap("tap0");
  if (!tap) {
    return tap.error().message();
  }
  auto done = configure_interface("tap0", config);
  return done ? check() : done.error().message();
}

TEST_CASE("IPv6 is configured in whatever state the namespace has it") {
  for (const char* commands : {
           "true",
           "sysctl -w net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1",
           "ip link set lo up && sysctl -w net.ipv6.conf.lo.disable_ipv6=1",
           "ip tuntap add tap0 mode tap && sysctl -w net.ipv6.conf.tap0.disable_ipv6=1",
           "ip tuntap add tap0 mode tap && ip link set tap0 mtu 1000",
       }) {
    CAPTURE(std::string(commands));
    CHECK(run_in_new_netns([&] { return configure_after(commands, example_config(), check_configured); }) ==
          "");
  }
}

TEST_CASE("IPv6 stays off where nobody asks for it") {
  InterfaceConfig config = example_config();
  config.addresses.pop_back();
  config.gateways.pop_back();
  CHECK(run_in_new_netns([&] {
          return configure_after(
              "sysctl -w net.ipv6.conf.default.disable_ipv6=1", config, []() -> std::string {
                return shell("test $(sysctl -n net.ipv6.conf.tap0.disable_ipv6) = 1") ? "" : "switched on";
              });
        }) == "");
}

// Configures with a mount over a part of /proc/sys.
std::string configure_under(const std::string& commands) {
  if (::unshare(CLONE_NEWNS) != 0) {
    return testing::failure("unshare(CLONE_NEWNS)");
  }
  return configure_after("mount --make-rprivate / && " + commands, example_config(),
                         [] { return std::string(); });
}

TEST_CASE("IPv6 that cannot be had is told, and settings that need no change need not be writable") {
  const std::string read_only = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys";
  const struct {
    std::string commands;
    std::string error;
  } rows[] = {
      {read_only, ""},
      {"sysctl -w net.ipv6.conf.default.disable_ipv6=1 && " + read_only,
       "cannot enable IPv6 on tap0: /proc/sys/net/ipv6/conf/tap0/disable_ipv6: Read-only file system"},
      {"mount -t tmpfs none /proc/sys",
       "cannot enable IPv6 on lo (this kernel has none: no /proc/sys/net/ipv6)"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.commands);
    CHECK(run_in_new_netns([&] { return configure_under(row.commands); }) == row.error);
  }
}

TEST_CASE("configuration names the step that fails") {
  const std::string missing = run_in_new_netns([] {
    auto done = configure_interface("tap7", InterfaceConfig{});
    return done ? std::string("done") : done.error().message();
  });
  CHECK(missing == "cannot find interface tap7: No such device");

  const std::string unreachable = run_in_new_netns([] {
    const auto tap = open_tap("tap0");
    InterfaceConfig config;
    config.gateways = {sys::make_ipv4(10, 0, 2, 2)};
    auto done = configure_interface("tap0", config);
    return done ? std::string("done") : done.error().message();
  });
  CHECK(unreachable == "cannot add the default route via 10.0.2.2 on tap0: Network is unreachable");
}

}  // namespace
}  // namespace l4n::netns
