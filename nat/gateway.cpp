#include "nat/gateway.hpp"

#include <cerrno>
#include <vector>

#include "stack/arp.hpp"
#include "stack/frame_poison.hpp"

namespace l4n::nat {
namespace {

// Frames that are read before the flows are pumped: enough to give every flow a batch, few enough to keep
// the other descriptors waiting only briefly.
constexpr int kFramesPerTurn = 32;
// And bytes: what was read should still be in the processor's cache when it is sent on.
constexpr std::size_t kBytesPerTurn = 1024 * 1024;

}  // namespace

Gateway::Gateway(const Environment& e, const Config& config)
    : policy_(config.policy),
      limits_(within_memory(config.limits)),
      graveyard_(e.graveyard),
      log_(e.log),
      port_(e.port),
      link_(e.port, config.mtu, &e.clock),
      memory_(limits_.memory, limits_.tcp_flows),
      guest_tcp_(link_, e.timers, e.clock, memory_, policy_.gateway()),
      neighbours_(link_, e.timers, policy_.gateway(), kRouterAddress),
      reassembly_(guest_tcp_.buffers(), e.timers),
      router_(link_, neighbours_, e.timers, policy_),
      resolvers_(e.clock),
      tcp_(link_, guest_tcp_, neighbours_, e.host, resolvers_, e.timers, e.graveyard, e.log, policy_,
           limits_),
      udp_(link_, guest_tcp_.buffers(), e.host, e.timers, e.graveyard, e.log, policy_, limits_.udp_flows),
      icmp_(link_, e.host, e.timers, e.log, policy_, limits_.ping_flows),
      dhcp_({policy_.network, config.mtu, policy_.dns}, e.clock),
      dns_(link_, e.host, resolvers_, e.timers, e.graveyard, limits_.dns_questions, limits_.dns_spare),
      udp_forwards_({link_, guest_tcp_.buffers(), neighbours_, e.host, e.timers, policy_}),
      forwards_({e.host, tcp_, udp_forwards_, neighbours_, e.timers, e.log, policy_}) {
  if (policy_.network6) {
    dhcp6_.emplace(Dhcp6Server::Config{*policy_.network6, policy_.dns}, e.clock);
  }
  reassembly_.on_timeout([this](const stack::MacAddress& source_mac, sys::Bytes packet) {
    const stack::IpHeader ip = stack::decode_quoted_ip(packet).value_or(stack::IpHeader{});
    send_time_exceeded(link_, source_mac, policy_.gateway_for(ip.source),
                       stack::IcmpTimeExceeded::kReassembly, packet);
  });
}

void Gateway::set_search(const std::vector<std::string>& domains) {
  dhcp_.set_search(domains);
  router_.set_search(domains);
  if (dhcp6_) {
    dhcp6_->set_search(domains);
  }
}

Gateway::~Gateway() {
  tcp_.abandon_all();
  graveyard_.clear();  // what lies there names us
}

void Gateway::on_event(std::uint32_t /*events*/) noexcept {
  std::size_t bytes = 0;
  for (int i = 0; i < kFramesPerTurn && bytes < kBytesPerTurn; ++i) {
    stack::FrameBufferPtr frame = guest_tcp_.buffers().take_for_frame();
    if (!frame) {
      // What this turn has read may give its buffers back at the end. When there is none at all, the frame is
      // lost: left where it is, it would wake us up again at once, and for ever.
      if (i == 0) {
        skip_frame();
      }
      return;
    }
    if (!read(*frame)) {
      return;
    }
    bytes += frame->size;
    dispatch(std::move(frame));
  }
}

// False when there is no frame, now or ever.
bool Gateway::read(stack::FrameBuffer& frame) noexcept {
  const sys::IoResult result = port_.read(frame);
  if (result.status == sys::IoStatus::done || result.status == sys::IoStatus::would_block) {
    return result.status == sys::IoStatus::done;
  }
  if (result.status == sys::IoStatus::failed) {
    log_.error(sys::LogClass::general, "cannot read from the guest's interface: {}",
               sys::errno_text(result.error));
  }
  if (port_closed_) {
    port_closed_();
  }
  return false;
}

void Gateway::skip_frame() noexcept {
  stack::FrameBuffer nowhere;  // NOLINT(cppcoreguidelines-pro-type-member-init): read by nobody
  static_cast<void>(read(nowhere));
  stack::unpoison(nowhere);
}

bool Gateway::on_turn_end() noexcept {
  udp_.flush();
  const bool more = tcp_.pump();
  guest_tcp_.tidy_buffers();
  return more;
}

void Gateway::dispatch(stack::FrameBufferPtr frame) {
  ++counters_.frames;
  stack::VnetHeader vnet;
  sys::MutableBytes bytes = frame->bytes();
  if (port_.has_vnet_header()) {
    if (bytes.size() < stack::VnetHeader::kSize) {
      on(stack::Dropped{stack::DropReason::short_frame});
      return;
    }
    vnet = stack::VnetHeader::decode(bytes);
    bytes = bytes.subspan(stack::VnetHeader::kSize);
  }
  stack::Ingress ingress = stack::classify(vnet, bytes);
  const stack::IpPacket* packet = stack::ip_packet(ingress);
  if (packet != nullptr && !packet->ip.is_v4() && !policy_.network6) {
    on(stack::Dropped{stack::DropReason::unknown_type});
    return;
  }
  if (packet != nullptr && packet->group_frame && !is_group_address(policy_, packet->ip.destination)) {
    on(stack::Dropped{stack::DropReason::group_frame});
    return;
  }
  if (const auto* fragment = std::get_if<stack::IpFragment>(&ingress)) {
    frame = reassemble(*fragment);
    if (!frame) {
      return;
    }
    // What is whole is no fragment: its checksums are full and its header is checked like any other.
    ingress = stack::classify({}, frame->bytes().subspan(stack::VnetHeader::kSize));
    if (stack::IpPacket* whole = stack::ip_packet(ingress)) {
      whole->ip.dont_fragment = false;  // its sender has cut it, so others may
    }
  }
  serve(ingress, std::move(frame));
}

void Gateway::serve(const stack::Ingress& ingress, stack::FrameBufferPtr frame) {
  if (const stack::IpPacket* packet = stack::ip_packet(ingress);
      packet != nullptr && !stays_in_scope(*packet)) {
    return;
  }
  if (const auto* segment = std::get_if<stack::TcpSegment>(&ingress)) {
    on(*segment, std::move(frame));
  } else if (const auto* datagram = std::get_if<stack::UdpDatagram>(&ingress)) {
    on(*datagram, std::move(frame));
  } else if (const auto* message = std::get_if<stack::IcmpMessage>(&ingress)) {
    on(*message);
  } else if (const auto* arp = std::get_if<stack::ArpFrame>(&ingress)) {
    on(*arp);
  } else if (const auto* problem = std::get_if<stack::IpProblem>(&ingress)) {
    on(*problem);
  } else if (const auto* dropped = std::get_if<stack::Dropped>(&ingress)) {
    on(*dropped);
  }
}

// A link-local source means nothing behind a router (RFC 4007 9, RFC 4443 3.1 code 2).
bool Gateway::stays_in_scope(const stack::IpPacket& packet) {
  const stack::IpHeader& ip = packet.ip;
  if (ip.is_v4() || !sys::is_link_local(ip.source.v6()) || sys::is_link_local(ip.destination.v6()) ||
      sys::is_multicast(ip.destination.v6()) || is_served(policy_, ip.destination) ||
      !source_allowed(policy_, ip.source)) {
    return true;
  }
  ++counters_.denied;
  link_.send_icmp_error(packet.source_mac, policy_.gateway_for(ip.source), stack::Icmp6Type::kUnreachable,
                        stack::Icmp6Unreachable::kBeyondScope, packet.packet);
  return false;
}

// The whole packet, once its last fragment is here; null before.
stack::FrameBufferPtr Gateway::reassemble(const stack::IpFragment& fragment) {
  if (!source_allowed(policy_, fragment.packet.ip.source)) {
    ++counters_.denied;
    return nullptr;
  }
  return reassembly_.add(fragment.packet);
}

void Gateway::on(const stack::Dropped& dropped) {
  ++counters_.dropped.at(static_cast<std::size_t>(dropped.reason));
  log_.debug(sys::LogClass::frame, "frame dropped: {}", stack::to_string(dropped.reason));
}

void Gateway::on(const stack::ArpFrame& frame) {
  const auto request = stack::decode_arp(frame.packet);
  if (!request) {
    on(stack::Dropped{stack::DropReason::bad_arp});
    return;
  }
  neighbours_.learn(*request);
  const bool ours = is_served(policy_, request->target);
  if (const auto reply = stack::answer_arp(*request, ours, stack::kGatewayMac)) {
    link_.send_arp(frame.source_mac, *reply);
  }
}

void Gateway::on(const stack::TcpSegment& segment, stack::FrameBufferPtr frame) {
  const stack::IpHeader& ip = segment.packet.ip;
  // A segment to a group is discarded in silence: so RFC 9293 3.9.2.3 of a SYN, and no other may cause a
  // reset that would come from that address.
  if (!source_allowed(policy_, ip.source) || is_group_address(policy_, ip.destination)) {
    ++counters_.denied;
    return;
  }
  tcp_.on_segment(segment, std::move(frame));
}

void Gateway::on(const stack::UdpDatagram& datagram, stack::FrameBufferPtr frame) {
  if (dhcp_.serves(datagram.source(), datagram.destination())) {
    serve_dhcp(datagram);
    return;
  }
  if (!source_allowed(policy_, datagram.packet.ip.source)) {
    ++counters_.denied;
    return;
  }
  if (dhcp6_ && dhcp6_->serves(datagram.destination())) {
    serve_dhcp6(datagram);
    return;
  }
  if (udp_forwards_.on_datagram(datagram)) {
    return;
  }
  const Decision decision = decide(policy_, Protocol::udp, datagram.destination());
  switch (decision.verdict) {
    case Verdict::allow:
      if (ttl_expires_here(datagram.packet.ip, policy_.gateway_for(datagram.packet.ip.source))) {
        send_time_exceeded(link_, policy_.gateway_for(datagram.packet.ip.source), datagram.packet);
      } else {
        udp_.on_datagram(datagram, decision.target, std::move(frame));
      }
      return;
    case Verdict::dns:
      dns_.on_datagram(datagram);
      return;
    case Verdict::unreachable:
      ++counters_.denied;
      refuse(datagram.packet);
      return;
    case Verdict::drop:
    case Verdict::answer_echo:
      ++counters_.denied;
      return;
  }
}

// A client that has no address yet sends from 0.0.0.0, which the policy allows nowhere else.
void Gateway::serve_dhcp(const stack::UdpDatagram& datagram) {
  const sys::IpAddress& source = datagram.packet.ip.source;
  if (!sys::is_unspecified(source) && !source_allowed(policy_, source)) {
    ++counters_.denied;
    return;
  }
  if (const auto reply = dhcp_.answer(datagram.payload, datagram.packet.source_mac)) {
    link_.send_udp(reply->mac, {policy_.gateway(), kDhcpServerPort}, reply->destination, reply->payload);
  }
}

void Gateway::serve_dhcp6(const stack::UdpDatagram& datagram) {
  if (const auto reply = dhcp6_->answer(datagram.payload, datagram.source(), datagram.destination())) {
    link_.send_udp(datagram.packet.source_mac, {kRouterAddress, kDhcp6ServerPort}, reply->destination,
                   reply->payload);
  }
}

// The sender is told what is wrong with its packet.
void Gateway::on(const stack::IpProblem& problem) {
  const stack::IpPacket& packet = problem.packet;
  if (!source_allowed(policy_, packet.ip.source)) {
    ++counters_.denied;
    return;
  }
  link_.send_icmp_error(packet.source_mac, policy_.gateway_for(packet.ip.source),
                        stack::Icmp6Type::kParameterProblem, problem.problem.code, packet.packet,
                        problem.problem.pointer, problem.problem.also_multicast);
}

void Gateway::on(const stack::IcmpMessage& message) {
  const sys::IpAddress& source = message.packet.ip.source;
  // Who looks for a router or for its own address has none yet.
  const bool discovery = Router::serves(message);
  if (!source_allowed(policy_, source) && !(discovery && sys::is_unspecified(source))) {
    ++counters_.denied;
    return;
  }
  if (discovery) {
    router_.on_message(message);
    return;
  }
  const bool is_v4 = message.packet.ip.is_v4();
  if (message.type != (is_v4 ? stack::IcmpType::kEchoRequest : stack::Icmp6Type::kEchoRequest)) {
    ++counters_.unserved;
    return;
  }
  switch (decide(policy_, Protocol::echo, {message.packet.ip.destination, 0}).verdict) {
    case Verdict::answer_echo:
      answer_echo(message);
      return;
    case Verdict::unreachable:
      ++counters_.denied;
      refuse(message.packet);
      return;
    case Verdict::allow:
      icmp_.on_echo_request(message);
      return;
    case Verdict::dns:
    case Verdict::drop:
      ++counters_.denied;
      return;
  }
}

void Gateway::answer_echo(const stack::IcmpMessage& message) {
  std::vector<std::byte> reply(message.message.begin(), message.message.end());
  reply[0] =
      std::byte{message.packet.ip.is_v4() ? stack::IcmpType::kEchoReply : stack::Icmp6Type::kEchoReply};
  stack::IpHeader header;
  header.source = message.packet.ip.destination;
  header.destination = message.packet.ip.source;
  header.tos = message.packet.ip.tos;
  link_.send_icmp(message.packet.source_mac, header, reply);
}

void Gateway::refuse(const stack::IpPacket& packet) {
  send_host_error(link_, packet.source_mac, policy_.gateway_for(packet.ip.source),
                  local_error(ENETUNREACH, packet.ip.is_v4()), packet.packet);
}

}  // namespace l4n::nat
