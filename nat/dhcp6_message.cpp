#include "nat/dhcp6_message.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "stack/domain_name.hpp"

namespace l4n::nat {
namespace {

struct Code {
  static constexpr std::uint16_t kClientId = 1;
  static constexpr std::uint16_t kServerId = 2;
  static constexpr std::uint16_t kAddress = 5;  // IA Address
  static constexpr std::uint16_t kOptionRequest = 6;
  static constexpr std::uint16_t kStatus = 13;
  static constexpr std::uint16_t kRapidCommit = 14;
};

constexpr std::size_t kOptionHeaderSize = 4;
constexpr std::size_t kAddressSize = 16;
// A DUID: two bytes of type and 1 to 128 more (RFC 8415 11.1).
constexpr std::size_t kShortestDuid = 3;
constexpr std::size_t kLongestDuid = 130;

// Hands each option of `field` to `take`; false when one is cut off or `take` says so.
template <class Take>
bool for_each_option(sys::Bytes field, const Take& take) {
  sys::ByteReader r(field);
  while (r.left() > 0) {
    const std::uint16_t code = r.be16();
    const sys::Bytes value = r.bytes(r.be16());
    if (r.failed() || !take(code, value)) {
      return false;
    }
  }
  return true;
}

bool take_duid(std::vector<std::byte>& into, sys::Bytes value) {
  if (!into.empty() || value.size() < kShortestDuid || value.size() > kLongestDuid) {
    return false;
  }
  into.assign(value.begin(), value.end());
  return true;
}

bool take_option_request(Dhcp6Request& request, sys::Bytes value) {
  if (request.asks_for_options || value.size() % 2 != 0) {
    return false;
  }
  request.asks_for_options = true;
  for (sys::ByteReader r(value); r.left() > 0;) {
    request.wanted.push_back(r.be16());
  }
  return true;
}

bool take_rapid_commit(Dhcp6Request& request, sys::Bytes value) {
  const bool good = !request.rapid_commit && value.empty();
  request.rapid_commit = true;
  return good;
}

// RFC 8415 21.6: address, two lifetimes, options.
bool take_address(Dhcp6Association& association, sys::Bytes value) {
  sys::ByteReader r(value);
  const sys::Bytes bytes = r.bytes(kAddressSize);
  r.skip(8);
  if (r.failed() || !for_each_option(r.rest(), [](auto, auto) { return true; })) {
    return false;
  }
  sys::Ipv6Address address;
  std::memcpy(address.bytes.data(), bytes.data(), bytes.size());
  association.addresses.push_back(address);
  return true;
}

// RFC 8415 21.4, 21.5 and 21.21: the IAID, for all but IA_TA two times, options.
bool take_association(Dhcp6Request& request, Dhcp6Kind kind, sys::Bytes value) {
  sys::ByteReader r(value);
  Dhcp6Association association{kind, r.be32()};
  r.skip(kind == Dhcp6Kind::temporary_address ? 0 : 8);
  const auto take = [&](std::uint16_t code, sys::Bytes inner) {
    const bool is_address = code == Code::kAddress && kind == Dhcp6Kind::address;
    return !is_address || take_address(association, inner);
  };
  if (r.failed() || !for_each_option(r.rest(), take)) {
    return false;
  }
  request.associations.push_back(std::move(association));
  return true;
}

bool take_option(Dhcp6Request& request, std::uint16_t code, sys::Bytes value) {
  switch (code) {
    case Code::kClientId:
      return take_duid(request.client_id, value);
    case Code::kServerId:
      return take_duid(request.server_id, value);
    case Code::kOptionRequest:
      return take_option_request(request, value);
    case Code::kRapidCommit:
      return take_rapid_commit(request, value);
    case static_cast<std::uint16_t>(Dhcp6Kind::address):
    case static_cast<std::uint16_t>(Dhcp6Kind::temporary_address):
    case static_cast<std::uint16_t>(Dhcp6Kind::prefix):
      return take_association(request, static_cast<Dhcp6Kind>(code), value);
    default:
      return true;
  }
}

bool within_bounds(const Dhcp6Request& request) {
  std::size_t addresses = 0;
  for (const Dhcp6Association& association : request.associations) {
    addresses += association.addresses.size();
  }
  return request.associations.size() <= kMostDhcp6Associations && addresses <= kMostDhcp6Addresses;
}

// Grows with what is put in, which is bounded (kMostDhcp6Associations and the search list's limit).
class Writer {
 public:
  void be16(std::uint16_t v) {
    out_.push_back(static_cast<std::byte>(v >> 8U));
    out_.push_back(static_cast<std::byte>(v));
  }
  void be32(std::uint32_t v) {
    be16(static_cast<std::uint16_t>(v >> 16U));
    be16(static_cast<std::uint16_t>(v));
  }
  void bytes(sys::Bytes bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  void address(const sys::Ipv6Address& a) { bytes(std::as_bytes(std::span(a.bytes))); }

  // An option with the value that `put` writes.
  template <class Put>
  void option(std::uint16_t code, const Put& put) {
    be16(code);
    be16(0);
    const std::size_t begin = out_.size();
    put();
    sys::store_be16(&out_[begin - 2], static_cast<std::uint16_t>(out_.size() - begin));
  }
  // Left out when there is nothing to say.
  void bytes_option(std::uint16_t code, sys::Bytes value) {
    if (!value.empty()) {
      option(code, [&] { bytes(value); });
    }
  }
  void status(const std::optional<Dhcp6Status>& status) {
    if (status) {
      option(Code::kStatus, [&] { be16(static_cast<std::uint16_t>(*status)); });
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return out_.size(); }
  [[nodiscard]] std::vector<std::byte> finish() && { return std::move(out_); }

 private:
  std::vector<std::byte> out_;
};

// When to renew and to rebind: at a half and at four fifths of the lifetime (RFC 8415 21.4).
void put_times(Writer& w, const Dhcp6AssociationReply& association) {
  std::uint32_t lifetime = 0;
  for (const Dhcp6Address& a : association.addresses) {
    lifetime = std::max(lifetime, a.lifetime);
  }
  w.be32(lifetime / 2);
  w.be32(lifetime / 5 * 4);
}

void put_association(Writer& w, const Dhcp6AssociationReply& association) {
  w.option(static_cast<std::uint16_t>(association.kind), [&] {
    w.be32(association.iaid);
    if (association.kind != Dhcp6Kind::temporary_address) {
      put_times(w, association);
    }
    for (const Dhcp6Address& a : association.addresses) {
      w.option(Code::kAddress, [&] {
        w.address(a.address);
        w.be32(a.lifetime);
        w.be32(a.lifetime);
      });
    }
    w.status(association.status);
  });
}

}  // namespace

bool Dhcp6Request::wants(std::uint16_t option) const noexcept {
  return !asks_for_options || std::find(wanted.begin(), wanted.end(), option) != wanted.end();
}

std::optional<Dhcp6Request> decode_dhcp6_request(sys::Bytes message) {
  sys::ByteReader r(message);
  Dhcp6Request request;
  const std::uint32_t first = r.be32();
  const std::uint32_t type = first >> 24U;
  request.type = static_cast<Dhcp6Type>(type);
  request.transaction_id = first & 0xffffffU;
  if (r.failed() || type < static_cast<std::uint32_t>(Dhcp6Type::solicit) ||
      type > static_cast<std::uint32_t>(Dhcp6Type::information_request)) {
    return std::nullopt;
  }
  const auto take = [&](std::uint16_t code, sys::Bytes value) { return take_option(request, code, value); };
  if (!for_each_option(r.rest(), take) || !within_bounds(request)) {
    return std::nullopt;
  }
  return request;
}

std::vector<std::byte> encode_dhcp6_response(const Dhcp6Response& response) {
  Writer w;
  w.be32((static_cast<std::uint32_t>(response.type) << 24U) | response.transaction_id);
  w.bytes_option(Code::kServerId, response.server_id);
  w.bytes_option(Code::kClientId, response.client_id);
  if (response.rapid_commit) {
    w.option(Code::kRapidCommit, [] {});
  }
  w.status(response.status);
  for (const Dhcp6AssociationReply& association : response.associations) {
    put_association(w, association);
  }
  if (response.dns_server) {
    w.option(kDhcp6DnsServers, [&] { w.address(*response.dns_server); });
  }
  const std::size_t used = w.size() + kOptionHeaderSize;
  const std::size_t room = kLargestDhcp6Message - std::min(used, kLargestDhcp6Message);
  w.bytes_option(kDhcp6DomainSearch, stack::encode_search_list(response.domain_search, room));
  return std::move(w).finish();
}

}  // namespace l4n::nat
