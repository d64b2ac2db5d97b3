#include "tests/conformance/row.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace l4n::conformance {
namespace {

using integration::Packet;

std::string arp_text(const Packet& packet) {
  const auto operation = sys::load_be16(&packet.arp[6]);
  const bool ours = std::equal(stack::kGatewayMac.begin(), stack::kGatewayMac.end(),
                               reinterpret_cast<const std::uint8_t*>(&packet.arp[8]));
  return fmt::format("ARP {} {} at {} for {}", operation == 2 ? "reply" : "?",
                     sys::to_string(sys::Ipv4Address{sys::load_be32(&packet.arp[14])}),
                     ours ? "the gateway" : "?",
                     sys::to_string(sys::Ipv4Address{sys::load_be32(&packet.arp[24])}));
}

void check_frame_row(const FrameRow& row, const WorldOptions& options) {
  World w(options);
  for (const integration::Data& frame : row.frames) {
    w.port.inject(frame);
    w.settle();
  }
  CHECK(fmt::format("{}", fmt::join(answer_texts(w.others), "; ")) ==
        fmt::format("{}", fmt::join(row.answers, "; ")));
  CHECK(counters_text(w) == row.counted);
  CHECK(host_sockets(w) == 0);
  CHECK(w.gateway->counters().frames == row.frames.size());
}

}  // namespace

void check_frame_rows(const std::vector<FrameRow>& rows, const WorldOptions& options) {
  std::vector<Row> plain;
  plain.reserve(rows.size());
  for (const FrameRow& row : rows) {
    plain.push_back({row.rfc, row.name, [&row, &options] { check_frame_row(row, options); }});
  }
  check_rows(plain);
}

std::string flags_text(std::uint8_t flags) {
  constexpr std::array<const char*, 6> kNames{"FIN", "SYN", "RST", "PSH", "ACK", "URG"};
  std::string text;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if ((flags & (1U << i)) != 0) {
      text += text.empty() ? "" : " ";
      text += kNames.at(i);
    }
  }
  return text.empty() ? "-" : text;
}

std::string answer_text(const Packet& packet) {
  const std::string from = sys::to_string(packet.source);
  const std::string to = sys::to_string(packet.destination);
  if (packet.tcp) {
    return fmt::format("TCP {}:{} -> {}:{} {}", from, packet.tcp->source_port, to,
                       packet.tcp->destination_port, flags_text(packet.tcp->flags));
  }
  if (packet.udp) {
    return fmt::format("UDP {}:{} -> {}:{}", from, packet.udp->source_port, to, packet.udp->destination_port);
  }
  if (packet.icmp) {
    return fmt::format("ICMP {}/{} {} -> {}", packet.icmp->type, packet.icmp->code, from, to);
  }
  return packet.arp.size() == 28 ? arp_text(packet) : packet.text();
}

std::vector<std::string> answer_texts(const std::vector<Packet>& packets) {
  std::vector<std::string> texts;
  std::transform(packets.begin(), packets.end(), std::back_inserter(texts), answer_text);
  return texts;
}

std::string counters_text(const World& w) {
  const nat::Gateway::Counters& counters = w.gateway->counters();
  std::vector<std::string> texts;
  const auto note = [&texts](const char* name, std::uint64_t n) {
    if (n != 0) {
      texts.push_back(fmt::format("{} {}", name, n));
    }
  };
  for (std::size_t i = 0; i < counters.dropped.size(); ++i) {
    note(stack::to_string(static_cast<stack::DropReason>(i)), counters.dropped.at(i));
  }
  note("denied", counters.denied + w.gateway->tcp().counters().denied);
  note("unserved", counters.unserved);
  return fmt::format("{}", fmt::join(texts, ", "));
}

std::size_t host_sockets(const World& w) {
  return w.host.connects() + w.host.datagram_sockets() + w.host.udp.opened() + w.host.ping.opened();
}

}  // namespace l4n::conformance
