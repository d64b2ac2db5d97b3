#include "nat/dhcp6_server.hpp"

#include <algorithm>

#include "nat/guest_addresses.hpp"
#include "nat/policy.hpp"
#include "stack/mac_address.hpp"

namespace l4n::nat {
namespace {

constexpr auto kLifetime = static_cast<std::uint32_t>(DhcpLeases::kLeaseTime.count());

// Made of the link-layer address (RFC 8415 11.4), the same in every run.
constexpr std::size_t kDuidSize = 10;
std::vector<std::byte> server_duid() {
  constexpr std::uint16_t kLinkLayer = 3;
  constexpr std::uint16_t kEthernet = 1;
  std::vector<std::byte> duid(kDuidSize);
  sys::ByteWriter w(duid);
  w.be16(kLinkLayer);
  w.be16(kEthernet);
  w.bytes(std::as_bytes(std::span(stack::kGatewayMac)));
  return duid;
}

// A lease is one association's of one client.
std::vector<std::byte> lease_key(const Dhcp6Request& request, std::uint32_t iaid) {
  std::vector<std::byte> key(sizeof iaid + request.client_id.size());
  sys::ByteWriter w(key);
  w.be32(iaid);
  w.bytes(request.client_id);
  return key;
}

// The requirements of RFC 8415 16 on the two identifiers.
struct Rule {
  bool needs_client_id;
  bool needs_server_id;     // ours; else there must be none, …
  bool may_have_server_id;  // … or ours
  bool by_multicast_only;   // RFC 8415 18.4
};

std::optional<Rule> rule_of(Dhcp6Type type) noexcept {
  switch (type) {
    case Dhcp6Type::solicit:
    case Dhcp6Type::confirm:
    case Dhcp6Type::rebind:
      return Rule{true, false, false, true};
    case Dhcp6Type::request:
    case Dhcp6Type::renew:
    case Dhcp6Type::release:
    case Dhcp6Type::decline:
      return Rule{true, true, true, false};
    case Dhcp6Type::information_request:
      return Rule{false, false, true, true};
    case Dhcp6Type::advertise:
    case Dhcp6Type::reply:
    case Dhcp6Type::reconfigure:
      break;  // what servers say
  }
  return std::nullopt;
}

// What is not in the pool at all is refused in the words of its kind.
Dhcp6Status nothing_to_give(Dhcp6Kind kind) noexcept {
  return kind == Dhcp6Kind::prefix ? Dhcp6Status::no_prefix_avail : Dhcp6Status::no_addrs_avail;
}

Dhcp6AssociationReply refused(const Dhcp6Association& association, Dhcp6Status why) {
  return {association.kind, association.iaid, {}, why};
}

}  // namespace

Dhcp6Server::Dhcp6Server(const Config& config, const sys::Clock& clock)
    : config_(config), duid_(server_duid()), leases_(clock) {}

bool Dhcp6Server::serves(const sys::Endpoint& destination) const noexcept {
  const sys::IpAddress& to = destination.address;
  return destination.port == kDhcp6ServerPort &&
         (to == kAllDhcp6Servers || to == config_.network.host(2) || to == kRouterAddress);
}

std::optional<Dhcp6Reply> Dhcp6Server::answer(sys::Bytes message, const sys::Endpoint& source,
                                              const sys::Endpoint& destination) {
  const auto request = decode_dhcp6_request(message);
  const auto rule = request ? rule_of(request->type) : std::nullopt;
  if (!rule) {
    ++counters_.malformed;
    return std::nullopt;
  }
  ++counters_.requests;
  const bool multicast = destination.address == kAllDhcp6Servers;
  if (!is_valid(*request) || (rule->by_multicast_only && !multicast)) {
    return std::nullopt;
  }
  auto response = multicast ? respond(*request) : Dhcp6Response{.status = Dhcp6Status::use_multicast};
  if (!response) {
    return std::nullopt;
  }
  response->transaction_id = request->transaction_id;
  response->server_id = duid_;
  response->client_id = request->client_id;
  return Dhcp6Reply{encode_dhcp6_response(*response), {source.address, kDhcp6ClientPort}};
}

bool Dhcp6Server::is_valid(const Dhcp6Request& request) const noexcept {
  const Rule rule = rule_of(request.type).value();
  const bool is_ours = request.server_id == duid_;
  const bool server_id_fits =
      request.server_id.empty() ? !rule.needs_server_id : is_ours && rule.may_have_server_id;
  const bool only_asks = request.type == Dhcp6Type::information_request;
  return server_id_fits && (!rule.needs_client_id || !request.client_id.empty()) &&
         (!only_asks || request.associations.empty());
}

std::optional<Dhcp6Response> Dhcp6Server::respond(const Dhcp6Request& request) {
  switch (request.type) {
    case Dhcp6Type::solicit:
      return solicited(request);
    case Dhcp6Type::request:
      return served(request, &Dhcp6Server::assign);
    case Dhcp6Type::renew:
    case Dhcp6Type::rebind:
      return served(request, &Dhcp6Server::extend);
    case Dhcp6Type::confirm:
      return confirmed(request);
    case Dhcp6Type::release:
      return given_back(request, &DhcpLeases::release);
    case Dhcp6Type::decline:
      return given_back(request, &DhcpLeases::decline);
    case Dhcp6Type::information_request:
      return configuration(request);
    case Dhcp6Type::advertise:
    case Dhcp6Type::reply:
    case Dhcp6Type::reconfigure:
      break;
  }
  return std::nullopt;
}

// RFC 8415 18.3.1.
Dhcp6Response Dhcp6Server::solicited(const Dhcp6Request& request) {
  if (request.rapid_commit) {
    Dhcp6Response response = served(request, &Dhcp6Server::assign);
    response.rapid_commit = true;
    return response;
  }
  Dhcp6Response response = served(request, &Dhcp6Server::offer);
  response.type = Dhcp6Type::advertise;
  return response;
}

// RFC 8415 18.3.3: whether the client is still on our link.
std::optional<Dhcp6Response> Dhcp6Server::confirmed(const Dhcp6Request& request) const {
  bool any = false;
  bool all_on_link = true;
  for (const Dhcp6Association& association : request.associations) {
    for (const sys::Ipv6Address& address : association.addresses) {
      any = true;
      all_on_link = all_on_link && config_.network.contains(address);
    }
  }
  if (!any) {
    return std::nullopt;
  }
  return Dhcp6Response{.status = all_on_link ? Dhcp6Status::success : Dhcp6Status::not_on_link};
}

// Release and Decline (RFC 8415 18.3.7 and 18.3.8): only associations that we do not know are told.
Dhcp6Response Dhcp6Server::given_back(const Dhcp6Request& request,
                                      void (DhcpLeases::*give_back)(sys::Bytes, std::size_t) noexcept) {
  Dhcp6Response response{.status = Dhcp6Status::success};
  for (const Dhcp6Association& association : request.associations) {
    const std::vector<std::byte> client = lease_key(request, association.iaid);
    bool known = false;
    for (const sys::Ipv6Address& address : association.addresses) {
      const std::size_t number = number_of(address);
      known = known || leases_.has_lease(client, number);
      (leases_.*give_back)(client, number);
    }
    if (!known) {
      response.associations.push_back(refused(association, Dhcp6Status::no_binding));
    }
  }
  return response;
}

Dhcp6Response Dhcp6Server::served(const Dhcp6Request& request, Serve serve) {
  Dhcp6Response response = configuration(request);
  for (const Dhcp6Association& association : request.associations) {
    const bool has_pool = association.kind == Dhcp6Kind::address;
    response.associations.push_back(has_pool
                                        ? (this->*serve)(association, lease_key(request, association.iaid))
                                        : refused(association, nothing_to_give(association.kind)));
  }
  return response;
}

Dhcp6Response Dhcp6Server::configuration(const Dhcp6Request& request) const {
  Dhcp6Response response;
  if (config_.dns && request.wants(kDhcp6DnsServers)) {
    response.dns_server = config_.network.host(3);
  }
  if (request.wants(kDhcp6DomainSearch)) {
    response.domain_search = search_;
  }
  return response;
}

Dhcp6AssociationReply Dhcp6Server::offer(const Dhcp6Association& association, sys::Bytes client) {
  std::optional<std::size_t> hint;
  if (!association.addresses.empty()) {
    hint = number_of(association.addresses.front());
  }
  return with_lease(association, leases_.offer(client, hint));
}

// RFC 8415 18.3.2.
Dhcp6AssociationReply Dhcp6Server::assign(const Dhcp6Association& association, sys::Bytes client) {
  const bool on_link =
      std::all_of(association.addresses.begin(), association.addresses.end(),
                  [this](const sys::Ipv6Address& address) { return config_.network.contains(address); });
  return on_link ? with_lease(association, lease(association, client))
                 : refused(association, Dhcp6Status::not_on_link);
}

// Renew and Rebind (RFC 8415 18.3.4 and 18.3.5): what the client may not keep ends at once, as long as there
// is something that it may, or something of another link; else it has to begin anew.
Dhcp6AssociationReply Dhcp6Server::extend(const Dhcp6Association& association, sys::Bytes client) {
  if (association.addresses.empty()) {
    return assign(association, client);  // it has got none so far
  }
  Dhcp6AssociationReply reply{association.kind, association.iaid};
  bool known = false;
  for (const sys::Ipv6Address& address : association.addresses) {
    const bool bound = leases_.bind(client, number_of(address)) == DhcpLeases::Binding::granted;
    known = known || bound || !config_.network.contains(address);
    reply.addresses.push_back({address, bound ? kLifetime : 0});
  }
  return known ? reply : refused(association, Dhcp6Status::no_binding);
}

Dhcp6AssociationReply Dhcp6Server::with_lease(const Dhcp6Association& association,
                                              std::optional<std::size_t> number) {
  if (!number) {
    ++counters_.exhausted;
    return refused(association, Dhcp6Status::no_addrs_avail);
  }
  return {association.kind, association.iaid, {{address_of(*number), kLifetime}}, {}};
}

// One of the addresses that the client names, else any.
std::optional<std::size_t> Dhcp6Server::lease(const Dhcp6Association& association, sys::Bytes client) {
  for (const sys::Ipv6Address& address : association.addresses) {
    const std::size_t number = number_of(address);
    if (leases_.bind(client, number) == DhcpLeases::Binding::granted) {
      return number;
    }
  }
  const auto number = leases_.offer(client, std::nullopt);
  return number && leases_.bind(client, *number) == DhcpLeases::Binding::granted ? number : std::nullopt;
}

sys::Ipv6Address Dhcp6Server::address_of(std::size_t number) const noexcept {
  return config_.network.host(static_cast<std::uint16_t>(guest_number(config_.network) + number));
}

std::size_t Dhcp6Server::number_of(const sys::Ipv6Address& address) const noexcept {
  std::size_t number = 0;
  while (number < DhcpLeases::kSize && address_of(number) != address) {
    ++number;
  }
  return number;
}

}  // namespace l4n::nat
