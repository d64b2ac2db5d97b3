// IP addresses, endpoints and networks as values. IPv4 is kept in host byte order and converted only at the
// edge (packet codecs, socket addresses).
#pragma once

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace l4n::sys {

struct Ipv4Address {
  std::uint32_t value = 0;  // host byte order: 10.0.2.2 is 0x0a000202

  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the 0 of a rewritten `a < b` for a pointer
  friend constexpr auto operator<=>(const Ipv4Address&, const Ipv4Address&) = default;
};

[[nodiscard]] constexpr Ipv4Address make_ipv4(unsigned a, unsigned b, unsigned c, unsigned d) noexcept {
  return {(a << 24U) | (b << 16U) | (c << 8U) | d};
}

struct Ipv6Address {
  std::array<std::uint8_t, 16> bytes{};  // as on the wire

  // NOLINTNEXTLINE(modernize-use-nullptr): as above
  friend constexpr auto operator<=>(const Ipv6Address&, const Ipv6Address&) = default;
};

// Either family. An IPv4-mapped IPv6 address stays IPv6: the destination policy tells the two apart.
class IpAddress {
 public:
  constexpr IpAddress() = default;
  constexpr IpAddress(Ipv4Address v4) noexcept
      : v4_(v4), is_v4_(true) {}  // NOLINT(google-explicit-constructor)
  constexpr IpAddress(Ipv6Address v6) noexcept
      : v6_(v6), is_v4_(false) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] constexpr bool is_v4() const noexcept { return is_v4_; }
  // Only for the family that is_v4() tells; the other one reads as all zeros.
  [[nodiscard]] constexpr const Ipv4Address& v4() const noexcept { return v4_; }
  [[nodiscard]] constexpr const Ipv6Address& v6() const noexcept { return v6_; }

  // NOLINTNEXTLINE(modernize-use-nullptr): as above
  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  Ipv6Address v6_{};
  Ipv4Address v4_{};
  bool is_v4_ = true;
};

// An address and a TCP or UDP port (host byte order).
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;

  friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

// A network address and its prefix length, 0..32.
struct Ipv4Network {
  Ipv4Address address;
  unsigned prefix = 32;

  [[nodiscard]] constexpr std::uint32_t mask() const noexcept {
    return prefix == 0 ? 0U : ~std::uint32_t{0} << (32U - prefix);
  }
  [[nodiscard]] constexpr bool contains(Ipv4Address a) const noexcept {
    return (a.value & mask()) == (address.value & mask());
  }
  // x.N of the documentation: the network address plus N.
  [[nodiscard]] constexpr Ipv4Address host(std::uint32_t n) const noexcept {
    return {(address.value & mask()) + n};
  }
  [[nodiscard]] constexpr Ipv4Address broadcast() const noexcept { return {address.value | ~mask()}; }

  friend constexpr auto operator<=>(const Ipv4Network&, const Ipv4Network&) = default;
};

// A network address and its prefix length, 0..128.
struct Ipv6Network {
  Ipv6Address address;
  unsigned prefix = 64;

  [[nodiscard]] constexpr bool contains(const Ipv6Address& a) const noexcept {
    for (unsigned bit = 0; bit < prefix; bit += 8) {
      const unsigned used = prefix - bit < 8U ? prefix - bit : 8U;
      const auto mask = static_cast<std::uint8_t>(0xff00U >> used);
      if (((a.bytes[bit / 8] ^ address.bytes[bit / 8]) & mask) != 0) {
        return false;
      }
    }
    return true;
  }
  // x::N of the documentation: the network address with N in its last two bytes. The prefix is at most 112,
  // or N below 256 and the prefix at most 120.
  [[nodiscard]] constexpr Ipv6Address host(std::uint16_t n) const noexcept {
    Ipv6Address a = address;
    a.bytes[14] = static_cast<std::uint8_t>(a.bytes[14] | (n >> 8U));
    a.bytes[15] = static_cast<std::uint8_t>(n);
    return a;
  }

  friend constexpr auto operator<=>(const Ipv6Network&, const Ipv6Network&) = default;
};

// 127/8; ::1.
[[nodiscard]] constexpr bool is_loopback(const Ipv4Address& a) noexcept { return a.value >> 24U == 127; }
[[nodiscard]] constexpr bool is_loopback(const Ipv6Address& a) noexcept {
  Ipv6Address one;
  one.bytes[15] = 1;
  return a == one;
}
[[nodiscard]] constexpr bool is_loopback(const IpAddress& a) noexcept {
  return a.is_v4() ? is_loopback(a.v4()) : is_loopback(a.v6());
}
// ff00::/8.
[[nodiscard]] constexpr bool is_multicast(const Ipv6Address& a) noexcept { return a.bytes[0] == 0xff; }
// fe80::/10.
[[nodiscard]] constexpr bool is_link_local(const Ipv6Address& a) noexcept {
  return a.bytes[0] == 0xfe && (a.bytes[1] & 0xc0U) == 0x80;
}
// 0.0.0.0; ::.
[[nodiscard]] constexpr bool is_unspecified(const IpAddress& a) noexcept {
  return a.is_v4() ? a.v4() == Ipv4Address{} : a.v6() == Ipv6Address{};
}

// Dotted quad, four decimal parts, nothing else. / RFC 4291 text, without scope.
[[nodiscard]] std::optional<Ipv4Address> parse_ipv4(std::string_view text);
[[nodiscard]] std::optional<Ipv6Address> parse_ipv6(std::string_view text);
[[nodiscard]] std::optional<IpAddress> parse_ip(std::string_view text);

[[nodiscard]] std::string to_string(const Ipv4Address& a);
[[nodiscard]] std::string to_string(const Ipv6Address& a);
[[nodiscard]] std::string to_string(const IpAddress& a);
// 10.0.2.100:80, [fd00::2]:80
[[nodiscard]] std::string to_string(const Endpoint& e);

// The form that the socket calls take.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};
// `scope_id`: the interface of a link-local IPv6 address, 0 for none.
[[nodiscard]] SocketAddress to_socket_address(const Endpoint& e, std::uint32_t scope_id = 0) noexcept;
// Nothing when the family is neither AF_INET nor AF_INET6 or the length does not fit.
[[nodiscard]] std::optional<Endpoint> from_socket_address(const sockaddr_storage& storage,
                                                          socklen_t length) noexcept;

}  // namespace l4n::sys
