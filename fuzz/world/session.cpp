#include "fuzz/world/session.hpp"

#include <cerrno>

#include "fuzz/engine/oracle.hpp"
#include "fuzz/world/allocation.hpp"
#include "fuzz/world/injected_fault.hpp"
#include "fuzz/world/places.hpp"

namespace l4n::fuzz {
namespace {

using integration::FakeHost;
using integration::HostSocket;
using Plan = FakeHost::Plan;

// The streams' numbers of host sockets end there.
constexpr std::size_t kMostSockets = 120;
// The guest's answers to what the gateway sends at one moment.
constexpr unsigned kMostRounds = 200;

std::size_t or_unlimited(std::uint16_t value) { return value == 0 ? HostSocket::kUnlimited : value; }

bool belong_together(const GuestLife& life, const nat::HostTarget& target) {
  return outside_of(life.remote()) == target.endpoint;
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
  const sys::Ipv4Address own = guest_address(sys::Ipv4Address{}).v4();
  const bool arp_request = packet.arp.size() == 28 && sys::load_be16(&packet.arp[6]) == 1;
  if (arp_request && sys::load_be32(&packet.arp[24]) == own.value) {
    const sys::Ipv4Address asker{sys::load_be32(&packet.arp[14])};
    world_.port().send(
        integration::ethernet_frame(stack::kEtherTypeArp, integration::arp_packet(2, own, asker)));
  }
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
      break;
    default:
      break;
  }
}

// --- port forwards ---

void Session::forwards(const Operation& operation) {
  FakeHost& host = world_.host();
  switch (operation.kind) {
    case OperationKind::forward: {
      nat::ForwardRule rule;
      rule.protocol = operation.a % 2 == 0 ? nat::ForwardProtocol::tcp : nat::ForwardProtocol::udp;
      const auto port = static_cast<std::uint16_t>(8000 + operation.b % 4U);
      const bool v6 = operation.a / 2 % 2 == 1;
      rule.host = {sys::parse_ip(v6 ? "::" : "0.0.0.0").value(), port};
      rule.guest = {guest_address(rule.host.address), 80};
      world_.forward(rule);
      break;
    }
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

// Everybody gets what he has waited for: frame buffers, room, answers, and the time for repetitions.
void Session::wait_for_all() {
  if (injected(InjectedFault::no_patience)) {
    return;
  }
  constexpr unsigned kSteps = 60;
  set_allocation_failures(0);
  world_.port().set_full(false);
  hosts_.release_all();
  answers_neighbours_ = true;
  for (unsigned i = 0; i < kSteps; ++i) {
    guests_.become_attentive();
    settle();
    world_.advance(std::chrono::seconds(5));
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
  session.finish(ending % 8 == 1);
}

std::string session_text(sys::Bytes program) {
  Input in(program);
  std::string text = WorldOptions::take(in).text();
  const std::uint8_t ending = in.u8();
  text += fmt::format("ends {}\n", ending % 8 == 1 ? "patiently" : "at once");
  if (const std::uint8_t failing = in.u8(); failing != 0) {
    text += fmt::format("allocations fail by pattern {:02x}\n", failing);
  }
  while (in.left() >= Operation::kSize) {
    text += Operation::take(in).text();
  }
  return text;
}

}  // namespace l4n::fuzz
