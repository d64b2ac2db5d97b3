#include "nat/dhcp_message.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "stack/domain_name.hpp"

namespace l4n::nat {
namespace {

constexpr std::uint8_t kBootRequest = 1;
constexpr std::uint8_t kBootReply = 2;
constexpr std::uint8_t kHardwareEthernet = 1;
constexpr std::uint16_t kBroadcastFlag = 0x8000;
constexpr std::uint32_t kMagicCookie = 0x63825363;

// The fixed part: op htype hlen hops, xid, secs flags, four addresses, chaddr, sname, file, the cookie.
constexpr std::size_t kHardwareAddressSize = 16;
constexpr std::size_t kServerNameSize = 64;
constexpr std::size_t kFileSize = 128;
constexpr std::size_t kFixedSize = 28 + kHardwareAddressSize + kServerNameSize + kFileSize + 4;

struct Code {
  static constexpr std::uint8_t kPad = 0;
  static constexpr std::uint8_t kSubnetMask = 1;
  static constexpr std::uint8_t kRouter = 3;
  static constexpr std::uint8_t kDnsServer = 6;
  static constexpr std::uint8_t kInterfaceMtu = 26;
  static constexpr std::uint8_t kRequestedAddress = 50;
  static constexpr std::uint8_t kLeaseTime = 51;
  static constexpr std::uint8_t kOverload = 52;
  static constexpr std::uint8_t kMessageType = 53;
  static constexpr std::uint8_t kServerId = 54;
  static constexpr std::uint8_t kText = 56;
  static constexpr std::uint8_t kMaxMessageSize = 57;
  static constexpr std::uint8_t kClientId = 61;
  static constexpr std::uint8_t kDomainSearch = 119;
  static constexpr std::uint8_t kEnd = 255;
};

constexpr std::size_t kOptionHeaderSize = 2;
constexpr std::size_t kLongestOption = 255;  // a longer value goes into several options of one code

// The options of a request that mean something to us, each with its parts put together. As with ByteReader,
// one asks for all of them and then once whether anything was wrong.
class OptionSet {
 public:
  // Takes in one field of options, to its end or to the end option.
  void add(sys::Bytes field) {
    sys::ByteReader reader(field);
    while (reader.left() > 0) {
      const std::uint8_t code = reader.u8();
      if (code == Code::kEnd) {
        return;
      }
      if (code != Code::kPad) {
        append(code, reader.bytes(reader.u8()));
      }
    }
    failed_ = failed_ || reader.failed();
  }

  // An option of exactly `size` bytes as a number.
  [[nodiscard]] std::optional<std::uint32_t> number(std::uint8_t code, std::size_t size) {
    const Option* option = find(code);
    if (option == nullptr || !option->present) {
      return std::nullopt;
    }
    failed_ = failed_ || option->value.size() != size;
    std::uint32_t value = 0;
    for (const std::byte b : std::span(option->value).first(std::min(size, option->value.size()))) {
      value = (value << 8U) | std::to_integer<std::uint32_t>(b);
    }
    return value;
  }

  [[nodiscard]] std::optional<sys::Ipv4Address> address(std::uint8_t code) {
    const auto value = number(code, 4);
    return value ? std::optional(sys::Ipv4Address{*value}) : std::nullopt;
  }

  // An option of `least` to kLongestOption bytes; empty when it is absent.
  [[nodiscard]] std::vector<std::byte> bytes(std::uint8_t code, std::size_t least) {
    const Option* option = find(code);
    if (option == nullptr || !option->present) {
      return {};
    }
    failed_ = failed_ || option->value.size() < least || option->value.size() > kLongestOption;
    return option->value;
  }

  [[nodiscard]] bool failed() const noexcept { return failed_; }

 private:
  struct Option {
    std::uint8_t code;
    bool present = false;
    std::vector<std::byte> value{};
  };

  [[nodiscard]] Option* find(std::uint8_t code) noexcept {
    auto* const found = std::find_if(options_.begin(), options_.end(),
                                     [code](const Option& option) { return option.code == code; });
    return found == options_.end() ? nullptr : found;
  }

  void append(std::uint8_t code, sys::Bytes value) {
    if (Option* option = find(code)) {
      option->present = true;
      option->value.insert(option->value.end(), value.begin(), value.end());
    }
  }

  std::array<Option, 6> options_{{{Code::kRequestedAddress},
                                  {Code::kOverload},
                                  {Code::kMessageType},
                                  {Code::kServerId},
                                  {Code::kMaxMessageSize},
                                  {Code::kClientId}}};
  bool failed_ = false;
};

// The fields that option 52 says hold options too, in the order of RFC 3396 5.
bool add_overloaded(OptionSet& options, sys::Bytes server_name, sys::Bytes file) {
  constexpr std::uint32_t kInFile = 1;
  constexpr std::uint32_t kInServerName = 2;
  const std::uint32_t overload = options.number(Code::kOverload, 1).value_or(0);
  if ((overload & kInFile) != 0) {
    options.add(file);
  }
  if ((overload & kInServerName) != 0) {
    options.add(server_name);
  }
  return overload <= (kInFile | kInServerName);
}

std::optional<DhcpType> message_type(OptionSet& options) {
  const std::uint32_t value = options.number(Code::kMessageType, 1).value_or(0);
  if (value < static_cast<std::uint32_t>(DhcpType::discover) ||
      value > static_cast<std::uint32_t>(DhcpType::inform)) {
    return std::nullopt;
  }
  return static_cast<DhcpType>(value);
}

bool usable(const stack::MacAddress& mac) noexcept {
  return !stack::is_multicast(mac) && mac != stack::MacAddress{};
}

// Grows with what is put in. The size of everything but the search list is bounded by its fields.
class ReplyWriter {
 public:
  explicit ReplyWriter(std::size_t limit) : limit_(limit) { message_.reserve(kSmallestDhcpPacketLimit); }

  void fixed_part(const DhcpResponse& response) {
    message_.resize(kFixedSize);
    sys::ByteWriter w(message_);
    w.u8(kBootReply);
    w.u8(kHardwareEthernet);
    w.u8(static_cast<std::uint8_t>(response.chaddr.size()));
    w.u8(0);  // hops
    w.be32(response.xid);
    w.be16(0);  // secs
    w.be16(response.broadcast ? kBroadcastFlag : std::uint16_t{0});
    w.be32(response.ciaddr.value);
    w.be32(response.yiaddr.value);
    w.be32(0);  // siaddr: nothing to boot from
    w.be32(0);  // giaddr
    w.bytes(std::as_bytes(std::span(response.chaddr)));
    sys::store_be32(&message_[kFixedSize - 4], kMagicCookie);
  }

  void option(std::uint8_t code, sys::Bytes value) {
    for (; !value.empty(); value = value.subspan(std::min(value.size(), kLongestOption))) {
      const sys::Bytes part = value.first(std::min(value.size(), kLongestOption));
      message_.push_back(static_cast<std::byte>(code));
      message_.push_back(static_cast<std::byte>(part.size()));
      message_.insert(message_.end(), part.begin(), part.end());
    }
  }
  void option(std::uint8_t code, std::uint8_t value) { option(code, std::as_bytes(std::span(&value, 1))); }
  void option(std::uint8_t code, const std::optional<std::uint16_t>& value) {
    if (value) {
      std::array<std::byte, 2> bytes{};
      sys::store_be16(bytes.data(), *value);
      option(code, bytes);
    }
  }
  void option(std::uint8_t code, const std::optional<std::uint32_t>& value) {
    if (value) {
      std::array<std::byte, 4> bytes{};
      sys::store_be32(bytes.data(), *value);
      option(code, bytes);
    }
  }
  void option(std::uint8_t code, const std::optional<sys::Ipv4Address>& address) {
    option(code, address ? std::optional(address->value) : std::nullopt);
  }

  void domain_search(std::span<const std::string> names) {
    option(Code::kDomainSearch, stack::encode_search_list(names, room()));
  }

  [[nodiscard]] std::vector<std::byte> finish() && {
    message_.push_back(std::byte{Code::kEnd});
    message_.resize(std::max(message_.size(), kSmallestDhcpReply));
    return std::move(message_);
  }

 private:
  // How long the value of an option may be that still leaves room for the end option.
  [[nodiscard]] std::size_t room() const noexcept {
    constexpr std::size_t kWholePart = kOptionHeaderSize + kLongestOption;
    const std::size_t left = limit_ - std::min(limit_, message_.size() + 1);
    const std::size_t last_part = left % kWholePart;
    return left / kWholePart * kLongestOption + last_part - std::min(last_part, kOptionHeaderSize);
  }

  std::size_t limit_;
  std::vector<std::byte> message_;
};

}  // namespace

std::optional<DhcpRequest> decode_dhcp_request(sys::Bytes message) {
  sys::ByteReader r(message);
  DhcpRequest request;
  const bool from_ethernet =
      r.u8() == kBootRequest && r.u8() == kHardwareEthernet && r.u8() == request.chaddr.size();
  r.skip(1);  // hops
  request.xid = r.be32();
  r.skip(2);  // secs
  request.broadcast = (r.be16() & kBroadcastFlag) != 0;
  request.ciaddr = {r.be32()};
  r.skip(8);  // yiaddr, siaddr
  request.giaddr = {r.be32()};
  const sys::Bytes chaddr = r.bytes(kHardwareAddressSize);
  const sys::Bytes server_name = r.bytes(kServerNameSize);
  const sys::Bytes file = r.bytes(kFileSize);
  if (!from_ethernet || r.be32() != kMagicCookie || r.failed()) {
    return std::nullopt;
  }
  std::memcpy(request.chaddr.data(), chaddr.data(), request.chaddr.size());

  OptionSet options;
  options.add(r.rest());
  if (!usable(request.chaddr) || !add_overloaded(options, server_name, file)) {
    return std::nullopt;
  }
  const auto type = message_type(options);
  request.type = type.value_or(DhcpType::discover);
  request.requested_address = options.address(Code::kRequestedAddress);
  request.server_id = options.address(Code::kServerId);
  if (const auto size = options.number(Code::kMaxMessageSize, 2)) {
    request.max_message_size = static_cast<std::uint16_t>(*size);
  }
  request.client_id = options.bytes(Code::kClientId, 2);
  if (!type || options.failed()) {
    return std::nullopt;
  }
  return request;
}

std::vector<std::byte> encode_dhcp_response(const DhcpResponse& response, std::size_t limit) {
  ReplyWriter w(limit);
  w.fixed_part(response);
  w.option(Code::kMessageType, static_cast<std::uint8_t>(response.type));
  w.option(Code::kServerId, std::optional(response.server_id));
  w.option(Code::kLeaseTime, response.lease_time);
  w.option(Code::kSubnetMask, response.subnet_mask);  // before the router: RFC 2132 3.3
  w.option(Code::kRouter, response.router);
  w.option(Code::kDnsServer, response.dns_server);
  w.option(Code::kInterfaceMtu, response.interface_mtu);
  w.option(Code::kText, std::as_bytes(std::span(response.text)));
  w.option(Code::kClientId, response.client_id);
  w.domain_search(response.domain_search);
  return std::move(w).finish();
}

}  // namespace l4n::nat
