// Stats: what the gateway has done since its start and what it holds now, copied in one moment, for those who
// want to look at it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nat/gateway.hpp"
#include "nat/limits.hpp"

namespace l4n::nat {

struct Stats {
  struct Use {
    std::size_t tcp_flows = 0;
    std::size_t tcp_attempts = 0;
    std::size_t tcp_time_wait = 0;
    std::size_t udp_flows = 0;
    std::size_t udp_forward_sessions = 0;
    std::size_t ping_flows = 0;
    std::size_t dns_questions = 0;
    std::size_t dns_spare = 0;
    std::size_t forward_ports = 0;
    std::size_t neighbours = 0;
    std::size_t dhcp_leases = 0;
    std::size_t dhcp6_leases = 0;
    std::size_t memory = 0;
    std::size_t memory_peak = 0;
    std::size_t reassembly_datagrams = 0;
    std::size_t reassembly_bytes = 0;
    std::size_t frame_buffers = 0;
    std::size_t unused_frame_buffers = 0;
  };

  Limits limits;
  Use in_use;
  // Since the start.
  Gateway::Counters frames;
  std::uint64_t no_memory = 0;  // the system had none for a frame
  stack::GuestLink::Counters link;
  TcpNat::Counters tcp;
  stack::GuestTcp::Counters segments;
  UdpNat::Counters udp;
  UdpForwards::Counters udp_forwards;
  IcmpNat::Counters ping;
  DnsForwarder::Counters dns;
  DhcpServer::Counters dhcp;
  Dhcp6Server::Counters dhcp6;  // zeros without IPv6, as of the next
  Router::Counters router;
  stack::Reassembly::Counters reassembly;
};

[[nodiscard]] Stats collect_stats(const Gateway& gateway);

}  // namespace l4n::nat
