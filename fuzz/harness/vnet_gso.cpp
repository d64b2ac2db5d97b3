// What the guest's kernel has to do with what it is sent: datagrams that come several in one frame, packets
// in fragments, one by one. However they travel, the guest gets the same datagrams.
//
// Input: a link, then batches of datagrams, each by its sizes and a byte from which its contents are made.
#include <algorithm>
#include <array>

#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/input.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/support/capture_port.hpp"
#include "fuzz/support/fault.hpp"
#include "stack/guest_link.hpp"
#include "tests/integration/support/fragments.hpp"

namespace l4n::fuzz {
namespace {

using integration::Data;
using integration::Packet;

constexpr stack::MacAddress kGuestMac{0x02, 0, 0, 0, 0, 0x64};
constexpr std::size_t kMostBatches = 2;
constexpr std::size_t kMostDatagrams = 24;  // in one batch
constexpr std::size_t kMostParts = 8;

struct Link {
  integration::LinkRules rules;
  bool is_v4 = true;
};

Link take_link(Input& in) {
  const std::uint8_t flags = in.u8();
  Link link;
  link.is_v4 = (flags & 1U) != 0;
  link.rules.vnet = (flags & 2U) != 0;
  link.rules.cuts_udp = link.rules.vnet && (flags & 4U) != 0;
  link.rules.mtu = in.in_range(link.is_v4 ? 68 : 1280, 65521);
  return link;
}

struct Batch {
  Data payload;
  std::size_t segment = 1;         // bytes of each datagram, the last may be shorter
  std::vector<std::size_t> parts;  // datagrams in each piece of memory but the last
};

// Mostly short, so that most executions are.
Batch take_batch(Input& in) {
  const std::size_t most = in.u8() < 4 ? 65527 : 2000;
  Batch batch;
  batch.payload.resize(in.in_range(0, static_cast<std::uint32_t>(most)));
  batch.segment = std::max<std::size_t>({in.u16(), batch.payload.size() / kMostDatagrams + 1, 1});
  for (std::size_t i = in.u8() % kMostParts; i > 0; --i) {
    batch.parts.push_back(1 + in.u8() % 4U);
  }
  std::uint8_t value = in.u8();
  for (std::byte& b : batch.payload) {
    value = static_cast<std::uint8_t>(value * 5U + 3U);
    b = std::byte{value};
  }
  return batch;
}

std::vector<iovec> to_parts(const Batch& batch) {
  std::vector<iovec> parts;
  Data& payload =
      const_cast<Data&>(batch.payload);  // NOLINT(cppcoreguidelines-pro-type-const-cast): only read
  std::size_t at = 0;
  for (const std::size_t datagrams : batch.parts) {
    const std::size_t size = datagrams * batch.segment;
    if (at + size >= payload.size()) {
      break;
    }
    parts.push_back({&payload[at], size});
    at += size;
  }
  parts.push_back({payload.data() + at, payload.size() - at});
  return parts;
}

// What the guest's kernel makes of the frames.
class Guest {
 public:
  void take(const Frame& frame) {
    Packet packet = integration::parse_frame(frame.vnet, frame.bytes).value();
    if (packet.is_fragment()) {
      const auto whole = collector_.add(packet, sys::Bytes(frame.bytes).subspan(stack::kEthernetHeaderSize));
      if (!whole) {
        return;
      }
      const auto parsed = integration::parse_frame({}, integration::ip_frame(*whole));
      FUZZ_REQUIRE(parsed, "fragments of a packet that cannot be read");
      packet = *parsed;
    }
    FUZZ_REQUIRE(packet.udp, "something else than a datagram");
    const std::size_t size = frame.vnet.gso_type == stack::VnetHeader::kGsoUdpL4 ? frame.vnet.gso_size : 0;
    for (Data& datagram : integration::cut(packet.udp->payload, size)) {
      datagrams_.push_back(std::move(datagram));
    }
  }

  [[nodiscard]] const std::vector<Data>& datagrams() const noexcept { return datagrams_; }
  [[nodiscard]] std::size_t incomplete() const noexcept { return collector_.incomplete(); }

 private:
  integration::FragmentCollector collector_;
  std::vector<Data> datagrams_;
};

// One empty datagram is a datagram; and no datagram is longer than a packet may be.
std::vector<Data> expected(const Batch& batch, bool is_v4) {
  std::vector<Data> datagrams =
      batch.payload.empty() ? std::vector<Data>(1) : integration::cut(batch.payload, batch.segment);
  const std::size_t most = is_v4 ? 65507 : 65527;
  std::erase_if(datagrams, [most](const Data& d) { return d.size() > most; });
  return datagrams;
}

void check_batch(const Link& link, const Batch& batch) {
  CapturePort port(link.rules);
  stack::GuestLink guest_link(port, link.rules.mtu);
  const sys::IpAddress from = *sys::parse_ip(link.is_v4 ? "192.0.2.1" : "2001:db8::1");
  const sys::IpAddress to = *sys::parse_ip(link.is_v4 ? "10.0.2.100" : "fd00::100");
  guest_link.send_udp_batch(kGuestMac, {from, 53}, {to, 5000}, to_parts(batch), batch.segment);

  Guest guest;
  for (const Frame& frame : port.frames()) {
    guest.take(frame);
  }
  std::vector<Data> datagrams = guest.datagrams();
  if (fault("vnet_gso: datagram lost") && !datagrams.empty()) {
    datagrams.pop_back();
  }
  FUZZ_REQUIRE(guest.incomplete() == 0, "a packet of which fragments are missing");
  FUZZ_REQUIRE(datagrams == expected(batch, link.is_v4),
               "the guest gets {} datagrams, others than {} were sent", datagrams.size(),
               expected(batch, link.is_v4).size());
}

// Whatever 10 bytes there are, they are a header; and it is written as it was read.
void check_header(sys::Bytes bytes) {
  std::array<std::byte, stack::VnetHeader::kSize> header{};
  std::copy_n(bytes.begin(), std::min(bytes.size(), header.size()), header.begin());
  std::array<std::byte, stack::VnetHeader::kSize> again{};
  stack::VnetHeader::decode(header).encode(again);
  if (fault("vnet_gso: header")) {
    again[4] ^= std::byte{1};
  }
  FUZZ_REQUIRE(header == again, "a virtio header that is another when it is written again");
}

void run(sys::Bytes input) {
  Input in(input);
  check_header(input);
  const Link link = take_link(in);
  for (std::size_t i = 0; i < kMostBatches && !in.empty(); ++i) {
    check_batch(link, take_batch(in));
  }
}

std::string print(sys::Bytes input) {
  Input in(input);
  const Link link = take_link(in);
  std::string text = fmt::format("IPv{} mtu {}{}{}\n", link.is_v4 ? 4 : 6, link.rules.mtu,
                                 link.rules.vnet ? " vnet" : "", link.rules.cuts_udp ? " cuts UDP" : "");
  for (std::size_t i = 0; i < kMostBatches && !in.empty(); ++i) {
    const Batch batch = take_batch(in);
    text += fmt::format("{} bytes in datagrams of {}, {} parts\n", batch.payload.size(), batch.segment,
                        to_parts(batch).size());
  }
  return text;
}

}  // namespace

const Harness kHarness{run, print, mutate_bytes};

}  // namespace l4n::fuzz
