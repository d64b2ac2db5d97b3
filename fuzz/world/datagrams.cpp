#include "fuzz/world/datagrams.hpp"

#include <algorithm>

#include "fuzz/world/places.hpp"
#include "fuzz/world/streams.hpp"

namespace l4n::fuzz {
namespace {

using integration::Data;
using integration::IpFields;

constexpr std::size_t kLargestDatagram = 9000;
constexpr std::uint8_t kSender = 1;  // of their payloads
// Bits of `who` of a datagram of the guest's.
constexpr std::uint8_t kFromForward = 0x80;  // what a forward leads to answers a client
constexpr std::uint8_t kInOne = 0x40;        // datagrams of kSegment bytes, in one frame
constexpr std::uint16_t kSegment = 1000;

Data payload_of(std::size_t size) { return stream_bytes(kSender, 1, std::min(size, kLargestDatagram)); }

IpFields fields_of(std::uint16_t flags) {
  IpFields fields;
  fields.dont_fragment = (flags & 1U) != 0;
  fields.ttl = static_cast<std::uint8_t>(64 - (flags >> 1U & 63U));
  fields.tos = static_cast<std::uint8_t>(flags >> 8U);
  fields.id = 7;
  return fields;
}

nat::HostError host_error(const Operation& operation, bool is_v4) {
  nat::HostError error = nat::local_error(error_number(operation.a), is_v4, 1400);
  const sys::IpAddress router = place(operation.b);
  if (router.is_v4() == is_v4) {
    error.offender = router;
  }
  return error;
}

}  // namespace

void Datagrams::perform(const Operation& operation) {
  guest(operation);
  host(operation);
}

void Datagrams::guest(const Operation& operation) {
  switch (operation.kind) {
    case OperationKind::udp:
      return send_udp(operation);
    case OperationKind::ping:
      return send_ping(operation);
    case OperationKind::dns:
      return ask_dns(operation);
    case OperationKind::fragment:
      return send_fragment(operation);
    default:
      return;
  }
}

void Datagrams::host(const Operation& operation) {
  switch (operation.kind) {
    case OperationKind::udp_answer:
      return answer_udp(operation);
    case OperationKind::udp_error:
      return fail_udp(operation);
    case OperationKind::ping_answer:
      return answer_ping(operation);
    case OperationKind::dns_answer:
    case OperationKind::dns_error:
      return answer_dns(operation);
    default:
      return;
  }
}

// --- the guest ---

void Datagrams::send_udp(const Operation& operation) {
  const sys::IpAddress to = place(operation.a);
  integration::UdpDatagram datagram{static_cast<std::uint16_t>(5000 + operation.who % 16U),
                                    static_cast<std::uint16_t>(7 + operation.a / 256U),
                                    payload_of(operation.b)};
  if ((operation.who & kFromForward) != 0) {
    datagram.source_port = 80;
    datagram.destination_port = 30000;
  }
  const Data packet = integration::udp_packet(guest_address(to), to, datagram, fields_of(operation.c));
  if ((operation.who & kInOne) != 0 && operation.b > kSegment && world_.port().vnet()) {
    send_super_datagram(packet, to.is_v4());
    return;
  }
  for (const Data& piece : integration::fragment(packet, world_.port().mtu())) {
    world_.port().send(integration::ip_frame(piece));
  }
}

// The guest's kernel leaves the cutting to the interface.
void Datagrams::send_super_datagram(sys::Bytes packet, bool v4) {
  stack::VnetHeader vnet = integration::partial_checksum(v4 ? 20 : 40, 6);
  vnet.gso_type = stack::VnetHeader::kGsoUdpL4;
  vnet.gso_size = kSegment;
  vnet.header_length = static_cast<std::uint16_t>(vnet.checksum_start + 8);
  world_.port().send(integration::ip_frame(packet), vnet);
}

void Datagrams::send_ping(const Operation& operation) {
  const sys::IpAddress to = place(operation.a);
  integration::IcmpMessage echo = integration::echo_request(operation.who % 8U, 1, payload_of(operation.b));
  echo.type = to.is_v4() ? stack::IcmpType::kEchoRequest : stack::Icmp6Type::kEchoRequest;
  const Data packet = integration::icmp_packet(guest_address(to), to, echo, fields_of(operation.c));
  for (const Data& piece : integration::fragment(packet, world_.port().mtu())) {
    world_.port().send(integration::ip_frame(piece));
  }
}

void Datagrams::ask_dns(const Operation& operation) {
  // ID, recursion desired, one question: "a", type A, class IN.
  Data question(12);
  sys::store_be16(question.data(), operation.a);
  question[2] = std::byte{1};
  question[5] = std::byte{1};
  for (const unsigned value : {1U, 0x61U, 0U, 0U, 1U, 0U, 1U}) {
    question.push_back(static_cast<std::byte>(value));
  }
  question.resize(question.size() - std::min<std::size_t>(operation.a / 4096U, question.size()));
  const sys::IpAddress to = place(operation.b % 2 == 0 ? 4 : 5);
  const auto from = static_cast<std::uint16_t>(5300 + operation.who % 16U);
  world_.port().send(
      integration::ip_frame(integration::udp_packet(guest_address(to), to, {from, 53, question})));
}

void Datagrams::send_fragment(const Operation& operation) {
  constexpr std::size_t kMostOffset = 3992;
  constexpr std::size_t kMostSize = 1400;
  const sys::IpAddress to = place(operation.who % 2U);
  const Data whole =
      integration::udp_packet(guest_address(to), to, {5000, 7, payload_of(kMostOffset + kMostSize)});
  const std::size_t offset = operation.a % (kMostOffset / 8 + 1) * 8;
  const Data piece = integration::fragment_of(whole, offset, std::min<std::size_t>(operation.b, kMostSize),
                                              (operation.c & 1U) != 0, operation.who);
  world_.port().send(integration::ip_frame(piece));
}

// --- the host ---

void Datagrams::answer_udp(const Operation& operation) {
  auto& sockets = world_.host().udp;
  if (sockets.opened() == 0) {
    return;
  }
  auto& socket = sockets.socket(operation.who % sockets.opened());
  const auto& sent = socket.sent();
  const std::size_t which = operation.a % (sent.size() + 1);
  const sys::Endpoint from = which < sent.size() ? sent[which].to : sys::Endpoint{place(operation.a), 7};
  if (!socket.closed() && from.address.is_v4() == socket.is_v4()) {
    const Data payload = payload_of(operation.b);
    const std::uint16_t segment = operation.c < payload.size() ? operation.c : std::uint16_t{0};
    socket.deliver(from, payload, segment);
  }
}

void Datagrams::fail_udp(const Operation& operation) {
  auto& sockets = world_.host().udp;
  if (sockets.opened() == 0) {
    return;
  }
  auto& socket = sockets.socket(operation.who % sockets.opened());
  if (socket.sent().empty()) {
    socket.break_sends(error_number(operation.a), 1);
    return;
  }
  const auto& last = socket.sent().back();
  const sys::Bytes payload = sys::Bytes(last.payload).first(std::min<std::size_t>(last.payload.size(), 500));
  socket.fail(host_error(operation, socket.is_v4()), last.to, payload);
}

void Datagrams::answer_ping(const Operation& operation) {
  auto& pings = world_.host().ping;
  if (pings.opened() == 0) {
    return;
  }
  const auto& ping = pings.ping(operation.who % pings.opened());
  if (ping.closed() || ping.sent.empty()) {
    return;
  }
  const sys::IpAddress to = ping.sent.back().request.destination;
  Data message = ping.sent.back().message;
  if (operation.c != 0) {  // nobody has asked with this sequence number
    sys::store_be16(&message[6], static_cast<std::uint16_t>(sys::load_be16(&message[6]) + operation.c));
  }
  if (operation.a == 0) {
    ping.reply(to, message);
  } else {
    ping.fail(host_error(operation, ping.is_v4), to, message);
  }
}

void Datagrams::answer_dns(const Operation& operation) {
  auto& host = world_.host();
  if (host.datagram_sockets() == 0) {
    return;
  }
  auto& socket = host.datagram(operation.who % host.datagram_sockets());
  if (socket.closed() || socket.sent().empty()) {
    return;
  }
  if (operation.kind == OperationKind::dns_error) {
    socket.fail(error_number(operation.a));
    return;
  }
  Data answer = socket.sent().back();
  answer.at(2) |= std::byte{0x80};
  answer.resize(std::min<std::size_t>(operation.a, 4000), std::byte{0});
  if (operation.b % 4 == 1 && !answer.empty()) {
    answer.front() ^= std::byte{1};  // another question's ID
  }
  socket.answer(answer);
}

}  // namespace l4n::fuzz
