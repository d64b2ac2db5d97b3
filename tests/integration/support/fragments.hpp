// Fragments (RFC 791 3.2, RFC 8200 4.5) as the guest sees them: cut for the gateway, and put together again.
#pragma once

#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "tests/integration/support/wire.hpp"

namespace l4n::integration {

// A packet from its IP header (without options or extension headers) on, in fragments that are at most `mtu`
// bytes long: one, the packet itself, when it fits. The packet's DF is not looked at; IPv6 fragments get
// `id`, others have that of the packet.
[[nodiscard]] std::vector<Data> fragment(sys::Bytes packet, std::size_t mtu, std::uint32_t id = 1);

// One piece of a packet: `size` payload bytes from `offset` (a multiple of 8) on, the end of the packet or
// not.
[[nodiscard]] Data fragment_of(sys::Bytes packet, std::size_t offset, std::size_t size, bool more,
                               std::uint32_t id = 1);

// Puts together what the gateway has cut. Its fragments do not overlap; what does is not put together.
class FragmentCollector {
 public:
  // The whole packet, once `fragment` (from its IP header on) completes it.
  [[nodiscard]] std::optional<Data> add(const Packet& fragment, sys::Bytes ip);
  // Packets of which something is missing.
  [[nodiscard]] std::size_t incomplete() const noexcept { return packets_.size(); }

 private:
  using Key = std::tuple<sys::IpAddress, sys::IpAddress, std::uint8_t, std::uint32_t>;
  struct Pieces {
    Data header;
    std::map<std::size_t, Data> payload;
    std::optional<std::size_t> end;
  };

  std::map<Key, Pieces> packets_;
};

}  // namespace l4n::integration
