#include "tests/integration/support/memory_port.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace l4n::integration {
namespace {

using stack::VnetHeader;

// Shows every frame, for whoever looks into a failure.
void trace(const char* direction, const Packet& packet) {
  static const bool enabled = std::getenv("INTEGRATION_TRACE") != nullptr;
  if (enabled) {
    fmt::print(stderr, "{} {}\n", direction, packet.text());
  }
}

}  // namespace

sys::IoResult MemoryPort::read(stack::FrameBuffer& into) noexcept {
  if (inbound_.empty()) {
    const bool end = std::exchange(ended_, false);
    return end ? sys::IoResult::finished() : sys::IoResult::blocked();
  }
  const Data frame = std::move(inbound_.front());
  inbound_.pop_front();
  const std::size_t size = std::min(frame.size(), into.data.size());
  std::copy_n(frame.begin(), size, into.data.begin());
  into.size = size;
  return sys::IoResult::moved(size);
}

sys::IoResult MemoryPort::write(std::span<iovec> parts) noexcept {
  if (full_) {
    return sys::IoResult::blocked();
  }
  Data bytes;
  for (const iovec& part : parts) {
    append(bytes, {static_cast<const std::byte*>(part.iov_base), part.iov_len});
  }
  ++sent_frames_;
  if (recording_) {
    append(recorded_, bytes);
  }
  const VnetHeader vnet = vnet_ ? VnetHeader::decode(bytes) : VnetHeader{};
  const sys::Bytes frame = sys::Bytes(bytes).subspan(VnetHeader::kSize);
  auto packet = check(vnet, frame, mtu_);
  if (packet && packet->is_fragment()) {
    packet = collect(*packet, frame);
  }
  if (packet) {
    pass_to_guest(std::make_unique<Packet>(*std::move(packet)));
  }
  return sys::IoResult::moved(bytes.size());
}

// What a frame for the guest holds. A fault in it fails the test.
std::optional<Packet> MemoryPort::check(const VnetHeader& vnet, sys::Bytes frame, unsigned mtu) {
  auto packet = parse_frame(vnet, frame);
  const std::uint16_t mss = packet ? mss_of(*packet) : std::uint16_t{0};
  const std::string fault = find_fault(vnet, frame, {vnet_, mtu, mss, cuts_udp_});
  if (!fault.empty()) {
    FAIL_CHECK(fmt::format("bad frame toward the guest: {} ({})", fault, packet ? packet->text() : "?"));
  }
  if (packet) {
    trace("<-", *packet);
  }
  return packet;
}

// The whole packet, once its last fragment is here, verified like one that came in one piece.
std::optional<Packet> MemoryPort::collect(const Packet& fragment, sys::Bytes frame) {
  ++pieces_;
  const auto whole = collector_.add(fragment, frame.subspan(stack::kEthernetHeaderSize));
  if (!whole) {
    return std::nullopt;
  }
  constexpr unsigned kLargestPacket = 65575;
  auto packet =
      check({}, ethernet_frame(fragment.ether_type, *whole, fragment.source_mac, fragment.destination_mac),
            kLargestPacket);
  if (packet) {
    packet->pieces = std::exchange(pieces_, 0);
  }
  return packet;
}

void MemoryPort::pass_to_guest(std::unique_ptr<Packet> packet) {
  const Fate fate = to_guest_ ? to_guest_(*packet) : Fate::pass;
  if (fate == Fate::hold && held_outbound_ == nullptr) {
    held_outbound_ = std::move(packet);
    return;
  }
  if (fate == Fate::twice) {
    outbound_.push_back(std::make_unique<Packet>(*packet));
  }
  if (fate != Fate::drop) {
    outbound_.push_back(std::move(packet));
  }
  if (held_outbound_ != nullptr) {
    outbound_.push_back(std::move(held_outbound_));
  }
}

void MemoryPort::inject(sys::Bytes frame, const VnetHeader& vnet) {
  const auto packet = parse_frame(vnet, frame);
  Fate fate = Fate::pass;
  if (packet) {
    trace("->", *packet);
    note_mss(*packet);
    fate = to_gateway_ ? to_gateway_(*packet) : Fate::pass;
  }
  Data bytes(vnet_ ? VnetHeader::kSize : 0);
  if (vnet_) {
    vnet.encode(bytes);
  }
  append(bytes, frame);
  if (fate == Fate::hold && !held_inbound_) {
    held_inbound_ = std::move(bytes);
    return;
  }
  if (fate != Fate::drop) {
    ++injected_frames_;
    if (fate == Fate::twice) {
      ++injected_frames_;
      inbound_.push_back(bytes);
    }
    inbound_.push_back(std::move(bytes));
  }
  if (held_inbound_) {
    ++injected_frames_;
    inbound_.push_back(*std::move(held_inbound_));
    held_inbound_.reset();
  }
}

std::unique_ptr<Packet> MemoryPort::take() {
  if (outbound_.empty()) {
    return nullptr;
  }
  std::unique_ptr<Packet> packet = std::move(outbound_.front());
  outbound_.pop_front();
  return packet;
}

void MemoryPort::note_mss(const Packet& packet) {
  if (!packet.tcp || !packet.tcp->has(Flags::kSyn)) {
    return;
  }
  constexpr std::uint16_t kDefault = 536;  // RFC 9293 3.7.1
  constexpr unsigned kSmallest = 48;       // what we send to a guest that asks for less
  const unsigned announced = std::max<unsigned>(packet.tcp->mss().value_or(kDefault), kSmallest);
  mss_[{packet.source, packet.tcp->source_port, packet.destination, packet.tcp->destination_port}] =
      static_cast<std::uint16_t>(std::min<std::size_t>(announced, mtu_ - packet.ip_header() - 20));
}

std::uint16_t MemoryPort::mss_of(const Packet& packet) const {
  if (!packet.tcp) {
    return 0;
  }
  const auto found =
      mss_.find({packet.destination, packet.tcp->destination_port, packet.source, packet.tcp->source_port});
  return found == mss_.end() ? std::uint16_t{0} : found->second;
}

}  // namespace l4n::integration
