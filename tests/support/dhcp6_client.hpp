// A DHCPv6 client's view of the wire for tests, written apart from the product's codec: messages to send, and
// replies taken to pieces. Numbers are those of RFC 8415.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "netns/sys/ip_address.hpp"
#include "tests/support/byte_string.hpp"

namespace l4n::test {

// Message types.
enum : unsigned {
  kSolicit6 = 1,
  kAdvertise6 = 2,
  kRequest6 = 3,
  kConfirm6 = 4,
  kRenew6 = 5,
  kRebind6 = 6,
  kReply6 = 7,
  kRelease6 = 8,
  kDecline6 = 9,
  kReconfigure6 = 10,
  kInformation6 = 11,
  kRelayForward6 = 12,
};

[[nodiscard]] inline sys::Ipv6Address ip6(std::string_view text) { return sys::parse_ipv6(text).value(); }

[[nodiscard]] inline ByteString be32_bytes(std::uint32_t v) {
  return byte_string({v >> 24U, v >> 16U, v >> 8U, v});
}

[[nodiscard]] inline ByteString dhcp6_option(unsigned code, sys::Bytes value) {
  const auto size = static_cast<unsigned>(value.size());
  return concat({byte_string({code >> 8U, code, size >> 8U, size}), value});
}

// IA Address.
[[nodiscard]] inline ByteString dhcp6_address(const sys::Ipv6Address& a) {
  return dhcp6_option(5, concat({std::as_bytes(std::span(a.bytes)), ByteString(8)}));
}

// The DUID of the client numbered n: type 3 (link-layer), Ethernet.
[[nodiscard]] inline ByteString client_duid(unsigned n) {
  return byte_string({0, 3, 0, 1, 2, 0, 0, 0, n >> 8U, n});
}
// Of the server: 52:55:0a:00:02:02.
[[nodiscard]] inline ByteString server_duid() { return from_hex("0003 0001 52550a000202"); }

class Dhcp6MessageBuilder {
 public:
  explicit Dhcp6MessageBuilder(unsigned type) : bytes_(byte_string({type, 0xab, 0xcd, 0xef})) {}

  Dhcp6MessageBuilder& raw(sys::Bytes bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Dhcp6MessageBuilder& option(unsigned code, sys::Bytes value) { return raw(dhcp6_option(code, value)); }
  Dhcp6MessageBuilder& client(unsigned n) { return option(1, client_duid(n)); }
  Dhcp6MessageBuilder& server() { return option(2, server_duid()); }
  Dhcp6MessageBuilder& wants(const std::vector<unsigned>& codes) {
    ByteString list;
    for (const unsigned code : codes) {
      list = concat({list, byte_string({code >> 8U, code})});
    }
    return option(6, list);
  }
  Dhcp6MessageBuilder& rapid() { return option(14, {}); }
  // IA_NA.
  Dhcp6MessageBuilder& addresses(std::uint32_t iaid, const std::vector<sys::Ipv6Address>& list = {}) {
    ByteString value = concat({be32_bytes(iaid), ByteString(8)});
    for (const sys::Ipv6Address& a : list) {
      value = concat({value, dhcp6_address(a)});
    }
    return option(3, value);
  }
  Dhcp6MessageBuilder& temporary(std::uint32_t iaid) { return option(4, be32_bytes(iaid)); }
  Dhcp6MessageBuilder& prefix(std::uint32_t iaid) {
    return option(25, concat({be32_bytes(iaid), ByteString(8)}));
  }

  [[nodiscard]] const ByteString& build() const { return bytes_; }

 private:
  ByteString bytes_;
};

// An association as it is answered, on one line: "3:7 fd00::100/86400 T1=43200 T2=69120 status=2".
// Nothing for the parts that are absent or zero.
using Dhcp6Options = std::vector<std::pair<unsigned, ByteString>>;

// Whole options to the end, or nothing.
[[nodiscard]] inline std::optional<Dhcp6Options> split_dhcp6_options(sys::Bytes bytes) {
  Dhcp6Options options;
  sys::ByteReader r(bytes);
  while (r.left() > 0) {
    const unsigned code = r.be16();
    const sys::Bytes value = r.bytes(r.be16());
    if (r.failed()) {
      return std::nullopt;
    }
    options.emplace_back(code, ByteString(value.begin(), value.end()));
  }
  return options;
}

[[nodiscard]] inline std::string describe_dhcp6_association(unsigned code, sys::Bytes value) {
  sys::ByteReader r(value);
  std::string text = std::to_string(code) + ":" + std::to_string(r.be32());
  const std::uint32_t t1 = code == 4 ? 0 : r.be32();
  const std::uint32_t t2 = code == 4 ? 0 : r.be32();
  const auto options = split_dhcp6_options(r.rest());
  if (r.failed() || !options) {
    return "malformed";
  }
  std::string status;
  for (const auto& [inner, body] : *options) {
    if (inner == 5 && body.size() == 24 && sys::load_be32(&body[16]) == sys::load_be32(&body[20])) {
      sys::Ipv6Address a;
      std::transform(body.begin(), body.begin() + 16, a.bytes.begin(),
                     [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
      text += " " + sys::to_string(a) + "/" + std::to_string(sys::load_be32(&body[16]));
    } else if (inner == 13 && body.size() >= 2) {
      status = " status=" + std::to_string(sys::load_be16(body.data()));
    } else {
      return "malformed";
    }
  }
  text += t1 != 0 ? " T1=" + std::to_string(t1) : "";
  text += t2 != 0 ? " T2=" + std::to_string(t2) : "";
  return text + status;
}

struct Dhcp6View {
  unsigned type = 0;
  std::uint32_t transaction_id = 0;
  std::vector<unsigned> order;            // option codes as they come
  std::map<unsigned, ByteString> values;  // the last one of each code
  std::vector<std::string> associations;  // as describe_dhcp6_association()

  [[nodiscard]] bool has(unsigned code) const { return values.contains(code); }
  // Of the message as a whole; -1: none.
  [[nodiscard]] int status() const { return has(13) ? sys::load_be16(values.at(13).data()) : -1; }
};

[[nodiscard]] inline std::optional<Dhcp6View> view_dhcp6_reply(sys::Bytes message) {
  const auto options = message.size() < 4 ? std::nullopt : split_dhcp6_options(message.subspan(4));
  if (!options) {
    return std::nullopt;
  }
  Dhcp6View view;
  view.type = sys::load_u8(message.data());
  view.transaction_id = sys::load_be32(message.data()) & 0xffffffU;
  for (const auto& [code, value] : *options) {
    view.order.push_back(code);
    view.values[code] = value;
    if (code == 3 || code == 4 || code == 25) {
      view.associations.push_back(describe_dhcp6_association(code, value));
    }
  }
  return view;
}

}  // namespace l4n::test
