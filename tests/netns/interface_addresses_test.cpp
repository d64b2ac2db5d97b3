// In network namespaces that the tests make. Needs root.
#include "netns/interface_addresses.hpp"

#include <doctest/doctest.h>
#include <net/if.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netns/configure.hpp"
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

bool lists(const InterfaceAddresses& addresses, sys::Ipv4Address address) {
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
