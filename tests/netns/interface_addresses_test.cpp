// In network namespaces that the tests make. Needs root.
#include "netns/interface_addresses.hpp"

#include <doctest/doctest.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netns/configure.hpp"
#include "netns/netlink.hpp"
#include "netns/sys/clock.hpp"
#include "netns/tap.hpp"
#include "tests/netns/child_process.hpp"

namespace l4n::netns {
namespace {

using testing::run_in_new_netns;

constexpr sys::Ipv4Address kFirst = sys::make_ipv4(192, 0, 2, 7);
constexpr sys::Ipv4Address kSecond = sys::make_ipv4(198, 51, 100, 7);

bool add_address(const std::string& interface, sys::Ipv4Address address) {
  InterfaceConfig config;
  config.mtu = 1500;
  config.addresses.push_back({address, 24});
  return configure_interface(interface, config).has_value();
}

struct Ipv6Spec {
  const char* address;
  unsigned flags = IFA_F_NODAD;
  bool deprecated = false;
  const char* other_end = nullptr;
};

// 0 or an errno value.
int add_ipv6(const std::string& interface, const Ipv6Spec& spec) {
  auto socket = open_netlink();
  if (!socket) {
    return socket.error().code;
  }
  alignas(nlmsghdr) std::array<char, 256> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_NEWADDR;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
  auto* header = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifaddrmsg)));
  header->ifa_family = AF_INET6;
  header->ifa_prefixlen = spec.other_end == nullptr ? 64 : 128;
  header->ifa_flags = static_cast<std::uint8_t>(spec.flags);
  header->ifa_index = ::if_nametoindex(interface.c_str());
  const auto put = [request](std::uint16_t attribute, const char* text) {
    const sys::Ipv6Address address = *sys::parse_ipv6(text);
    mnl_attr_put(request, attribute, address.bytes.size(), address.bytes.data());
  };
  put(IFA_LOCAL, spec.address);
  put(IFA_ADDRESS, spec.other_end == nullptr ? spec.address : spec.other_end);
  if (spec.deprecated) {
    const ifa_cacheinfo lifetimes{0, 3600, 0, 0};
    mnl_attr_put(request, IFA_CACHEINFO, sizeof lifetimes, &lifetimes);
  }
  return ask_netlink(**socket, *request);
}

bool lists(const InterfaceAddresses& addresses, const sys::IpAddress& address) {
  return std::find(addresses.own.begin(), addresses.own.end(), address) != addresses.own.end();
}

TEST_CASE("interface addresses: of the interface, and of all") {
  CHECK(run_in_new_netns([]() -> std::string {
          auto first = open_tap("t0");
          auto second = open_tap("t1");
          if (!first || !second || !add_address("t0", kFirst) || !add_address("t1", kSecond)) {
            return testing::failure("setup");
          }
          const auto found = read_interface_addresses("t1", true);
          if (!found) {
            return found.error().message();
          }
          if (found->index != ::if_nametoindex("t1") || found->address != kSecond) {
            return "wrong interface or address";
          }
          const bool all = lists(*found, kFirst) && lists(*found, kSecond) &&
                           lists(*found, sys::make_ipv4(127, 0, 0, 1)) && found->own.size() == 3;
          return all ? "" : "not all addresses of the host";
        }) == "");
}

TEST_CASE("interface addresses: without an address, and without an interface") {
  CHECK(run_in_new_netns([]() -> std::string {
          auto tap = open_tap("t0");
          if (!tap) {
            return tap.error().message();
          }
          const auto bare = read_interface_addresses("t0", true);
          const auto none = read_interface_addresses("t1", true);
          if (!bare || !none) {
            return "cannot read";
          }
          if (bare->index == 0 || bare->address != sys::Ipv4Address{} || !bare->own.empty()) {
            return "something where nothing is";
          }
          return *none == InterfaceAddresses{} ? "" : "an interface that does not exist";
        }) == "");
}

TEST_CASE("interface addresses: more than can be told are cut, the interface's own is not") {
  CHECK(run_in_new_netns([]() -> std::string {
          auto first = open_tap("t0");
          auto second = open_tap("t1");
          for (unsigned i = 1; i <= kMaxOwnAddresses; ++i) {
            if (!add_address("t0", sys::make_ipv4(10, 0, i / 256, i % 256))) {
              return testing::failure("setup");
            }
          }
          if (!add_address("t1", kSecond)) {
            return testing::failure("setup");
          }
          const auto found = read_interface_addresses("t1", true);
          if (!found) {
            return found.error().message();
          }
          return found->own.size() == kMaxOwnAddresses && found->address == kSecond ? "" : "wrong";
        }) == "");
}

TEST_CASE("interface addresses: of IPv6, the one to send from") {
  struct Row {
    std::string what;
    std::vector<Ipv6Spec> addresses;  // the kernel lists the newest one first
    const char* expected;             // "::": none
  };
  const std::vector<Row> rows = {
      {"one", {{"2001:db8::7"}}, "2001:db8::7"},
      {"the first of two", {{"2001:db8::8"}, {"2001:db8::7"}}, "2001:db8::7"},
      {"unique local", {{"fd12::7"}}, "fd12::7"},
      {"link-local", {{"fe80::7"}}, "::"},
      {"link-local first", {{"2001:db8::7"}, {"fe80::7"}}, "2001:db8::7"},
      {"deprecated", {{"2001:db8::7", IFA_F_NODAD, true}}, "2001:db8::7"},
      {"deprecated first", {{"2001:db8::8"}, {"2001:db8::7", IFA_F_NODAD, true}}, "2001:db8::8"},
      {"tentative", {{"2001:db8::7", 0}}, "::"},
      {"tentative first", {{"2001:db8::8"}, {"2001:db8::7", 0}}, "2001:db8::8"},
      {"with another end", {{"2001:db8::7", IFA_F_NODAD, false, "2001:db8::99"}}, "2001:db8::7"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CHECK(run_in_new_netns([&row]() -> std::string {
            auto tap = open_tap("t0");
            // A tentative address stays one for as long as the test takes.
            if (!tap || !testing::write_file("/proc/sys/net/ipv6/conf/t0/dad_transmits", "1000") ||
                !configure_interface("t0", {})) {
              return testing::failure("setup");
            }
            for (const Ipv6Spec& spec : row.addresses) {
              if (const int code = add_ipv6("t0", spec); code != 0) {
                return std::string("add_ipv6: ") + std::strerror(code);
              }
            }
            const auto found = read_interface_addresses("t0", false);
            if (!found) {
              return found.error().message();
            }
            if (found->is_v4 || found->index != ::if_nametoindex("t0")) {
              return "wrong interface or family";
            }
            for (const Ipv6Spec& spec : row.addresses) {
              if (!lists(*found, *sys::parse_ip(spec.address))) {
                return "not all addresses of the host";
              }
            }
            return found->address == sys::parse_ip(row.expected) ? "" : sys::to_string(found->address);
          }) == "");
  }
}

TEST_CASE("interface addresses: each family has its own changes") {
  CHECK(run_in_new_netns([]() -> std::string {
          auto tap = open_tap("t0");
          const sys::SystemClock clock;
          auto loop = *sys::EventLoop::create(clock);
          InterfaceAddresses v4;
          InterfaceAddresses v6;
          AddressWatch watch4(*loop, "t0", true, [&](const InterfaceAddresses& now) { v4 = now; });
          AddressWatch watch6(*loop, "t0", false, [&](const InterfaceAddresses& now) { v6 = now; });
          if (!tap || !watch4.start() || !watch6.start() || !configure_interface("t0", {})) {
            return testing::failure("setup");
          }
          if (add_ipv6("t0", {"2001:db8::7"}) != 0 || !add_address("t0", kFirst)) {
            return testing::failure("addresses");
          }
          for (int i = 0; i < 10; ++i) {
            static_cast<void>(loop->turn(std::chrono::milliseconds(20)));
          }
          if (v4.address != kFirst || !v4.is_v4) {
            return "not told of the IPv4 address";
          }
          return v6.address == sys::parse_ip("2001:db8::7") && !v6.is_v4 ? ""
                                                                         : "not told of the IPv6 address";
        }) == "");
}

TEST_CASE("interface addresses: changes are told, once each, and nothing else") {
  CHECK(run_in_new_netns([]() -> std::string {
          auto tap = open_tap("t0");
          const sys::SystemClock clock;
          auto loop = *sys::EventLoop::create(clock);
          std::vector<InterfaceAddresses> told;
          AddressWatch watch(*loop, "t0", true, [&](const InterfaceAddresses& now) { told.push_back(now); });
          if (auto started = watch.start(); !started) {
            return started.error().message();
          }
          const auto run = [&loop] {
            for (int i = 0; i < 10; ++i) {
              static_cast<void>(loop->turn(std::chrono::milliseconds(20)));
            }
          };
          if (told.size() != 1 || told[0].address != sys::Ipv4Address{}) {
            return "not told at the start";
          }
          auto other = open_tap("t1");  // an event that changes nothing
          run();
          if (told.size() != 1) {
            return "told without a change";
          }
          if (!add_address("t0", kFirst)) {
            return testing::failure("setup");
          }
          run();
          if (told.back().address != kFirst) {
            return "not told of the address";
          }
          (*tap).fd.reset();  // the interface goes with it
          run();
          return told.back().index == 0 && told.back().address == sys::Ipv4Address{} ? ""
                                                                                     : "not told of the end";
        }) == "");
}

}  // namespace
}  // namespace l4n::netns
