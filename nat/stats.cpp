#include "nat/stats.hpp"

namespace l4n::nat {
namespace {

Stats::Use use_of(const Gateway& gateway) {
  Stats::Use use;
  use.tcp_flows = gateway.tcp().flows();
  use.tcp_attempts = gateway.tcp().attempts();
  use.tcp_time_wait = gateway.guest_tcp().time_wait();
  use.udp_flows = gateway.udp().flows();
  use.udp_forward_sessions = gateway.udp_forwards().sessions();
  use.ping_flows = gateway.icmp().flows();
  use.dns_questions = gateway.dns().pending();
  use.dns_spare = gateway.dns().spare_sockets();
  use.forward_ports = gateway.port_forwards().ports();
  use.neighbours = gateway.neighbours().size();
  use.dhcp_leases = gateway.dhcp().leases().in_use();
  use.dhcp6_leases = gateway.dhcp6() != nullptr ? gateway.dhcp6()->leases().in_use() : 0;
  use.memory = gateway.memory().in_use();
  use.memory_peak = gateway.memory().peak();
  use.reassembly_datagrams = gateway.reassembly().pending();
  use.reassembly_bytes = gateway.reassembly().bytes();
  use.frame_buffers = gateway.guest_tcp().buffers().in_use();
  use.unused_frame_buffers = gateway.guest_tcp().buffers().unused();
  return use;
}

}  // namespace

Stats collect_stats(const Gateway& gateway) {
  Stats stats;
  stats.limits = gateway.limits();
  stats.in_use = use_of(gateway);
  stats.frames = gateway.counters();
  stats.no_memory = gateway.guest_tcp().buffers().refused();
  stats.link = gateway.link().counters();
  stats.tcp = gateway.tcp().counters();
  stats.segments = gateway.guest_tcp().counters();
  stats.udp = gateway.udp().counters();
  stats.udp_forwards = gateway.udp_forwards().counters();
  stats.ping = gateway.icmp().counters();
  stats.dns = gateway.dns().counters();
  stats.dhcp = gateway.dhcp().counters();
  stats.dhcp6 = gateway.dhcp6() != nullptr ? gateway.dhcp6()->counters() : Dhcp6Server::Counters{};
  stats.router = gateway.router().counters();
  stats.reassembly = gateway.reassembly().counters();
  return stats;
}

}  // namespace l4n::nat
