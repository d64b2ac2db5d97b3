#include "cli/stats_json.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace l4n::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Row {
  std::string path;
  void (*set)(StatsSnapshot&, std::uint64_t);
};

const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      {"/limits/tcp_flows", [](StatsSnapshot& s, std::uint64_t n) { s.network.limits.tcp_flows = n; }},
      {"/limits/tcp_attempts", [](StatsSnapshot& s, std::uint64_t n) { s.network.limits.tcp_attempts = n; }},
      {"/limits/udp_flows", [](StatsSnapshot& s, std::uint64_t n) { s.network.limits.udp_flows = n; }},
      {"/limits/ping_flows", [](StatsSnapshot& s, std::uint64_t n) { s.network.limits.ping_flows = n; }},
      {"/limits/dns_questions",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.limits.dns_questions = n; }},
      {"/limits/dns_spare_sockets",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.limits.dns_spare = n; }},
      {"/limits/descriptors", [](StatsSnapshot& s, std::uint64_t n) { s.most_descriptors = n; }},
      {"/in_use/tcp_flows", [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.tcp_flows = n; }},
      {"/in_use/tcp_attempts", [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.tcp_attempts = n; }},
      {"/in_use/udp_flows", [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.udp_flows = n; }},
      {"/in_use/udp_forward_sessions",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.udp_forward_sessions = n; }},
      {"/in_use/ping_flows", [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.ping_flows = n; }},
      {"/in_use/dns_questions",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.dns_questions = n; }},
      {"/in_use/dns_spare_sockets",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.dns_spare = n; }},
      {"/in_use/forward_ports",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.forward_ports = n; }},
      {"/in_use/neighbours", [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.neighbours = n; }},
      {"/in_use/tcp_time_wait",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.tcp_time_wait = n; }},
      {"/in_use/dhcp_leases", [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.dhcp_leases = n; }},
      {"/in_use/dhcp6_leases", [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.dhcp6_leases = n; }},
      {"/in_use/reassembly_datagrams",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.reassembly_datagrams = n; }},
      {"/in_use/reassembly_bytes",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.reassembly_bytes = n; }},
      {"/in_use/frame_buffers",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.frame_buffers = n; }},
      {"/in_use/unused_frame_buffers",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.unused_frame_buffers = n; }},
      {"/in_use/descriptors", [](StatsSnapshot& s, std::uint64_t n) { s.descriptors = n; }},
      {"/frames/received", [](StatsSnapshot& s, std::uint64_t n) { s.network.frames.frames = n; }},
      {"/frames/sent", [](StatsSnapshot& s, std::uint64_t n) { s.network.link.frames = n; }},
      {"/frames/sent_bytes", [](StatsSnapshot& s, std::uint64_t n) { s.network.link.bytes = n; }},
      {"/frames/lost", [](StatsSnapshot& s, std::uint64_t n) { s.network.link.lost = n; }},
      {"/frames/fragmented", [](StatsSnapshot& s, std::uint64_t n) { s.network.link.fragmented = n; }},
      {"/frames/denied", [](StatsSnapshot& s, std::uint64_t n) { s.network.frames.denied = n; }},
      {"/frames/unserved", [](StatsSnapshot& s, std::uint64_t n) { s.network.frames.unserved = n; }},
      {"/tcp/opened", [](StatsSnapshot& s, std::uint64_t n) { s.network.tcp.opened = n; }},
      {"/tcp/refused_full", [](StatsSnapshot& s, std::uint64_t n) { s.network.tcp.refused_full = n; }},
      {"/tcp/attempts_dropped",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.tcp.attempts_dropped = n; }},
      {"/tcp/attempts_evicted",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.tcp.attempts_evicted = n; }},
      {"/tcp/denied", [](StatsSnapshot& s, std::uint64_t n) { s.network.tcp.denied = n; }},
      {"/tcp/segments", [](StatsSnapshot& s, std::uint64_t n) { s.network.segments.segments = n; }},
      {"/tcp/segments_challenged",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.segments.challenged = n; }},
      {"/tcp/segments_refused", [](StatsSnapshot& s, std::uint64_t n) { s.network.segments.refused = n; }},
      {"/udp/opened", [](StatsSnapshot& s, std::uint64_t n) { s.network.udp.opened = n; }},
      {"/udp/refused_full", [](StatsSnapshot& s, std::uint64_t n) { s.network.udp.refused_full = n; }},
      {"/udp/evicted", [](StatsSnapshot& s, std::uint64_t n) { s.network.udp.evicted = n; }},
      {"/udp/dropped", [](StatsSnapshot& s, std::uint64_t n) { s.network.udp.dropped = n; }},
      {"/udp/sent", [](StatsSnapshot& s, std::uint64_t n) { s.network.udp.sent = n; }},
      {"/udp/lost", [](StatsSnapshot& s, std::uint64_t n) { s.network.udp.lost = n; }},
      {"/udp/received", [](StatsSnapshot& s, std::uint64_t n) { s.network.udp.received = n; }},
      {"/udp/denied_inbound", [](StatsSnapshot& s, std::uint64_t n) { s.network.udp.denied_inbound = n; }},
      {"/udp/errors_relayed", [](StatsSnapshot& s, std::uint64_t n) { s.network.udp.errors_relayed = n; }},
      {"/udp_forwards/received",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.udp_forwards.received = n; }},
      {"/udp_forwards/sent", [](StatsSnapshot& s, std::uint64_t n) { s.network.udp_forwards.sent = n; }},
      {"/udp_forwards/lost", [](StatsSnapshot& s, std::uint64_t n) { s.network.udp_forwards.lost = n; }},
      {"/udp_forwards/evicted",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.udp_forwards.evicted = n; }},
      {"/ping/requests", [](StatsSnapshot& s, std::uint64_t n) { s.network.ping.requests = n; }},
      {"/ping/replies", [](StatsSnapshot& s, std::uint64_t n) { s.network.ping.replies = n; }},
      {"/ping/errors", [](StatsSnapshot& s, std::uint64_t n) { s.network.ping.errors = n; }},
      {"/ping/ttl_expired", [](StatsSnapshot& s, std::uint64_t n) { s.network.ping.ttl_expired = n; }},
      {"/ping/unexpected", [](StatsSnapshot& s, std::uint64_t n) { s.network.ping.unexpected = n; }},
      {"/ping/failed", [](StatsSnapshot& s, std::uint64_t n) { s.network.ping.failed = n; }},
      {"/ping/unavailable", [](StatsSnapshot& s, std::uint64_t n) { s.network.ping.unavailable = n; }},
      {"/ping/evicted", [](StatsSnapshot& s, std::uint64_t n) { s.network.ping.evicted = n; }},
      {"/ping/dropped", [](StatsSnapshot& s, std::uint64_t n) { s.network.ping.dropped = n; }},
      {"/dns/questions", [](StatsSnapshot& s, std::uint64_t n) { s.network.dns.questions = n; }},
      {"/dns/answers", [](StatsSnapshot& s, std::uint64_t n) { s.network.dns.answers = n; }},
      {"/dns/failures", [](StatsSnapshot& s, std::uint64_t n) { s.network.dns.failures = n; }},
      {"/dns/evicted", [](StatsSnapshot& s, std::uint64_t n) { s.network.dns.evicted = n; }},
      {"/dns/dropped", [](StatsSnapshot& s, std::uint64_t n) { s.network.dns.dropped = n; }},
      {"/dhcp/requests", [](StatsSnapshot& s, std::uint64_t n) { s.network.dhcp.requests = n; }},
      {"/dhcp/malformed", [](StatsSnapshot& s, std::uint64_t n) { s.network.dhcp.malformed = n; }},
      {"/dhcp/exhausted", [](StatsSnapshot& s, std::uint64_t n) { s.network.dhcp.exhausted = n; }},
      {"/dhcp/refused", [](StatsSnapshot& s, std::uint64_t n) { s.network.dhcp.refused = n; }},
      {"/dhcp6/requests", [](StatsSnapshot& s, std::uint64_t n) { s.network.dhcp6.requests = n; }},
      {"/dhcp6/malformed", [](StatsSnapshot& s, std::uint64_t n) { s.network.dhcp6.malformed = n; }},
      {"/dhcp6/exhausted", [](StatsSnapshot& s, std::uint64_t n) { s.network.dhcp6.exhausted = n; }},
      {"/router/advertised", [](StatsSnapshot& s, std::uint64_t n) { s.network.router.advertised = n; }},
      {"/router/answered", [](StatsSnapshot& s, std::uint64_t n) { s.network.router.answered = n; }},
      {"/router/malformed", [](StatsSnapshot& s, std::uint64_t n) { s.network.router.malformed = n; }},
      {"/reassembly/fragments",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.reassembly.fragments = n; }},
      {"/reassembly/reassembled",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.reassembly.reassembled = n; }},
      {"/reassembly/malformed",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.reassembly.malformed = n; }},
      {"/reassembly/repeated", [](StatsSnapshot& s, std::uint64_t n) { s.network.reassembly.repeated = n; }},
      {"/reassembly/conflicting",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.reassembly.conflicting = n; }},
      {"/reassembly/timed_out",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.reassembly.timed_out = n; }},
      {"/reassembly/evicted", [](StatsSnapshot& s, std::uint64_t n) { s.network.reassembly.evicted = n; }},
      {"/reassembly/no_memory",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.reassembly.no_memory = n; }},
      {"/frames/dropped/short_frame",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.frames.dropped[0] = n; }},
      {"/frames/dropped/bad_source_mac",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.frames.dropped[1] = n; }},
      {"/frames/dropped/not_for_us",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.frames.dropped[2] = n; }},
      {"/frames/dropped/unknown_type",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.frames.dropped[3] = n; }},
      {"/frames/dropped/bad_arp", [](StatsSnapshot& s, std::uint64_t n) { s.network.frames.dropped[4] = n; }},
      {"/frames/dropped/bad_ip_header",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.frames.dropped[5] = n; }},
      {"/frames/dropped/bad_transport_header",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.frames.dropped[6] = n; }},
      {"/frames/dropped/bad_checksum",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.frames.dropped[7] = n; }},
      {"/frames/dropped/unknown_protocol",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.frames.dropped[8] = n; }},
      {"/frames/dropped/group_frame",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.frames.dropped[9] = n; }},
      {"/frames/dropped/ip_option",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.frames.dropped[10] = n; }},
      {"/limits/memory_bytes", [](StatsSnapshot& s, std::uint64_t n) { s.network.limits.memory = n; }},
      {"/limits/tcp_keepalive_seconds",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.limits.tcp_keepalive = std::chrono::seconds(n); }},
      {"/in_use/memory_bytes", [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.memory = n; }},
      {"/in_use/memory_peak_bytes",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.in_use.memory_peak = n; }},
      {"/frames/no_memory", [](StatsSnapshot& s, std::uint64_t n) { s.network.no_memory = n; }},
      {"/frames/icmp_errors", [](StatsSnapshot& s, std::uint64_t n) { s.network.link.icmp_errors = n; }},
      {"/frames/icmp_errors_limited",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.link.icmp_errors_limited = n; }},
      {"/tcp/attempts_timed_out",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.tcp.attempts_timed_out = n; }},
      {"/tcp/half_closed_ended",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.tcp.half_closed_ended = n; }},
      {"/tcp/keepalive_probes",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.tcp.keepalive_probes = n; }},
      {"/tcp/keepalive_ended", [](StatsSnapshot& s, std::uint64_t n) { s.network.tcp.keepalive_ended = n; }},
      {"/tcp/reads_paused", [](StatsSnapshot& s, std::uint64_t n) { s.network.tcp.reads_paused = n; }},
      {"/tcp/windows_withheld",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.segments.windows_withheld = n; }},
      {"/tcp/segments_trimmed", [](StatsSnapshot& s, std::uint64_t n) { s.network.segments.trimmed = n; }},
      {"/tcp/challenges_limited",
       [](StatsSnapshot& s, std::uint64_t n) { s.network.segments.challenges_limited = n; }},
  };
  return all;
}

// Limits that nobody can change.
const std::vector<std::string> kFixed = {
    "/limits/udp_forward_sessions",    "/limits/forward_ports",         "/limits/neighbours",
    "/limits/tcp_time_wait",           "/limits/dhcp_leases",           "/limits/reassembly_datagrams",
    "/limits/reassembly_bytes",        "/limits/api_clients",           "/limits/dns_question_bytes",
    "/limits/tcp_half_closed_seconds", "/limits/icmp_errors_per_second"};

}  // namespace

TEST_CASE("stats: every number is told under its name, and nothing else changes with it") {
  std::uint64_t number = 1000;
  for (const Row& row : rows()) {
    CAPTURE(row.path);
    StatsSnapshot snapshot;
    Json expected = to_json(snapshot);
    row.set(snapshot, ++number);
    REQUIRE(expected.contains(Json::json_pointer(row.path)));
    expected[Json::json_pointer(row.path)] = number;
    CHECK(to_json(snapshot) == expected);
  }
}

TEST_CASE("stats: there is no number without a source") {
  const Json all = to_json({}).flatten();
  CHECK(all.size() == rows().size() + kFixed.size());
  for (const std::string& path : kFixed) {
    CAPTURE(path);
    CHECK(all.value(path, 0) > 0);
  }
}

}  // namespace l4n::cli
