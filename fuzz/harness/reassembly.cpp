// Reassembly of fragments, against a reference that keeps a mark for every byte.
//
// Input: operations: a fragment (which datagram, offset, size, flags), or seconds that pass.
#include "stack/reassembly.hpp"

#include <array>
#include <map>
#include <optional>

#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/input.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/support/fault.hpp"
#include "netns/sys/clock.hpp"
#include "stack/checksum.hpp"
#include "stack/packet.hpp"
#include "stack/vnet_header.hpp"

namespace l4n::fuzz {
namespace {

using ByteVector = std::vector<std::byte>;

// So few and so small that the bounds on what is held are never reached: nothing is evicted.
constexpr unsigned kMostFragments = 256;
constexpr std::size_t kIpv4Size = 20;
constexpr std::size_t kIpv6Size = 40;

struct Fragment {
  bool is_v4 = true;
  std::uint8_t id = 0;
  std::size_t offset = 0;
  bool more = false;
  ByteVector payload;

  [[nodiscard]] unsigned key() const noexcept { return 2U * id + (is_v4 ? 1 : 0); }
};

Fragment take_fragment(Input& in) {
  Fragment fragment;
  const std::uint8_t which = in.u8();
  fragment.is_v4 = (which & 1U) != 0;
  fragment.id = (which >> 1U) & 7U;
  fragment.offset = std::size_t{8} * (in.u8() % 32);
  const std::size_t size = in.u8();
  const std::uint8_t flags = in.u8();
  fragment.more = (flags & 1U) != 0;
  const std::size_t odd = (flags & 2U) != 0 ? 3 : 0;
  // The byte at each place of a datagram is always the same but for the flag: then it contradicts itself.
  for (std::size_t i = 0; i < size % 24 * 8 + odd; ++i) {
    const std::size_t place = fragment.offset + i;
    fragment.payload.push_back(static_cast<std::byte>(place * 31 + fragment.id + (flags & 4U)));
  }
  return fragment;
}

// --- the packets, byte by byte ---

ByteVector headers_of(const Fragment& fragment) {
  const std::size_t size = fragment.payload.size();
  if (fragment.is_v4) {
    const auto word = static_cast<unsigned>(fragment.offset / 8) | (fragment.more ? 0x2000U : 0U);
    ByteVector out(kIpv4Size);
    out[0] = std::byte{0x45};
    sys::store_be16(&out[2], static_cast<std::uint16_t>(kIpv4Size + size));
    sys::store_be16(&out[4], fragment.id);
    sys::store_be16(&out[6], static_cast<std::uint16_t>(word));
    out[8] = std::byte{64};
    out[9] = std::byte{17};
    out[12] = out[16] = std::byte{10};
    sys::store_be16(&out[10], stack::internet_checksum(out));
    return out;
  }
  ByteVector out(kIpv6Size + 8);
  out[0] = std::byte{0x60};
  sys::store_be16(&out[4], static_cast<std::uint16_t>(8 + size));
  out[6] = std::byte{44};  // a fragment header follows
  out[7] = std::byte{64};
  out[8] = out[24] = std::byte{0xfd};
  out[kIpv6Size] = std::byte{17};
  sys::store_be16(&out[kIpv6Size + 2],
                  static_cast<std::uint16_t>(fragment.offset | (fragment.more ? 1U : 0U)));
  out[kIpv6Size + 7] = static_cast<std::byte>(fragment.id);
  return out;
}

// --- the reference ---

class Book {
 public:
  // The whole payload, if this was the last piece that was missing.
  std::optional<ByteVector> add(const Fragment& fragment, sys::Time now) {
    if (!well_formed(fragment)) {
      return std::nullopt;
    }
    forget_old(now);
    const auto [entry, is_new] = datagrams_.try_emplace(fragment.key());
    Datagram& datagram = entry->second;
    if (is_new) {
      datagram.until = now + std::chrono::seconds(fragment.is_v4 ? 30 : 60);
    }
    if (datagram.refused || seen_before(datagram, fragment)) {
      return std::nullopt;
    }
    if (contradicts(datagram, fragment)) {
      datagram.refused = true;
      return std::nullopt;
    }
    mark(datagram, fragment);
    if (!datagram.end || datagram.count != *datagram.end) {
      return std::nullopt;
    }
    ByteVector whole(datagram.bytes.begin(),
                     datagram.bytes.begin() + static_cast<std::ptrdiff_t>(datagram.count));
    datagrams_.erase(entry);
    return whole;
  }

  void forget_old(sys::Time now) {
    for (auto it = datagrams_.begin(); it != datagrams_.end();) {
      it = it->second.until <= now ? datagrams_.erase(it) : std::next(it);
    }
  }
  [[nodiscard]] std::size_t pending() const noexcept { return datagrams_.size(); }

 private:
  static constexpr std::size_t kRoom = 512;
  struct Datagram {
    sys::Time until{};
    bool refused = false;
    std::array<std::byte, kRoom> bytes{};
    std::array<bool, kRoom> has{};
    std::size_t count = 0;
    std::optional<std::size_t> end;
    std::vector<Fragment> fragments;
  };

  static bool well_formed(const Fragment& fragment) noexcept {
    const std::size_t size = fragment.payload.size();
    const bool whole_units = !fragment.more || size % 8 == 0;
    const bool has_udp_header = !fragment.is_v4 || fragment.offset != 0 || size >= 8;
    return size > 0 && whole_units && has_udp_header;
  }
  static bool seen_before(const Datagram& datagram, const Fragment& fragment) noexcept {
    for (const Fragment& other : datagram.fragments) {
      if (other.offset == fragment.offset && other.payload == fragment.payload &&
          other.more == fragment.more) {
        return true;
      }
    }
    return false;
  }
  static bool contradicts(const Datagram& datagram, const Fragment& fragment) noexcept {
    const std::size_t end = fragment.offset + fragment.payload.size();
    for (std::size_t i = 0; i < kRoom; ++i) {
      const bool mine = i >= fragment.offset && i < end;
      if (datagram.has.at(i) && (mine || (!fragment.more && i >= end))) {
        return true;
      }
    }
    return datagram.end && (!fragment.more || end > *datagram.end);
  }
  static void mark(Datagram& datagram, const Fragment& fragment) {
    for (std::size_t i = 0; i < fragment.payload.size(); ++i) {
      datagram.bytes.at(fragment.offset + i) = fragment.payload[i];
      datagram.has.at(fragment.offset + i) = true;
      ++datagram.count;
    }
    if (!fragment.more) {
      datagram.end = fragment.offset + fragment.payload.size();
    }
    datagram.fragments.push_back(fragment);
  }

  std::map<unsigned, Datagram> datagrams_;
};

// --- both of them ---

class Comparison {
 public:
  void add(const Fragment& fragment) {
    ByteVector packet = headers_of(fragment);
    packet.insert(packet.end(), fragment.payload.begin(), fragment.payload.end());
    const std::optional<stack::IpHeader> ip = stack::decode_quoted_ip(packet);
    FUZZ_REQUIRE(ip, "the fragment's own header is not understood");
    stack::FrameBufferPtr buffer = reassembly_.add({stack::kGatewayMac, *ip, packet});
    const std::optional<ByteVector> expected = book_.add(fragment, clock_.now());
    if (buffer != nullptr && fault("reassembly: byte changed")) {
      buffer->bytes()[buffer->size - 1] ^= std::byte{1};
    }
    FUZZ_REQUIRE((buffer != nullptr) == expected.has_value(), "a datagram is {}, and should be {}",
                 buffer != nullptr ? "complete" : "not complete", expected ? "complete" : "not");
    if (buffer != nullptr) {
      compare(*buffer, fragment, *expected);
    }
    compare_pending();
  }

  void pass(std::chrono::seconds time) {
    clock_.advance(time);
    timers_.run_due();
    book_.forget_old(clock_.now());
    compare_pending();
  }

  void end() {
    pass(std::chrono::seconds(60));
    FUZZ_REQUIRE(reassembly_.pending() == 0 && reassembly_.bytes() == 0, "{} datagrams and {} bytes are left",
                 reassembly_.pending(), reassembly_.bytes());
    FUZZ_REQUIRE(buffers_.in_use() == 0 && timers_.armed_count() == 0, "a buffer or a timer is left");
  }

 private:
  static void compare(const stack::FrameBuffer& buffer, const Fragment& fragment,
                      const ByteVector& expected) {
    const std::size_t header = fragment.is_v4 ? kIpv4Size : kIpv6Size;
    const sys::Bytes packet = sys::Bytes(buffer.data)
                                  .first(buffer.size)
                                  .subspan(stack::VnetHeader::kSize + stack::kEthernetHeaderSize);
    const std::optional<stack::IpHeader> ip = stack::decode_quoted_ip(packet);
    FUZZ_REQUIRE(
        ip && ip->header_length == header && !ip->is_fragment() && packet.size() == header + expected.size(),
        "a whole packet of {} bytes is not one of {} and {}", packet.size(), header, expected.size());
    const sys::Bytes payload = packet.subspan(header);
    FUZZ_REQUIRE(std::equal(payload.begin(), payload.end(), expected.begin(), expected.end()),
                 "other bytes than those of its fragments");
  }
  void compare_pending() const {
    const std::size_t extra = fault("reassembly: one left") ? 1 : 0;
    FUZZ_REQUIRE(reassembly_.pending() + extra == book_.pending(), "{} datagrams wait for the rest, not {}",
                 reassembly_.pending() + extra, book_.pending());
  }

  sys::ManualClock clock_;
  sys::TimerQueue timers_{clock_};
  stack::FrameBufferPool buffers_;
  stack::Reassembly reassembly_{buffers_, timers_};
  Book book_;
};

void run(sys::Bytes input) {
  Input in(input);
  Comparison comparison;
  for (unsigned i = 0; i < kMostFragments && !in.empty(); ++i) {
    if (in.u8() % 16 == 0) {
      comparison.pass(std::chrono::seconds(in.u8()));
    } else {
      const Fragment fragment = take_fragment(in);
      if (fragment.more || fragment.offset != 0) {  // else it is none, and does not come this way
        comparison.add(fragment);
      }
    }
  }
  comparison.end();
}

}  // namespace

const Harness kHarness{run, print_hex, mutate_bytes};

}  // namespace l4n::fuzz
