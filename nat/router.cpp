#include "nat/router.hpp"

#include <array>

#include "netns/sys/keyed_hash.hpp"

namespace l4n::nat {
namespace {

stack::NdpEnvelope envelope_of(const stack::IcmpMessage& message) noexcept {
  const stack::IpHeader& ip = message.packet.ip;
  return {ip.source.v6(), ip.destination.v6(), ip.ttl};
}

// At random, so that many routers that were started together do not stay together.
sys::Duration next_interval() noexcept {
  constexpr auto kSpread = static_cast<std::uint64_t>((Router::kMaxInterval - Router::kMinInterval).count());
  const std::uint64_t extra = sys::HashKey::random().k0 % kSpread;
  return Router::kMinInterval + sys::Duration(static_cast<sys::Duration::rep>(extra));
}

}  // namespace

Router::Router(stack::GuestLink& link, stack::Neighbours& neighbours, sys::TimerQueue& timers,
               const PolicyConfig& policy)
    : link_(link), neighbours_(neighbours), policy_(policy), timer_(timers, *this) {
  if (policy_.network6) {
    timer_.arm(next_interval());
  }
}

Router::~Router() = default;

bool Router::serves(const stack::IcmpMessage& message) noexcept {
  return !message.packet.ip.is_v4() && message.type >= stack::NdpType::kRouterSolicitation &&
         message.type <= stack::NdpType::kNeighbourAdvertisement;
}

void Router::on_message(const stack::IcmpMessage& message) {
  // Pieces could be used to hide a message from those who watch the link (RFC 6980 5). What was put together
  // from fragments is known by having lost this.
  if (!message.packet.ip.dont_fragment) {
    ++counters_.malformed;
    return;
  }
  switch (message.type) {
    case stack::NdpType::kRouterSolicitation:
      on_router_solicitation(message);
      return;
    case stack::NdpType::kNeighbourSolicitation:
      on_neighbour_solicitation(message);
      return;
    case stack::NdpType::kNeighbourAdvertisement:
      on_neighbour_advertisement(message);
      return;
    default:
      return;  // another router's advertisement is none of our business
  }
}

// One who has no address yet is answered through all nodes (RFC 4861 6.2.6).
void Router::on_router_solicitation(const stack::IcmpMessage& message) {
  const stack::NdpEnvelope envelope = envelope_of(message);
  const auto solicitation = stack::decode_router_solicitation(message.message, envelope);
  if (!solicitation) {
    ++counters_.malformed;
    return;
  }
  if (sys::is_unspecified(envelope.source)) {
    advertise(stack::multicast_mac(stack::all_nodes()), stack::all_nodes());
    return;
  }
  if (solicitation->source_mac) {
    neighbours_.learn(envelope.source, *solicitation->source_mac);
  }
  advertise(message.packet.source_mac, envelope.source);
}

void Router::on_neighbour_solicitation(const stack::IcmpMessage& message) {
  const stack::NdpEnvelope envelope = envelope_of(message);
  const auto solicitation = stack::decode_neighbour_solicitation(message.message, envelope);
  if (!solicitation) {
    ++counters_.malformed;
    return;
  }
  if (solicitation->source_mac) {
    neighbours_.learn(envelope.source, *solicitation->source_mac);
  }
  if (!is_served(policy_, solicitation->target)) {
    return;
  }
  // Duplicate address detection has no address to answer to (RFC 4861 7.2.4).
  const bool detection = sys::is_unspecified(envelope.source);
  const sys::Ipv6Address to = detection ? stack::all_nodes() : envelope.source;
  const stack::MacAddress mac = detection ? stack::multicast_mac(to) : message.packet.source_mac;
  std::array<std::byte, stack::kNeighbourMessageSize> answer{};
  const std::size_t size = stack::encode_neighbour_advertisement(answer, {.target = solicitation->target,
                                                                          .router = true,
                                                                          .solicited = !detection,
                                                                          .override = true,
                                                                          .target_mac = stack::kGatewayMac});
  link_.send_icmp(mac, stack::ndp_header(solicitation->target, to), std::span(answer).first(size));
  ++counters_.answered;
}

void Router::on_neighbour_advertisement(const stack::IcmpMessage& message) {
  const auto advertisement = stack::decode_neighbour_advertisement(message.message, envelope_of(message));
  if (!advertisement) {
    ++counters_.malformed;
  } else {
    neighbours_.learn(*advertisement, message.packet.source_mac);
  }
}

void Router::advertise(const stack::MacAddress& mac, const sys::Ipv6Address& to) {
  stack::RouterAdvertisement advertisement;
  advertisement.mtu = link_.mtu();
  advertisement.prefix = *policy_.network6;
  // Addresses can be made of a prefix of 64 bits only; of another one DHCPv6 gives them.
  advertisement.autonomous = policy_.network6->prefix == 64;
  advertisement.managed = !advertisement.autonomous;
  advertisement.other = true;
  if (policy_.dns) {
    advertisement.dns_servers.push_back(policy_.network6->host(3));
    advertisement.search_domains = search_;
  }
  std::vector<std::byte> message(stack::kLargestRouterAdvertisement);
  message.resize(stack::encode_router_advertisement(message, advertisement));
  link_.send_icmp(mac, stack::ndp_header(kRouterAddress, to), message);
  ++counters_.advertised;
}

void Router::on_timer() noexcept {
  advertise(stack::multicast_mac(stack::all_nodes()), stack::all_nodes());
  timer_.arm(next_interval());
}

}  // namespace l4n::nat
