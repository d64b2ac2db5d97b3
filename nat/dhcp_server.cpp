#include "nat/dhcp_server.hpp"

#include <algorithm>

namespace l4n::nat {
namespace {

constexpr std::size_t kUdpAndIpHeaderSize = 28;
constexpr std::uint32_t kFirst = 15;  // x.15
constexpr sys::Ipv4Address kNoAddress{};
constexpr sys::Ipv4Address kLimitedBroadcast = sys::make_ipv4(255, 255, 255, 255);

// What a client is known by: its own identifier, else its hardware type and address (RFC 2131 4.2). That is
// also what most clients that send an identifier take for one, so a boot loader and the system that it
// starts are the same client.
std::vector<std::byte> client_key(const DhcpRequest& request) {
  if (!request.client_id.empty()) {
    return request.client_id;
  }
  constexpr std::byte kEthernet{1};
  const auto mac = std::as_bytes(std::span(request.chaddr));
  std::vector<std::byte> key{kEthernet};
  key.insert(key.end(), mac.begin(), mac.end());
  return key;
}

const char* explain(DhcpLeases::Binding why) noexcept {
  switch (why) {
    case DhcpLeases::Binding::not_in_pool:
      return "address not available here";
    case DhcpLeases::Binding::taken:
      return "address in use";
    case DhcpLeases::Binding::other_address:
      return "lease on another address";
    case DhcpLeases::Binding::granted:
      break;
  }
  return "";
}

// RFC 2131 4.1. Relays do not get this far.
DhcpReply addressed(const DhcpRequest& request, const DhcpResponse& response, const stack::MacAddress& from) {
  if (response.type != DhcpType::nak && request.ciaddr != kNoAddress) {
    return {{}, {request.ciaddr, kDhcpClientPort}, from};
  }
  if (response.type == DhcpType::nak || request.broadcast || response.yiaddr == kNoAddress) {
    return {{}, {kLimitedBroadcast, kDhcpClientPort}, stack::kBroadcastMac};
  }
  return {{}, {response.yiaddr, kDhcpClientPort}, request.chaddr};
}

}  // namespace

bool DhcpServer::serves(const sys::Endpoint& source, const sys::Endpoint& destination) const noexcept {
  if (source.port != kDhcpClientPort || destination.port != kDhcpServerPort || !destination.address.is_v4()) {
    return false;
  }
  const sys::Ipv4Address to = destination.address.v4();
  return to == own_address() || to == kLimitedBroadcast || to == config_.network.broadcast();
}

std::optional<DhcpReply> DhcpServer::answer(sys::Bytes message, const stack::MacAddress& from) {
  const auto request = decode_dhcp_request(message);
  if (!request) {
    ++counters_.malformed;
    return std::nullopt;
  }
  ++counters_.requests;
  if (request->giaddr != kNoAddress) {
    return std::nullopt;  // from a relay's other network, where none of our addresses would work
  }
  const std::vector<std::byte> client = client_key(*request);
  auto response = respond(*request, client);
  if (!response) {
    return std::nullopt;
  }
  response->xid = request->xid;
  response->broadcast = request->broadcast;
  response->chaddr = request->chaddr;
  response->server_id = own_address();
  response->client_id = request->client_id;
  DhcpReply reply = addressed(*request, *response, from);
  reply.payload = encode_dhcp_response(*response, size_limit(*request));
  return reply;
}

std::optional<DhcpResponse> DhcpServer::respond(const DhcpRequest& request, sys::Bytes client) {
  const bool for_us = !request.server_id || *request.server_id == own_address();
  switch (request.type) {
    case DhcpType::discover:
      return on_discover(request, client);
    case DhcpType::request:
      return on_request(request, client);
    case DhcpType::inform:
      return on_inform(request);
    case DhcpType::release:
      if (for_us) {
        leases_.release(client, number_of(request.ciaddr));
      }
      return std::nullopt;
    case DhcpType::decline:
      if (for_us && request.requested_address) {
        leases_.decline(client, number_of(*request.requested_address));
      }
      return std::nullopt;
    case DhcpType::offer:
    case DhcpType::ack:
    case DhcpType::nak:
      break;  // what servers say
  }
  return std::nullopt;
}

std::optional<DhcpResponse> DhcpServer::on_discover(const DhcpRequest& request, sys::Bytes client) {
  std::optional<std::size_t> wanted;
  if (request.requested_address) {
    wanted = number_of(*request.requested_address);
  }
  const auto number = leases_.offer(client, wanted);
  if (!number) {
    ++counters_.exhausted;
    return std::nullopt;
  }
  return grant(DhcpType::offer, address_of(*number));
}

// RFC 2131 4.3.2. The four states in which a client sends this need not be told apart: with an offer or an
// old lease the address is in option 50, while renewing or rebinding it is in ciaddr, and it is granted or
// refused for the same reasons.
std::optional<DhcpResponse> DhcpServer::on_request(const DhcpRequest& request, sys::Bytes client) {
  if (request.server_id && *request.server_id != own_address()) {
    leases_.withdraw_offer(client);
    return std::nullopt;
  }
  const sys::Ipv4Address address = request.requested_address.value_or(request.ciaddr);
  const DhcpLeases::Binding binding = leases_.bind(client, number_of(address));
  if (binding != DhcpLeases::Binding::granted) {
    return refuse(binding);
  }
  DhcpResponse response = grant(DhcpType::ack, address);
  response.ciaddr = request.ciaddr;
  return response;
}

// RFC 2131 4.3.5: the client has its address from elsewhere.
std::optional<DhcpResponse> DhcpServer::on_inform(const DhcpRequest& request) const {
  if (request.ciaddr != kNoAddress && !config_.network.contains(request.ciaddr)) {
    return std::nullopt;
  }
  DhcpResponse response = configuration(DhcpType::ack);
  response.ciaddr = request.ciaddr;
  return response;
}

DhcpResponse DhcpServer::grant(DhcpType type, sys::Ipv4Address address) const {
  DhcpResponse response = configuration(type);
  response.yiaddr = address;
  response.lease_time = static_cast<std::uint32_t>(DhcpLeases::kLeaseTime.count());
  return response;
}

DhcpResponse DhcpServer::configuration(DhcpType type) const {
  DhcpResponse response;
  response.type = type;
  response.subnet_mask = sys::Ipv4Address{config_.network.mask()};
  response.router = own_address();
  if (config_.dns) {
    response.dns_server = config_.network.host(3);
  }
  response.interface_mtu = static_cast<std::uint16_t>(std::min(config_.mtu, 65535U));
  response.domain_search = search_;
  return response;
}

DhcpResponse DhcpServer::refuse(DhcpLeases::Binding why) {
  ++counters_.refused;
  DhcpResponse response;
  response.type = DhcpType::nak;
  response.text = explain(why);
  return response;
}

sys::Ipv4Address DhcpServer::address_of(std::size_t number) const noexcept {
  return config_.network.host(static_cast<std::uint32_t>(kFirst + number));
}

std::size_t DhcpServer::number_of(sys::Ipv4Address address) const noexcept {
  return address.value - config_.network.host(kFirst).value;  // wraps for addresses below the pool
}

// In bytes of UDP payload: what the client takes, and no more than one packet without fragments.
std::size_t DhcpServer::size_limit(const DhcpRequest& request) const noexcept {
  const std::size_t asked = request.max_message_size.value_or(kSmallestDhcpPacketLimit);
  return std::min<std::size_t>(std::max(asked, kSmallestDhcpPacketLimit), config_.mtu) - kUdpAndIpHeaderSize;
}

}  // namespace l4n::nat
