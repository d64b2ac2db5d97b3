#include "fuzz/support/address.hpp"

#include <array>

namespace l4n::fuzz {

stack::MacAddress take_mac(Input& in) {
  stack::MacAddress mac{};
  for (std::uint8_t& byte : mac) {
    byte = in.u8();
  }
  return mac;
}

sys::Ipv6Address take_any_ipv6(Input& in) {
  sys::Ipv6Address address;
  for (std::uint8_t& byte : address.bytes) {
    byte = in.u8();
  }
  return address;
}

sys::Ipv4Address take_ipv4(Input& in) {
  constexpr auto kKnown = std::to_array<sys::Ipv4Address>({
      sys::make_ipv4(10, 0, 2, 100),
      sys::make_ipv4(10, 0, 2, 2),
      sys::make_ipv4(192, 0, 2, 1),
      sys::make_ipv4(203, 0, 113, 9),
      sys::make_ipv4(127, 0, 0, 1),
      sys::make_ipv4(224, 0, 0, 1),
      sys::make_ipv4(255, 255, 255, 255),
      sys::make_ipv4(0, 0, 0, 0),
  });
  const std::size_t choice = in.u8() % (kKnown.size() + 1);
  return choice < kKnown.size() ? kKnown.at(choice) : sys::Ipv4Address{in.u32()};
}

sys::Ipv6Address take_ipv6(Input& in) {
  static const auto kKnown = std::to_array<sys::Ipv6Address>({
      sys::parse_ipv6("fd00::100").value(),
      sys::parse_ipv6("fd00::2").value(),
      sys::parse_ipv6("2001:db8::1").value(),
      sys::parse_ipv6("2001:db8:9::9").value(),
      sys::parse_ipv6("fe80::2").value(),
      sys::parse_ipv6("fe80::5054:ff:fe12:3456").value(),
      sys::parse_ipv6("ff02::1:ff00:2").value(),
      sys::parse_ipv6("::1").value(),
      sys::parse_ipv6("::").value(),
  });
  const std::size_t choice = in.u8() % (kKnown.size() + 1);
  return choice < kKnown.size() ? kKnown.at(choice) : take_any_ipv6(in);
}

sys::IpAddress take_ip(Input& in, bool is_v4) {
  return is_v4 ? sys::IpAddress(take_ipv4(in)) : sys::IpAddress(take_ipv6(in));
}

}  // namespace l4n::fuzz
