// The TAP device: the guest's link, opened inside its network namespace.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "netns/sys/fd.hpp"
#include "netns/sys/result.hpp"

namespace l4n::netns {

// What the guest's kernel may leave to us. A set of them is an unsigned made with `|`.
enum Offload : unsigned {
  offload_checksum = 1U << 0U,  // frames arrive with partial checksums (VIRTIO_NET_HDR_F_NEEDS_CSUM)
  offload_tso4 = 1U << 1U,      // TCP super-segments over IPv4 …
  offload_tso6 = 1U << 2U,      // … and IPv6
  offload_uso4 = 1U << 3U,      // batches of equal datagrams in one frame (VIRTIO_NET_HDR_GSO_UDP_L4)
  offload_uso6 = 1U << 4U,
};

// struct virtio_net_hdr without num_buffers. Its 16-bit fields are in the host's byte order.
inline constexpr std::size_t kVnetHeaderSize = 10;

struct Tap {
  sys::Fd fd;  // non-blocking, close-on-exec; one frame per read(2) and write(2)
  std::string name;
  bool vnet_hdr = false;  // every frame is preceded by kVnetHeaderSize bytes
  unsigned offloads = 0;  // what the kernel accepted; 0 without vnet_hdr
  bool created = false;   // the device did not exist before: it goes when `fd` is closed
};

// Creates or attaches to TAP `name` in the current network namespace.
[[nodiscard]] sys::Result<Tap> open_tap(const std::string& name);

// Takes over a TAP that somebody else has opened and attached. Its interface is left alone. It must be one
// without packet information (IFF_NO_PI), which the kernel does not tell: it uses that bit of TUNGETIFF for
// something else as well (IFF_NOFILTER). Errors: `fd` is no open descriptor or no attached TAP; it stays the
// caller's then.
[[nodiscard]] sys::Result<Tap> adopt_tap(int fd);

// Switches a device's offloads off again: a persistent one may next be used by someone who cannot take
// frames with partial checksums. To be called before the descriptor is closed.
void release_offloads(int fd) noexcept;

// The largest set that `try_set` (0 or an errno value for a set of Offload) accepts, from all of them down
// to none. Older kernels refuse the newer bits as a whole.
[[nodiscard]] unsigned negotiate_offloads(const std::function<int(unsigned)>& try_set);

// Flags for TUNSETIFF: the first set that `try_flags` (0 or an errno value) does not refuse with EINVAL.
// The errno of the last attempt otherwise.
[[nodiscard]] sys::Result<unsigned> negotiate_flags(const std::function<int(unsigned)>& try_flags);

}  // namespace l4n::netns
