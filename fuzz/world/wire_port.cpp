#include "fuzz/world/wire_port.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "fuzz/engine/oracle.hpp"
#include "fuzz/engine/output_digest.hpp"
#include "fuzz/world/frame_faults.hpp"
#include "fuzz/world/injected_fault.hpp"
#include "stack/frame_poison.hpp"

namespace l4n::fuzz {
namespace {

using integration::append;
using integration::Data;
using integration::Flags;
using integration::Packet;
using stack::VnetHeader;

// A packet that came in fragments has passed the MTU already.
constexpr unsigned kLargestPacket = 65575;

}  // namespace

WirePort::~WirePort() {
  FUZZ_REQUIRE(full_ || collector_.incomplete() == 0 || frames_lost_,
               "a packet was sent without one of its fragments");
}

sys::IoResult WirePort::read(stack::FrameBuffer& into) noexcept {
  if (const auto error = std::exchange(ending_, std::nullopt)) {
    return *error == 0 ? sys::IoResult::finished() : sys::IoResult::error_of(*error);
  }
  if (inbound_.empty()) {
    return sys::IoResult::blocked();
  }
  const Data frame = std::move(inbound_.front());
  inbound_.pop_front();
  into.size = std::min(frame.size(), into.data.size());
  std::copy_n(frame.begin(), into.size, into.data.begin());
  stack::poison_behind_frame(into);
  return sys::IoResult::moved(into.size);
}

sys::IoResult WirePort::write(std::span<iovec> parts) noexcept {
  if (full_) {
    frames_lost_ = true;
    return sys::IoResult::blocked();
  }
  Data bytes;
  for (const iovec& part : parts) {
    append(bytes, {static_cast<const std::byte*>(part.iov_base), part.iov_len});
  }
  ++frames_written_;
  apply_frame_fault(bytes);
  note_output(options_.vnet ? sys::Bytes(bytes) : sys::Bytes(bytes).subspan(VnetHeader::kSize));
  check(options_.vnet ? VnetHeader::decode(bytes) : VnetHeader{},
        sys::Bytes(bytes).subspan(VnetHeader::kSize));
  return sys::IoResult::moved(bytes.size());
}

void WirePort::check(const VnetHeader& vnet, sys::Bytes frame) {
  auto packet = integration::parse_frame(vnet, frame);
  const std::uint16_t mss = packet ? mss_of(*packet) : std::uint16_t{0};
  const std::string fault =
      integration::find_fault(vnet, frame, {options_.vnet, options_.mtu, mss, cuts_udp()});
  FUZZ_REQUIRE(fault.empty(), "a bad frame is sent: {} ({})", fault, packet ? packet->text() : "?");
  if (packet->is_fragment()) {
    collect(*packet, frame);
  } else {
    outbound_.push_back(*std::move(packet));
  }
}

void WirePort::collect(const Packet& fragment, sys::Bytes frame) {
  if (injected(InjectedFault::lose_fragment) && fragment.fragment_offset == 0) {
    return;
  }
  const auto whole = collector_.add(fragment, frame.subspan(stack::kEthernetHeaderSize));
  if (!whole) {
    return;
  }
  const Data joined =
      integration::ethernet_frame(fragment.ether_type, *whole, fragment.source_mac, fragment.destination_mac);
  auto packet = integration::parse_frame({}, joined);
  const std::string fault = integration::find_fault({}, joined, {options_.vnet, kLargestPacket, 0, false});
  FUZZ_REQUIRE(fault.empty(), "a bad packet is sent in fragments: {} ({})", fault,
               packet ? packet->text() : "?");
  outbound_.push_back(*std::move(packet));
}

void WirePort::send(sys::Bytes frame, const VnetHeader& vnet) {
  if (const auto packet = integration::parse_frame(vnet, frame)) {
    note_mss(*packet);
  }
  Data bytes(options_.vnet ? VnetHeader::kSize : 0);
  if (options_.vnet) {
    vnet.encode(bytes);
  }
  append(bytes, frame);
  last_ = bytes;
  inbound_.push_back(std::move(bytes));
}

void WirePort::repeat_last() {
  if (!last_.empty()) {
    inbound_.push_back(last_);
  }
}

void WirePort::note_mss(const Packet& packet) {
  if (!packet.tcp || !packet.tcp->has(Flags::kSyn)) {
    return;
  }
  const std::uint16_t by_default = packet.source.is_v4() ? 536 : 1220;  // RFC 9293 3.7.1
  constexpr unsigned kSmallest = 48;  // what is sent to a guest that asks for less
  const unsigned announced = std::max<unsigned>(packet.tcp->mss().value_or(by_default), kSmallest);
  const auto mss =
      static_cast<std::uint16_t>(std::min<std::size_t>(announced, options_.mtu - packet.ip_header() - 20));
  const auto [at, fresh] = mss_.try_emplace(
      {packet.source, packet.tcp->source_port, packet.destination, packet.tcp->destination_port}, mss);
  if (!fresh && at->second != mss) {
    at->second = 0;
  }
}

std::uint16_t WirePort::mss_of(const Packet& packet) const {
  if (!packet.tcp) {
    return 0;
  }
  const auto found =
      mss_.find({packet.destination, packet.tcp->destination_port, packet.source, packet.tcp->source_port});
  return found == mss_.end() ? std::uint16_t{0} : found->second;
}

}  // namespace l4n::fuzz
