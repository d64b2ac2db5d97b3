#include "netns/configure.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "netns/ipv6_settings.hpp"
#include "netns/netlink.hpp"

namespace l4n::netns {
namespace {

using sys::Result;

// The kernel makes a default route of a router advertisement with metric 1024 (IP6_RT_PRIO_USER). The same
// route once more would make it give up on the whole advertisement, with a line in its log each time; with a
// better metric there is room for both. Advertisements stay accepted: what they bring beside the route (the
// MTU, the hop limit) does no harm; only the address is ours to give. Ours is there from the start, and stays
// when the namespace begins to forward, which is when the kernel drops what it learnt from advertisements.
constexpr std::uint32_t kMetric6 = 512;

// Ours are all far below this: a header, a fixed part and a handful of attributes.
using Buffer = std::array<char, 512>;

class Route {
 public:
  static Result<Route> open() {
    auto socket = open_netlink();
    if (!socket) {
      return socket.error();
    }
    return Route(*std::move(socket));
  }

  // Sends one request and waits for its answer: 0 or an errno value.
  [[nodiscard]] int ask(nlmsghdr* request, mnl_cb_t callback = nullptr, void* argument = nullptr) {
    request->nlmsg_flags = static_cast<__u16>(request->nlmsg_flags | NLM_F_REQUEST | NLM_F_ACK);
    request->nlmsg_seq = ++sequence_;
    return ask_netlink(*socket_, *request, callback, argument);
  }

 private:
  explicit Route(NetlinkSocket socket) : socket_(std::move(socket)) {}

  NetlinkSocket socket_;
  unsigned sequence_ = 0;
};

unsigned char family_of(const sys::IpAddress& a) { return a.is_v4() ? AF_INET : AF_INET6; }

void put_address(nlmsghdr* request, std::uint16_t attribute, const sys::IpAddress& a) {
  if (a.is_v4()) {
    const std::uint32_t wire = htonl(a.v4().value);
    mnl_attr_put(request, attribute, sizeof wire, &wire);
  } else {
    mnl_attr_put(request, attribute, a.v6().bytes.size(), a.v6().bytes.data());
  }
}

nlmsghdr* put_link(Buffer& buffer, unsigned index, unsigned flags) {
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_NEWLINK;
  auto* link = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg)));
  link->ifi_family = AF_UNSPEC;
  link->ifi_index = static_cast<int>(index);
  link->ifi_flags = flags;
  link->ifi_change = flags;
  return request;
}

int set_up(Route& route, unsigned index) {
  alignas(nlmsghdr) Buffer buffer{};
  return route.ask(put_link(buffer, index, IFF_UP));
}

// What `config` says about the link itself.
int set_link(Route& route, unsigned index, const InterfaceConfig& config) {
  alignas(nlmsghdr) Buffer buffer{};
  nlmsghdr* request = put_link(buffer, index, 0);
  if (config.mac) {
    mnl_attr_put(request, IFLA_ADDRESS, config.mac->size(), config.mac->data());
  }
  mnl_attr_put_u32(request, IFLA_MTU, config.mtu);
  return route.ask(request);
}

int add_address(Route& route, unsigned index, const InterfaceAddress& a) {
  alignas(nlmsghdr) Buffer buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_NEWADDR;
  request->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
  auto* message = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifaddrmsg)));
  message->ifa_family = family_of(a.address);
  message->ifa_prefixlen = static_cast<unsigned char>(a.prefix);
  message->ifa_flags = a.address.is_v4() ? 0 : IFA_F_NODAD;
  message->ifa_scope = RT_SCOPE_UNIVERSE;
  message->ifa_index = index;
  put_address(request, IFA_LOCAL, a.address);
  put_address(request, IFA_ADDRESS, a.address);
  if (a.address.is_v4() && a.prefix < 31) {
    const std::uint32_t host_bits = a.prefix == 0 ? ~0U : (~0U >> a.prefix);
    put_address(request, IFA_BROADCAST, sys::Ipv4Address{a.address.v4().value | host_bits});
  }
  return route.ask(request);
}

int note_local(const nlmsghdr* answer, void* local) {
  const auto* route = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(answer));
  *static_cast<bool*>(local) = route->rtm_type == RTN_LOCAL;
  return MNL_CB_OK;
}

// Whether what comes for this address is taken.
bool is_local(Route& route, const sys::IpAddress& address) {
  alignas(nlmsghdr) Buffer buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETROUTE;
  auto* message = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(rtmsg)));
  message->rtm_family = family_of(address);
  message->rtm_dst_len = address.is_v4() ? 32 : 128;
  put_address(request, RTA_DST, address);
  bool local = false;
  return route.ask(request, note_local, &local) == 0 && local;
}

// The kernel finishes an IPv6 address from a work queue, also without duplicate address detection. Until then
// answers to the first packet would be dropped.
void wait_until_local(Route& route, const sys::IpAddress& address) {
  constexpr int kTries = 1000;
  constexpr timespec kPause{0, 1'000'000};
  for (int i = 0; i < kTries && !is_local(route, address); ++i) {
    ::nanosleep(&kPause, nullptr);
  }
}

int add_default_route(Route& route, unsigned index, const sys::IpAddress& gateway) {
  alignas(nlmsghdr) Buffer buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_NEWROUTE;
  request->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;  // never replaces a route that someone else made
  auto* message = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(rtmsg)));
  message->rtm_family = family_of(gateway);
  message->rtm_table = RT_TABLE_MAIN;
  message->rtm_protocol = RTPROT_BOOT;
  message->rtm_scope = RT_SCOPE_UNIVERSE;
  message->rtm_type = RTN_UNICAST;
  put_address(request, RTA_GATEWAY, gateway);
  mnl_attr_put_u32(request, RTA_OIF, index);
  if (!gateway.is_v4()) {
    mnl_attr_put_u32(request, RTA_PRIORITY, kMetric6);
  }
  return route.ask(request);
}

Result<void> outcome(int code, const std::string& what) {
  if (code == 0 || code == EEXIST) {
    return {};
  }
  return sys::errno_error(code, what);
}

bool has_ipv6(const InterfaceConfig& config) {
  return std::any_of(config.addresses.begin(), config.addresses.end(),
                     [](const InterfaceAddress& a) { return !a.address.is_v4(); });
}

Result<unsigned> index_of(const std::string& interface) {
  const unsigned index = ::if_nametoindex(interface.c_str());
  if (index == 0) {
    return sys::errno_error(fmt::format("cannot find interface {}", interface));
  }
  return index;
}

Result<void> bring_up(Route& route, const std::string& interface, bool ipv6) {
  const auto index = index_of(interface);
  if (!index) {
    return index.error();
  }
  if (ipv6) {
    if (auto enabled = enable_ipv6(interface); !enabled) {
      return enabled;
    }
  }
  return outcome(set_up(route, *index), fmt::format("cannot bring up {}", interface));
}

// What has to be as wanted before the interface comes up.
Result<void> prepare(Route& route, const std::string& interface, const InterfaceConfig& config, bool ipv6) {
  const auto index = index_of(interface);
  if (!index) {
    return index.error();
  }
  auto set = outcome(set_link(route, *index, config), fmt::format("cannot set the MTU of {}", interface));
  if (set && ipv6) {
    skip_duplicate_detection(interface);  // there are IPv6 settings only with an MTU of at least 1280
    skip_autoconfiguration(interface);
  }
  return set;
}

Result<void> add_all(Route& route, const std::string& interface, const InterfaceConfig& config) {
  const unsigned index = ::if_nametoindex(interface.c_str());
  for (const InterfaceAddress& a : config.addresses) {
    auto added =
        outcome(add_address(route, index, a),
                fmt::format("cannot add address {}/{} to {}", to_string(a.address), a.prefix, interface));
    if (!added) {
      return added;
    }
    wait_until_local(route, a.address);
  }
  for (const sys::IpAddress& gateway : config.gateways) {
    auto added =
        outcome(add_default_route(route, index, gateway),
                fmt::format("cannot add the default route via {} on {}", to_string(gateway), interface));
    if (!added) {
      return added;
    }
  }
  return {};
}

}  // namespace

Result<void> configure_interface(const std::string& interface, const InterfaceConfig& config) {
  auto route = Route::open();
  if (!route) {
    return route.error();
  }
  const bool ipv6 = has_ipv6(config);
  if (auto up = bring_up(*route, "lo", ipv6); !up) {
    return up;
  }
  if (auto prepared = prepare(*route, interface, config, ipv6); !prepared) {
    return prepared;
  }
  if (auto up = bring_up(*route, interface, ipv6); !up) {
    return up;
  }
  return add_all(*route, interface, config);
}

}  // namespace l4n::netns
