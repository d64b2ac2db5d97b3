// A DHCP client's view of the wire for tests, written apart from the product's codec: messages to send, and
// replies taken to pieces.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "netns/sys/ip_address.hpp"
#include "stack/mac_address.hpp"
#include "tests/support/byte_string.hpp"

namespace l4n::test {

inline constexpr std::size_t kDhcpServerNameAt = 44;
inline constexpr std::size_t kDhcpFileAt = 108;
inline constexpr std::size_t kDhcpCookieAt = 236;
inline constexpr std::size_t kDhcpOptionsAt = 240;

// Message types and options by their numbers in RFC 2132.
enum : unsigned {
  kDiscover = 1,
  kOffer = 2,
  kRequest = 3,
  kDecline = 4,
  kAck = 5,
  kNak = 6,
  kRelease = 7,
  kInform = 8,
};

class DhcpMessageBuilder {
 public:
  explicit DhcpMessageBuilder(const stack::MacAddress& mac) : bytes_(kDhcpOptionsAt) {
    bytes_[0] = std::byte{1};  // BOOTREQUEST
    bytes_[1] = std::byte{1};  // Ethernet
    bytes_[2] = std::byte{6};
    put32(4, 0x12345678);
    std::memcpy(&bytes_[28], mac.data(), mac.size());
    put32(kDhcpCookieAt, 0x63825363);
  }

  DhcpMessageBuilder& at(std::size_t where, unsigned value) {
    bytes_.at(where) = static_cast<std::byte>(value);
    return *this;
  }
  DhcpMessageBuilder& broadcast() { return at(10, 0x80); }
  DhcpMessageBuilder& ciaddr(sys::Ipv4Address a) { return put32(12, a.value); }
  DhcpMessageBuilder& giaddr(sys::Ipv4Address a) { return put32(24, a.value); }

  DhcpMessageBuilder& raw(sys::Bytes bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  DhcpMessageBuilder& option(unsigned code, sys::Bytes value) {
    raw(byte_string({code, static_cast<unsigned>(value.size())}));
    return raw(value);
  }
  DhcpMessageBuilder& option(unsigned code, sys::Ipv4Address a) {
    return option(code, byte_string({a.value >> 24U, a.value >> 16U, a.value >> 8U, a.value}));
  }
  DhcpMessageBuilder& type(unsigned value) { return option(53, byte_string({value})); }
  DhcpMessageBuilder& requested(sys::Ipv4Address a) { return option(50, a); }
  DhcpMessageBuilder& server(sys::Ipv4Address a) { return option(54, a); }

  // With the end option.
  [[nodiscard]] ByteString build() const {
    ByteString out = bytes_;
    out.push_back(std::byte{255});
    return out;
  }
  [[nodiscard]] ByteString build_without_end() const { return bytes_; }

 private:
  DhcpMessageBuilder& put32(std::size_t where, std::uint32_t value) {
    sys::store_be32(&bytes_[where], value);
    return *this;
  }

  ByteString bytes_;
};

struct DhcpView {
  std::uint32_t xid = 0;
  bool broadcast = false;
  sys::Ipv4Address ciaddr;
  sys::Ipv4Address yiaddr;
  sys::Ipv4Address siaddr;
  sys::Ipv4Address giaddr;
  ByteString chaddr;                      // 16 bytes
  std::vector<unsigned> order;            // codes as they come, the end option included
  std::map<unsigned, ByteString> values;  // parts of one code put together

  [[nodiscard]] bool has(unsigned code) const { return values.contains(code); }
  [[nodiscard]] std::uint32_t number(unsigned code) const {
    std::uint32_t value = 0;
    for (const std::byte b : values.at(code)) {
      value = value << 8U | std::to_integer<std::uint32_t>(b);
    }
    return value;
  }
  [[nodiscard]] sys::Ipv4Address address(unsigned code) const { return {number(code)}; }
  [[nodiscard]] unsigned type() const { return number(53); }
};

// Nothing unless the message is a reply that a strict client takes: whole options, an end option, and
// nothing but padding after it.
[[nodiscard]] inline std::optional<DhcpView> view_dhcp_reply(sys::Bytes message) {
  if (message.size() < 300 || message[0] != std::byte{2} || message[1] != std::byte{1} ||
      message[2] != std::byte{6} || sys::load_be32(&message[kDhcpCookieAt]) != 0x63825363) {
    return std::nullopt;
  }
  DhcpView view;
  view.xid = sys::load_be32(&message[4]);
  view.broadcast = sys::load_be16(&message[10]) == 0x8000;
  view.ciaddr = {sys::load_be32(&message[12])};
  view.yiaddr = {sys::load_be32(&message[16])};
  view.siaddr = {sys::load_be32(&message[20])};
  view.giaddr = {sys::load_be32(&message[24])};
  view.chaddr.assign(message.begin() + 28, message.begin() + 44);
  std::size_t i = kDhcpOptionsAt;
  while (i < message.size() && message[i] != std::byte{255}) {
    const unsigned code = sys::load_u8(&message[i]);
    if (i + 2 > message.size() || i + 2 + sys::load_u8(&message[i + 1]) > message.size()) {
      return std::nullopt;
    }
    const sys::Bytes value = message.subspan(i + 2, sys::load_u8(&message[i + 1]));
    view.order.push_back(code);
    view.values[code].insert(view.values[code].end(), value.begin(), value.end());
    i += 2 + value.size();
  }
  if (i == message.size()) {
    return std::nullopt;
  }
  view.order.push_back(255);
  const bool padded = std::all_of(message.begin() + static_cast<std::ptrdiff_t>(i) + 1, message.end(),
                                  [](std::byte b) { return b == std::byte{0}; });
  return padded ? std::optional(std::move(view)) : std::nullopt;
}

}  // namespace l4n::test
