#include "cli/stats_json.hpp"

#include <nlohmann/json.hpp>

#include "cli/api_server.hpp"

namespace l4n::cli {
namespace {

using Json = nlohmann::ordered_json;

const char* name_of(stack::DropReason reason) noexcept {
  switch (reason) {
    case stack::DropReason::short_frame:
      return "short_frame";
    case stack::DropReason::bad_source_mac:
      return "bad_source_mac";
    case stack::DropReason::not_for_us:
      return "not_for_us";
    case stack::DropReason::unknown_type:
      return "unknown_type";
    case stack::DropReason::bad_arp:
      return "bad_arp";
    case stack::DropReason::bad_ip_header:
      return "bad_ip_header";
    case stack::DropReason::bad_transport_header:
      return "bad_transport_header";
    case stack::DropReason::bad_checksum:
      return "bad_checksum";
    case stack::DropReason::unknown_protocol:
      return "unknown_protocol";
    case stack::DropReason::group_frame:
      return "group_frame";
    case stack::DropReason::ip_option:
      return "ip_option";
    case stack::DropReason::count:
      break;
  }
  return "?";
}

std::int64_t whole_seconds(sys::Duration time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time).count();
}

Json limits(const StatsSnapshot& snapshot) {
  const nat::Limits& l = snapshot.network.limits;
  return {{"tcp_flows", l.tcp_flows},
          {"tcp_attempts", l.tcp_attempts},
          {"udp_flows", l.udp_flows},
          {"udp_forward_sessions", nat::UdpForwards::kMostSessions},
          {"ping_flows", l.ping_flows},
          {"dns_questions", l.dns_questions},
          {"dns_question_bytes", nat::DnsForwarder::kMostBytes},
          {"dns_spare_sockets", l.dns_spare},
          {"forward_ports", nat::PortForwards::kMostPorts},
          {"neighbours", stack::Neighbours::kMost},
          {"tcp_time_wait", stack::TimeWaitTable::kMost},
          {"dhcp_leases", nat::DhcpLeases::kSize},
          {"reassembly_datagrams", stack::Reassembly::kMostDatagrams},
          {"reassembly_bytes", stack::Reassembly::kMostBytes},
          {"memory_bytes", l.memory},
          {"tcp_keepalive_seconds", whole_seconds(l.tcp_keepalive)},
          {"tcp_half_closed_seconds", whole_seconds(nat::TcpFlow::kHalfClosedTime)},
          {"icmp_errors_per_second", stack::GuestLink::kIcmpErrors},
          {"api_clients", ApiServer::kMaxClients},
          {"descriptors", snapshot.most_descriptors}};
}

Json in_use(const StatsSnapshot& snapshot) {
  const nat::Stats::Use& u = snapshot.network.in_use;
  return {{"tcp_flows", u.tcp_flows},
          {"tcp_attempts", u.tcp_attempts},
          {"udp_flows", u.udp_flows},
          {"udp_forward_sessions", u.udp_forward_sessions},
          {"ping_flows", u.ping_flows},
          {"dns_questions", u.dns_questions},
          {"dns_spare_sockets", u.dns_spare},
          {"forward_ports", u.forward_ports},
          {"neighbours", u.neighbours},
          {"tcp_time_wait", u.tcp_time_wait},
          {"dhcp_leases", u.dhcp_leases},
          {"dhcp6_leases", u.dhcp6_leases},
          {"reassembly_datagrams", u.reassembly_datagrams},
          {"reassembly_bytes", u.reassembly_bytes},
          {"memory_bytes", u.memory},
          {"memory_peak_bytes", u.memory_peak},
          {"frame_buffers", u.frame_buffers},
          {"unused_frame_buffers", u.unused_frame_buffers},
          {"descriptors", snapshot.descriptors}};
}

Json frames(const nat::Stats& stats) {
  Json dropped = Json::object();
  for (std::size_t i = 0; i < stats.frames.dropped.size(); ++i) {
    dropped[name_of(static_cast<stack::DropReason>(i))] = stats.frames.dropped.at(i);
  }
  return {{"received", stats.frames.frames},
          {"sent", stats.link.frames},
          {"sent_bytes", stats.link.bytes},
          {"lost", stats.link.lost},
          {"fragmented", stats.link.fragmented},
          {"icmp_errors", stats.link.icmp_errors},
          {"icmp_errors_limited", stats.link.icmp_errors_limited},
          {"denied", stats.frames.denied},
          {"unserved", stats.frames.unserved},
          {"no_memory", stats.no_memory},
          {"dropped", std::move(dropped)}};
}

Json tcp(const nat::Stats& stats) {
  return {{"opened", stats.tcp.opened},
          {"refused_full", stats.tcp.refused_full},
          {"attempts_evicted", stats.tcp.attempts_evicted},
          {"attempts_dropped", stats.tcp.attempts_dropped},
          {"attempts_timed_out", stats.tcp.attempts_timed_out},
          {"half_closed_ended", stats.tcp.half_closed_ended},
          {"keepalive_probes", stats.tcp.keepalive_probes},
          {"keepalive_ended", stats.tcp.keepalive_ended},
          {"reads_paused", stats.tcp.reads_paused},
          {"windows_withheld", stats.segments.windows_withheld},
          {"segments_trimmed", stats.segments.trimmed},
          {"denied", stats.tcp.denied},
          {"segments", stats.segments.segments},
          {"segments_challenged", stats.segments.challenged},
          {"challenges_limited", stats.segments.challenges_limited},
          {"segments_refused", stats.segments.refused}};
}

Json udp(const nat::UdpNat::Counters& c) {
  return {{"opened", c.opened},
          {"refused_full", c.refused_full},
          {"evicted", c.evicted},
          {"dropped", c.dropped},
          {"sent", c.sent},
          {"lost", c.lost},
          {"received", c.received},
          {"denied_inbound", c.denied_inbound},
          {"errors_relayed", c.errors_relayed}};
}

Json udp_forwards(const nat::UdpForwards::Counters& c) {
  return {{"received", c.received}, {"sent", c.sent}, {"lost", c.lost}, {"evicted", c.evicted}};
}

Json ping(const nat::IcmpNat::Counters& c) {
  return {{"requests", c.requests},       {"replies", c.replies},       {"errors", c.errors},
          {"ttl_expired", c.ttl_expired}, {"unexpected", c.unexpected}, {"failed", c.failed},
          {"unavailable", c.unavailable}, {"evicted", c.evicted},       {"dropped", c.dropped}};
}

Json dns(const nat::DnsForwarder::Counters& c) {
  return {{"questions", c.questions},
          {"answers", c.answers},
          {"failures", c.failures},
          {"evicted", c.evicted},
          {"dropped", c.dropped}};
}

Json dhcp(const nat::DhcpServer::Counters& c) {
  return {{"requests", c.requests},
          {"malformed", c.malformed},
          {"exhausted", c.exhausted},
          {"refused", c.refused}};
}

Json dhcp6(const nat::Dhcp6Server::Counters& c) {
  return {{"requests", c.requests}, {"malformed", c.malformed}, {"exhausted", c.exhausted}};
}

Json router(const nat::Router::Counters& c) {
  return {{"advertised", c.advertised}, {"answered", c.answered}, {"malformed", c.malformed}};
}

Json reassembly(const stack::Reassembly::Counters& c) {
  return {{"fragments", c.fragments}, {"reassembled", c.reassembled}, {"malformed", c.malformed},
          {"repeated", c.repeated},   {"conflicting", c.conflicting}, {"timed_out", c.timed_out},
          {"evicted", c.evicted},     {"no_memory", c.no_memory}};
}

}  // namespace

Json to_json(const StatsSnapshot& snapshot) {
  const nat::Stats& stats = snapshot.network;
  return {{"limits", limits(snapshot)},     {"in_use", in_use(snapshot)},
          {"frames", frames(stats)},        {"tcp", tcp(stats)},
          {"udp", udp(stats.udp)},          {"udp_forwards", udp_forwards(stats.udp_forwards)},
          {"ping", ping(stats.ping)},       {"dns", dns(stats.dns)},
          {"dhcp", dhcp(stats.dhcp)},       {"dhcp6", dhcp6(stats.dhcp6)},
          {"router", router(stats.router)}, {"reassembly", reassembly(stats.reassembly)}};
}

}  // namespace l4n::cli
