#include "netns/sys/ip_address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <cstring>

namespace l4n::sys {
namespace {

// inet_pton wants a terminated string; no valid address is longer than this.
std::optional<std::string> terminated(std::string_view text) {
  if (text.empty() || text.size() >= INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  return std::string(text);
}

}  // namespace

std::optional<Ipv4Address> parse_ipv4(std::string_view text) {
  const auto name = terminated(text);
  in_addr raw{};
  if (!name || ::inet_pton(AF_INET, name->c_str(), &raw) != 1) {
    return std::nullopt;
  }
  return Ipv4Address{ntohl(raw.s_addr)};
}

std::optional<Ipv6Address> parse_ipv6(std::string_view text) {
  const auto name = terminated(text);
  Ipv6Address address;
  if (!name || ::inet_pton(AF_INET6, name->c_str(), address.bytes.data()) != 1) {
    return std::nullopt;
  }
  return address;
}

std::optional<IpAddress> parse_ip(std::string_view text) {
  if (const auto v4 = parse_ipv4(text)) {
    return IpAddress(*v4);
  }
  if (const auto v6 = parse_ipv6(text)) {
    return IpAddress(*v6);
  }
  return std::nullopt;
}

std::string to_string(const Ipv4Address& a) {
  return fmt::format("{}.{}.{}.{}", a.value >> 24U, (a.value >> 16U) & 0xffU, (a.value >> 8U) & 0xffU,
                     a.value & 0xffU);
}

std::string to_string(const Ipv6Address& a) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(AF_INET6, a.bytes.data(), text.data(), text.size());
  return text.data();
}

std::string to_string(const IpAddress& a) { return a.is_v4() ? to_string(a.v4()) : to_string(a.v6()); }

std::string to_string(const Endpoint& e) {
  if (e.address.is_v4()) {
    return fmt::format("{}:{}", to_string(e.address), e.port);
  }
  return fmt::format("[{}]:{}", to_string(e.address), e.port);
}

SocketAddress to_socket_address(const Endpoint& e, std::uint32_t scope_id) noexcept {
  SocketAddress out;
  if (e.address.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(e.port);
    in.sin_addr.s_addr = htonl(e.address.v4().value);
    std::memcpy(&out.storage, &in, sizeof in);
    out.length = sizeof in;
  } else {
    sockaddr_in6 in6{};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(e.port);
    in6.sin6_scope_id = scope_id;
    std::memcpy(&in6.sin6_addr, e.address.v6().bytes.data(), e.address.v6().bytes.size());
    std::memcpy(&out.storage, &in6, sizeof in6);
    out.length = sizeof in6;
  }
  return out;
}

std::optional<Endpoint> from_socket_address(const sockaddr_storage& storage, socklen_t length) noexcept {
  if (storage.ss_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in{};
    std::memcpy(&in, &storage, sizeof in);
    return Endpoint{Ipv4Address{ntohl(in.sin_addr.s_addr)}, ntohs(in.sin_port)};
  }
  if (storage.ss_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in6{};
    std::memcpy(&in6, &storage, sizeof in6);
    Ipv6Address address;
    std::memcpy(address.bytes.data(), &in6.sin6_addr, address.bytes.size());
    return Endpoint{address, ntohs(in6.sin6_port)};
  }
  return std::nullopt;
}

}  // namespace l4n::sys
