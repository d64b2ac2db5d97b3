// The destination policy against a table of its own (fuzz/reference/policy_table.hpp), and by which address
// the host's sockets leave.
//
// Input: a configuration, and then endpoints, each with the way in which its address is made: addresses at
// random would hardly ever lie where the policy has its edges.
#include "nat/policy.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/input.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/reference/policy_table.hpp"
#include "fuzz/support/fault.hpp"
#include "nat/outbound.hpp"

namespace l4n::fuzz {
namespace {

using sys::Endpoint;
using sys::IpAddress;
using sys::Ipv4Address;
using sys::Ipv6Address;

Ipv6Address take_ipv6(Input& in) {
  Ipv6Address address;
  for (std::uint8_t& byte : address.bytes) {
    byte = in.u8();
  }
  return address;
}

// As the options let them be: without host bits.
sys::Ipv4Network take_network(Input& in) {
  sys::Ipv4Network network{{in.u32()}, in.in_range(1, 25)};
  network.address = network.host(0);
  return network;
}

sys::Ipv6Network take_network6(Input& in) {
  constexpr std::array<std::uint8_t, 4> kFirst{0xfd, 0x20, 0xfc, 0x3f};
  sys::Ipv6Network network{take_ipv6(in), in.in_range(64, 120)};
  network.address.bytes[0] = kFirst[in.u8() % kFirst.size()];
  for (unsigned bit = network.prefix; bit < 128; ++bit) {
    network.address.bytes.at(bit / 8) &= static_cast<std::uint8_t>(~(0x80U >> bit % 8));
  }
  return network;
}

nat::PolicyConfig take_config(Input& in, std::uint8_t flags) {
  nat::PolicyConfig config;
  config.host_loopback = (flags & 1U) != 0;
  config.dns = (flags & 2U) != 0;
  config.link_local = (flags & 4U) != 0;
  if ((flags & 8U) != 0) {
    config.network6 = take_network6(in);
  }
  if ((flags & 16U) != 0) {
    config.network = take_network(in);
  }
  return config;
}

// Bits of the flags from here on: see take_outbound().
constexpr std::uint8_t kOutbound4 = 0x20;
constexpr std::uint8_t kOutbound6 = 0x40;
constexpr std::uint8_t kByInterface = 0x80;

nat::OutboundFamily take_outbound_family(Input& in, bool by_interface, bool is_v4) {
  nat::OutboundFamily family{.wanted = true};
  family.address = is_v4 ? IpAddress(Ipv4Address{in.u32()}) : IpAddress(take_ipv6(in));
  if (by_interface) {
    family.interface_index = 3;
    family.own = {family.address, sys::parse_ip(is_v4 ? "10.0.2.15" : "2001:db8::1").value()};
  }
  return family;
}

nat::Outbound take_outbound(Input& in, std::uint8_t flags) {
  nat::Outbound outbound;
  const bool by_interface = (flags & kByInterface) != 0;
  if ((flags & kOutbound4) != 0) {
    outbound.v4 = take_outbound_family(in, by_interface, true);
  }
  if ((flags & kOutbound6) != 0) {
    outbound.v6 = take_outbound_family(in, by_interface, false);
  }
  return outbound;
}

// One below, on and above the edges that addresses have.
IpAddress take_edge(Input& in) {
  static const auto kEdges = std::to_array<IpAddress>({
      sys::make_ipv4(0, 0, 0, 0),
      sys::make_ipv4(1, 0, 0, 0),
      sys::make_ipv4(127, 0, 0, 1),
      sys::make_ipv4(128, 0, 0, 0),
      sys::make_ipv4(169, 254, 0, 0),
      sys::make_ipv4(169, 255, 0, 0),
      sys::make_ipv4(224, 0, 0, 0),
      sys::make_ipv4(240, 0, 0, 0),
      sys::make_ipv4(255, 255, 255, 255),
      sys::parse_ip("::1").value(),
      sys::parse_ip("::1:0:0").value(),
      sys::parse_ip("::ffff:0:0").value(),
      sys::parse_ip("::1:0:0:0").value(),
      sys::parse_ip("fe80::2").value(),
      sys::parse_ip("fec0::").value(),
      sys::parse_ip("ff00::").value(),
  });
  const IpAddress edge = kEdges.at(in.u8() % kEdges.size());
  const int step = static_cast<int>(in.in_range(0, 2)) - 1;
  if (edge.is_v4()) {
    return Ipv4Address{edge.v4().value + static_cast<std::uint32_t>(step)};
  }
  Ipv6Address address = edge.v6();
  for (std::size_t i = address.bytes.size(); i-- > 0;) {
    address.bytes.at(i) = static_cast<std::uint8_t>(address.bytes.at(i) + step);
    const int carried = step < 0 ? 0xff : 0;
    if (step == 0 || address.bytes.at(i) != carried) {
      break;
    }
  }
  return address;
}

IpAddress take_address(Input& in, const nat::PolicyConfig& config) {
  switch (in.u8() % 7) {
    case 0:
      return take_edge(in);
    case 1:
      return config.network.host(in.u8());
    case 2:
      return Ipv4Address{config.network.broadcast().value - in.in_range(0, 1) + in.in_range(0, 1)};
    case 3:
      return config.network6 ? IpAddress(config.network6->host(in.u8())) : take_edge(in);
    case 4: {  // an IPv4 address in the clothes of IPv6
      Ipv6Address address;
      address.bytes[10] = address.bytes[11] = in.boolean() ? 0xff : 0;
      sys::store_be32(std::as_writable_bytes(std::span(address.bytes)).subspan(12).data(), in.u32());
      return address;
    }
    case 5:
      return take_ipv6(in);
    default:
      return Ipv4Address{in.u32()};
  }
}

void check_decision(const nat::PolicyConfig& config, const PolicyTable& table, nat::Protocol protocol,
                    const Endpoint& to) {
  const nat::Decision expected = table.decision(protocol, to);
  nat::Decision decision = nat::decide(config, protocol, to);
  if (fault("policy: allow what is dropped") && decision.verdict == nat::Verdict::drop) {
    decision = {nat::Verdict::allow, to};
  }
  FUZZ_REQUIRE(decision.verdict == expected.verdict, "the policy decides {} about {}, the table {}",
               static_cast<int>(decision.verdict), sys::to_string(to), static_cast<int>(expected.verdict));
  FUZZ_REQUIRE(decision.target == expected.target, "the policy leads {} to {}, the table to {}",
               sys::to_string(to), sys::to_string(decision.target), sys::to_string(expected.target));
  FUZZ_REQUIRE(decision.verdict != nat::Verdict::allow || table.reachable(decision.target.address),
               "the policy allows {}, where no socket may go", sys::to_string(decision.target));
}

// What a client of a forward is shown as is always somebody from whom a packet may come.
void check_forward_source(const nat::PolicyConfig& config, const PolicyTable& table, const Endpoint& client,
                          const IpAddress& guest) {
  const Endpoint shown = nat::forward_source(config, client, guest);
  FUZZ_REQUIRE(shown.address == client.address || shown.address == config.gateway_for(guest),
               "a forward shows {} as {}", sys::to_string(client), sys::to_string(shown));
  FUZZ_REQUIRE(shown.port == client.port, "a forward shows {} as {}", sys::to_string(client),
               sys::to_string(shown));
  const bool own = shown.address == client.address && shown.address != config.gateway_for(guest);
  FUZZ_REQUIRE(!own || table.source_allowed(shown.address),
               "a forward shows its client as {}, from where nothing may come", sys::to_string(shown));
}

// What was to leave by an address leaves by no other, and not at all while there is none; the loopback is
// reached as ever.
void check_outbound(const nat::Outbound& outbound, const IpAddress& to) {
  const bool is_v4 = to.is_v4();
  const nat::OutboundFamily& family = is_v4 ? outbound.v4 : outbound.v6;
  const IpAddress none = is_v4 ? IpAddress(Ipv4Address{}) : IpAddress(Ipv6Address{});
  const bool loopback = is_v4 ? to.v4().value >> 24U == 127 : to == *sys::parse_ip("::1");
  nat::OutboundChoice choice = nat::choose_outbound(outbound, to);
  if (fault("policy: outbound")) {
    choice.source = sys::make_ipv4(192, 0, 2, 99);
  }
  const bool free = !family.wanted || loopback;
  FUZZ_REQUIRE(choice.possible == (free || family.address != none), "what goes to {} {} leave",
               sys::to_string(to), choice.possible ? "may" : "must not");
  FUZZ_REQUIRE(choice.source == (free || !choice.possible ? IpAddress{} : family.address),
               "what goes to {} leaves by {}", sys::to_string(to), sys::to_string(choice.source));
  FUZZ_REQUIRE(choice.interface_index == 0 ||
                   (!free && std::find(family.own.begin(), family.own.end(), to) == family.own.end()),
               "what goes to {} leaves by the interface {}", sys::to_string(to), choice.interface_index);
  for (const int error : {0, ECONNREFUSED, EINVAL, EADDRNOTAVAIL, ENODEV}) {
    const int told = nat::outbound_error(choice, error);
    FUZZ_REQUIRE(told == error || (!free && told == ENETUNREACH), "the error {} becomes {}", error, told);
  }
}

void run(sys::Bytes input) {
  Input in(input);
  const std::uint8_t flags = in.u8();
  const nat::PolicyConfig config = take_config(in, flags);
  const nat::Outbound outbound = take_outbound(in, flags);
  const PolicyTable table(config);
  while (!in.empty()) {
    const Endpoint to{take_address(in, config), in.boolean() ? in.u16() : std::uint16_t{53}};
    for (const auto protocol : {nat::Protocol::tcp, nat::Protocol::udp, nat::Protocol::echo}) {
      check_decision(config, table, protocol, to);
    }
    const bool allowed = nat::source_allowed(config, to.address) != fault("policy: source");
    FUZZ_REQUIRE(allowed == table.source_allowed(to.address), "the policy {} the source {}",
                 allowed ? "allows" : "refuses", sys::to_string(to.address));
    check_outbound(outbound, to.address);
    check_forward_source(config, table, to, config.gateway());
    if (config.network6) {
      check_forward_source(config, table, to, config.network6->host(2));
    }
  }
}

std::string print(sys::Bytes input) {
  Input in(input);
  const std::uint8_t flags = in.u8();
  const nat::PolicyConfig config = take_config(in, flags);
  const nat::Outbound outbound = take_outbound(in, flags);
  std::string text = fmt::format(
      "network {}/{}{} host_loopback {} dns {} link_local {}\n", sys::to_string(config.network.address),
      config.network.prefix,
      config.network6
          ? fmt::format(" {}/{}", sys::to_string(config.network6->address), config.network6->prefix)
          : "",
      config.host_loopback, config.dns, config.link_local);
  for (const nat::OutboundFamily& family : {outbound.v4, outbound.v6}) {
    if (family.wanted) {
      text +=
          fmt::format("outbound {} interface {}\n", sys::to_string(family.address), family.interface_index);
    }
  }
  while (!in.empty()) {
    const IpAddress address = take_address(in, config);
    text += sys::to_string(Endpoint{address, in.boolean() ? in.u16() : std::uint16_t{53}}) + "\n";
  }
  return text;
}

}  // namespace

const Harness kHarness{run, print, mutate_bytes};

}  // namespace l4n::fuzz
