#include "fuzz/world/session.hpp"

#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <vector>

#include "fuzz/engine/oracle.hpp"
#include "fuzz/world/allocation.hpp"
#include "fuzz/world/injected_fault.hpp"
#include "fuzz/world/places.hpp"
#include "stack/ndp.hpp"

namespace l4n::fuzz {
namespace {

using namespace std::chrono_literals;
using integration::FakeHost;
using integration::HostSocket;
using Plan = FakeHost::Plan;

// The streams' numbers of host sockets end there.
constexpr std::size_t kMostSockets = 120;
// The guest's answers to what the gateway sends at one moment.
constexpr unsigned kMostRounds = 200;

// Bits of the form in which the guest answers a neighbour solicitation.
constexpr std::uint16_t kNoLinkAddress = 1;
constexpr std::uint16_t kNoOverride = 2;
constexpr std::uint16_t kUnsolicited = 4;
constexpr std::uint16_t kAnotherAddress = 8;

std::size_t or_unlimited(std::uint16_t value) { return value == 0 ? HostSocket::kUnlimited : value; }

bool belong_together(const GuestLife& life, const nat::HostTarget& target) {
  return leads_to(life.remote(), target.endpoint);
}

}  // namespace

Session::Session(const WorldOptions& options)
    : world_(options), hosts_(world_.host()), guests_(world_.port(), hosts_), datagrams_(world_) {
  plan_connects({});
}

void Session::perform(const Operation& operation) {
  guests_.perform(operation);
  host_tcp(operation);
  time_and_wire(operation);
  datagrams_.perform(operation);
  forwards(operation);
  lacks(operation);
  administration(operation);
  if (!operation.at_once) {
    settle();
  }
}

void Session::settle() {
  for (unsigned round = 0; round < kMostRounds; ++round) {
    world_.settle();
    receive();
    if (!guests_.acknowledge_due() && !world_.port().readable()) {
      break;
    }
  }
}

// What has come out at both ends.
void Session::receive() {
  for (const integration::Packet& packet : world_.take_packets()) {
    if (packet.tcp) {
      guests_.on_segment(packet);
    } else {
      answer_neighbour(packet);
    }
  }
  hosts_.check_received(guests_.lives(), belong_together);
}

// The guest's kernel answers who asks for it, by ARP or by neighbour solicitation.
void Session::answer_neighbour(const integration::Packet& packet) {
  if (!answers_neighbours_) {
    return;
  }
  if (packet.icmp && packet.icmp->type == stack::NdpType::kNeighbourSolicitation && !packet.source.is_v4()) {
    answer_solicitation(packet);
  } else {
    answer_arp(packet);
  }
}

void Session::answer_arp(const integration::Packet& packet) {
  const sys::Ipv4Address own = guest_address(sys::Ipv4Address{}).v4();
  const bool arp_request = packet.arp.size() == 28 && sys::load_be16(&packet.arp[6]) == 1;
  if (arp_request && sys::load_be32(&packet.arp[24]) == own.value) {
    const sys::Ipv4Address asker{sys::load_be32(&packet.arp[14])};
    world_.port().send(
        integration::ethernet_frame(stack::kEtherTypeArp, integration::arp_packet(2, own, asker)));
  }
}

// RFC 4861 4.4.
void Session::answer_solicitation(const integration::Packet& packet) {
  constexpr std::size_t kTargetAt = 4;  // behind the fifth octet
  constexpr std::size_t kTargetEnd = kTargetAt + 16;
  const sys::IpAddress own = guest_address(packet.source);
  const integration::Data& asked = packet.icmp->rest;
  if (asked.size() < kTargetEnd || stack::load_ipv6(&asked[kTargetAt]) != own.v6()) {
    return;
  }
  integration::IcmpMessage advertisement;
  advertisement.type = stack::NdpType::kNeighbourAdvertisement;
  advertisement.rest.assign(asked.begin(), asked.begin() + kTargetEnd);
  const unsigned flags = ((advertisement_form_ & kUnsolicited) != 0 ? 0U : 0x40U) |
                         ((advertisement_form_ & kNoOverride) != 0 ? 0U : 0x20U);
  advertisement.rest[0] = static_cast<std::byte>(flags);
  if ((advertisement_form_ & kNoLinkAddress) == 0) {
    stack::MacAddress mac = integration::kGuestMac;
    mac[5] ^= (advertisement_form_ & kAnotherAddress) != 0 ? 1U : 0U;
    integration::append(advertisement.rest, std::array{std::byte{2}, std::byte{1}});
    integration::append(advertisement.rest, std::as_bytes(std::span(mac)));
  }
  integration::IpFields fields;
  fields.ttl = stack::kNdpHopLimit;
  world_.port().send(
      integration::ip_frame(integration::icmp_packet(own, packet.source, advertisement, fields)));
}

// --- the host's TCP ---

void Session::plan_connects(const Operation& operation) {
  constexpr std::array<Plan::Kind, 4> kPlans{Plan::Kind::accept, Plan::Kind::wait, Plan::Kind::refuse,
                                             Plan::Kind::no_socket};
  const Plan plan{kPlans.at(operation.a % kPlans.size()), error_number(operation.b)};
  world_.host().plan_connects([plan, this](const nat::HostTarget&) {
    return world_.host().connects() < kMostSockets ? plan : Plan{Plan::Kind::no_socket, EMFILE};
  });
}

std::optional<std::size_t> Session::socket_of(const Operation& operation) {
  const std::size_t sockets = world_.host().connects();
  return sockets == 0 ? std::nullopt : std::optional<std::size_t>(operation.who % sockets);
}

void Session::host_tcp(const Operation& operation) {
  if (operation.kind == OperationKind::connects) {
    plan_connects(operation);
    return;
  }
  const auto index = socket_of(operation);
  if (!index || !hosts_.can_write(*index)) {
    return;
  }
  HostSocket& socket = world_.host().socket(*index);
  switch (operation.kind) {
    case OperationKind::accept:
      socket.accept();
      break;
    case OperationKind::refuse:
      if (socket.connecting()) {
        socket.refuse(error_number(operation.a));
      }
      break;
    case OperationKind::write:
      hosts_.write(*index, operation.a);
      break;
    case OperationKind::host_finish:
      hosts_.finish(*index);
      break;
    case OperationKind::host_reset:
      socket.reset(operation.a == 0 ? ECONNRESET : error_number(operation.a));
      break;
    case OperationKind::allow:
      socket.allow(or_unlimited(operation.a));
      break;
    case OperationKind::limit:
      socket.limit_send(or_unlimited(operation.a));
      socket.limit_receive(or_unlimited(operation.b));
      break;
    case OperationKind::break_sends:
      socket.break_sends(error_number(operation.a));
      break;
    default:
      break;
  }
}

// --- time and the wire ---

void Session::time_and_wire(const Operation& operation) {
  constexpr std::array<sys::Duration, 4> kUnits{std::chrono::milliseconds(1), std::chrono::milliseconds(50),
                                                std::chrono::seconds(1), std::chrono::microseconds(1)};
  switch (operation.kind) {
    case OperationKind::advance:
      settle();
      world_.advance(operation.a % 256U * kUnits.at(operation.b % kUnits.size()));
      break;
    case OperationKind::full:
      world_.port().set_full((operation.a & 1U) != 0);
      break;
    case OperationKind::neighbour:
      answers_neighbours_ = (operation.a & 1U) != 0;
      advertisement_form_ = operation.b;
      break;
    default:
      break;
  }
}

// --- port forwards ---

void Session::forwards(const Operation& operation) {
  FakeHost& host = world_.host();
  switch (operation.kind) {
    case OperationKind::forward:
    case OperationKind::forward_range:
      forward(operation);
      break;
    case OperationKind::remove_forward:
      static_cast<void>(world_.gateway().forwards().remove(operation.who));
      break;
    case OperationKind::client:
      if (host.listeners() > 0 && host.connects() < kMostSockets) {
        auto& listener = host.listener(operation.who % host.listeners());
        const sys::IpAddress from = place(operation.a);
        if (!listener.closed() && from.is_v4() == listener.address().address.is_v4()) {
          listener.connect_from({from, static_cast<std::uint16_t>(30000 + operation.a / 256U)});
        }
      }
      break;
    case OperationKind::udp_client:
      world_.deliver_to_forward(operation.who, {place(operation.a), 30000},
                                stream_bytes(1, 1, std::min<std::size_t>(operation.b, 9000)));
      break;
    default:
      break;
  }
}

void Session::forward(const Operation& operation) {
  nat::ForwardRule rule;
  rule.protocol = operation.a % 2 == 0 ? nat::ForwardProtocol::tcp : nat::ForwardProtocol::udp;
  rule.host.address = sys::parse_ip((operation.a & 2U) != 0 ? "::" : "0.0.0.0").value();
  rule.guest = {guest_address(rule.host.address), 80};
  if (operation.kind == OperationKind::forward) {
    rule.host.port = static_cast<std::uint16_t>(8000 + operation.b % 4U);
  } else {
    constexpr std::array<std::uint16_t, 4> kGuestPorts{80, 0, 65000, 65535};
    rule.host.port = operation.b;
    rule.guest.port = kGuestPorts.at(operation.a >> 2U & 3U);
    rule.count = operation.c;
  }
  world_.forward(rule);
}

// --- what the host has not ---

void Session::lacks(const Operation& operation) {
  FakeHost& host = world_.host();
  const auto error_of = [](std::uint16_t number) { return number == 0 ? 0 : error_number(number); };
  switch (operation.kind) {
    case OperationKind::no_sockets:
      host.udp.open_error = error_of(operation.a);
      host.ping.open_error = error_of(operation.b);
      host.plan_datagrams([error = error_of(operation.c)](const nat::HostTarget&) { return error; });
      break;
    case OperationKind::break_pings:
      host.ping.send_error.reset();
      host.ping.on_send = [&host, error = error_of(operation.a)](const test::FakePingHost::Ping& ping) {
        host.ping.send_error =
            error == 0 ? std::nullopt : std::optional(nat::local_error(error, ping.is_v4, 1400));
      };
      break;
    case OperationKind::udp_limits:
      if (host.udp.opened() > 0) {
        auto& socket = host.udp.socket(operation.who % host.udp.opened());
        socket.limit_segments(operation.a == 0 ? 0xffff : operation.a);
        socket.limit_mtu(operation.b == 0 ? std::uint16_t{0xffff} : operation.b);
        // Once, and when it is tried again.
        socket.break_sends(error_of(operation.c), operation.c == 0 ? 0 : 2);
      }
      break;
    case OperationKind::exhaust:
      if (host.listeners() > 0) {
        constexpr std::array<int, 5> kErrors{0, EMFILE, ENFILE, ENOBUFS, ENOMEM};
        host.listener(operation.who % host.listeners()).exhaust(kErrors.at(operation.a % kErrors.size()));
      }
      break;
    default:
      break;
  }
}

// --- what an administrator changes, and the end of the interface ---

void Session::administration(const Operation& operation) {
  switch (operation.kind) {
    case OperationKind::resolvers:
      world_.gateway().set_resolvers(resolvers(operation.a));
      break;
    case OperationKind::search: {
      const std::string label(operation.b % 128U, 'a');
      world_.gateway().set_search(std::vector<std::string>(operation.a % 64U, label + ".example"));
      break;
    }
    case OperationKind::port_ends:
      world_.end_port(operation.a == 0 ? 0 : error_number(operation.a));
      break;
    default:
      break;
  }
}

// --- the end ---

// Everybody gets what he has waited for: frame buffers, room, answers, and the time for repetitions.
void Session::wait_for_all() {
  if (injected(InjectedFault::no_patience)) {
    return;
  }
  constexpr std::array<std::chrono::seconds, 10> kSteps{1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s, 60s, 60s};
  world_.release_all();
  answers_neighbours_ = true;
  for (const auto step : kSteps) {
    guests_.become_attentive();
    settle();
    world_.advance(step);
  }
  settle();
  hosts_.check_arrived(guests_.lives());
}

void Session::finish(bool patiently) {
  settle();
  if (patiently) {
    wait_for_all();
  }
  world_.finish(patiently);
  receive();
}

void run_session(sys::Bytes program) {
  Input in(program);
  const WorldOptions options = WorldOptions::take(in);
  const std::uint8_t ending = in.u8();
  const std::uint8_t failing = in.u8();
  Session session(options);
  // The pattern of a failing schedule, spread over its 64 steps.
  set_allocation_failures(failing == 0 ? 0 : failing * 0x0101'8004'1020'0401ULL);
  while (in.left() >= Operation::kSize) {
    session.perform(Operation::take(in));
  }
  session.finish(ending % 8 == kEndsPatiently);
}

std::string session_text(sys::Bytes program) {
  Input in(program);
  std::string text = WorldOptions::take(in).text();
  const std::uint8_t ending = in.u8();
  text += fmt::format("ends {}\n", ending % 8 == kEndsPatiently ? "patiently" : "at once");
  if (const std::uint8_t failing = in.u8(); failing != 0) {
    text += fmt::format("allocations fail by pattern {:02x}\n", failing);
  }
  while (in.left() >= Operation::kSize) {
    text += Operation::take(in).text();
  }
  return text;
}

}  // namespace l4n::fuzz
