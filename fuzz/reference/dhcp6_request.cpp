#include "fuzz/reference/dhcp6_request.hpp"

#include <algorithm>

#include "tests/support/dhcp6_client.hpp"

namespace l4n::fuzz {
namespace {

using nat::Dhcp6Association;
using nat::Dhcp6Kind;
using nat::Dhcp6Request;
using test::Dhcp6Options;

constexpr unsigned kClientId = 1;
constexpr unsigned kServerId = 2;
constexpr unsigned kAddresses = 3;
constexpr unsigned kTemporary = 4;
constexpr unsigned kAddress = 5;
constexpr unsigned kWanted = 6;
constexpr unsigned kRapid = 14;
constexpr unsigned kPrefixes = 25;

std::size_t count(const Dhcp6Options& options, unsigned code) {
  return static_cast<std::size_t>(std::count_if(options.begin(), options.end(),
                                                [code](const auto& option) { return option.first == code; }));
}

// The value of an option that comes at most once; empty when there is none.
test::ByteString value_of(const Dhcp6Options& options, unsigned code) {
  const auto found = std::find_if(options.begin(), options.end(),
                                  [code](const auto& option) { return option.first == code; });
  return found == options.end() ? test::ByteString() : found->second;
}

bool is_duid(const Dhcp6Options& options, unsigned code) {
  const std::size_t size = value_of(options, code).size();
  return count(options, code) == 0 || (count(options, code) == 1 && size >= 3 && size <= 130);
}

bool is_association(unsigned code) { return code == kAddresses || code == kTemporary || code == kPrefixes; }

std::optional<sys::Ipv6Address> read_address(sys::Bytes value) {
  if (value.size() < 24 || !test::split_dhcp6_options(value.subspan(24))) {
    return std::nullopt;
  }
  sys::Ipv6Address address;
  for (std::size_t i = 0; i < address.bytes.size(); ++i) {
    address.bytes.at(i) = sys::load_u8(&value[i]);
  }
  return address;
}

std::optional<Dhcp6Association> read_association(unsigned code, sys::Bytes value) {
  const std::size_t fixed = code == kTemporary ? 4 : 12;
  const auto options = value.size() < fixed ? std::nullopt : test::split_dhcp6_options(value.subspan(fixed));
  if (!options) {
    return std::nullopt;
  }
  Dhcp6Association association{static_cast<Dhcp6Kind>(code), sys::load_be32(value.data())};
  for (const auto& [inner, body] : *options) {
    if (inner != kAddress || code != kAddresses) {
      continue;
    }
    const auto address = read_address(body);
    if (!address) {
      return std::nullopt;
    }
    association.addresses.push_back(*address);
  }
  return association;
}

bool take_associations(Dhcp6Request& request, const Dhcp6Options& options) {
  std::size_t addresses = 0;
  for (const auto& [code, value] : options) {
    if (!is_association(code)) {
      continue;
    }
    auto association = read_association(code, value);
    if (!association) {
      return false;
    }
    addresses += association->addresses.size();
    request.associations.push_back(*std::move(association));
  }
  return request.associations.size() <= 8 && addresses <= 8;
}

}  // namespace

std::optional<Dhcp6Request> expected_dhcp6_request(sys::Bytes message) {
  const auto options = message.size() < 4 ? std::nullopt : test::split_dhcp6_options(message.subspan(4));
  if (!options) {
    return std::nullopt;
  }
  const unsigned type = sys::load_u8(message.data());
  const test::ByteString wanted = value_of(*options, kWanted);
  const bool well_formed = type >= 1 && type <= 11 && is_duid(*options, kClientId) &&
                           is_duid(*options, kServerId) && count(*options, kWanted) <= 1 &&
                           wanted.size() % 2 == 0 && count(*options, kRapid) <= 1 &&
                           value_of(*options, kRapid).empty();
  Dhcp6Request request;
  if (!well_formed || !take_associations(request, *options)) {
    return std::nullopt;
  }
  request.type = static_cast<nat::Dhcp6Type>(type);
  request.transaction_id = sys::load_be32(message.data()) & 0xffffffU;
  request.client_id = value_of(*options, kClientId);
  request.server_id = value_of(*options, kServerId);
  request.rapid_commit = count(*options, kRapid) == 1;
  request.asks_for_options = count(*options, kWanted) == 1;
  for (std::size_t i = 0; i < wanted.size(); i += 2) {
    request.wanted.push_back(sys::load_be16(&wanted[i]));
  }
  return request;
}

}  // namespace l4n::fuzz
