#include "netns/tap.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace l4n::netns {
namespace {

using sys::Fd;
using sys::Result;

// Newer than the oldest kernel headers we build with.
constexpr unsigned kTunUso4 = 0x20;
constexpr unsigned kTunUso6 = 0x40;

constexpr char kTunDevice[] = "/dev/net/tun";

constexpr unsigned kTso = offload_tso4 | offload_tso6;
constexpr unsigned kUso = offload_uso4 | offload_uso6;

// Most capable first. A queue is asked for only where the plain form is refused: a TAP that was made
// multi-queue can be attached to in no other way.
constexpr std::array<unsigned, 4> kFlagSets = {
    IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
    IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE,
    IFF_TAP | IFF_NO_PI,
    IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE,
};

// USO came with Linux 6.2 and is accepted for both families or neither.
constexpr std::array<unsigned, 3> kOffloadSets = {
    offload_checksum | kTso | kUso,
    offload_checksum | kTso,
    offload_checksum,
};

unsigned to_kernel(unsigned offloads) {
  unsigned bits = 0;
  bits |= (offloads & offload_checksum) != 0 ? TUN_F_CSUM : 0U;
  bits |= (offloads & offload_tso4) != 0 ? TUN_F_TSO4 : 0U;
  bits |= (offloads & offload_tso6) != 0 ? TUN_F_TSO6 : 0U;
  bits |= (offloads & offload_uso4) != 0 ? kTunUso4 : 0U;
  bits |= (offloads & offload_uso6) != 0 ? kTunUso6 : 0U;
  return bits;
}

int set_offloads(int fd, unsigned offloads) {
  return ::ioctl(fd, TUNSETOFFLOAD, static_cast<unsigned long>(to_kernel(offloads))) == 0 ? 0 : errno;
}

// The device may be a persistent one on which someone chose another header.
Result<void> set_header_form(int fd) {
  int size = static_cast<int>(kVnetHeaderSize);
  if (::ioctl(fd, TUNSETVNETHDRSZ, &size) != 0) {
    return sys::errno_error("cannot set the TAP's header size");
  }
  int little_endian = 0;  // the host's own order; kernels without the call know no other
  static_cast<void>(::ioctl(fd, TUNSETVNETLE, &little_endian));
  return {};
}

// What comes with the header: its form, and the offloads.
Result<void> take_vnet_header(Tap& tap) {
  if (!tap.vnet_hdr) {
    return {};
  }
  const int fd = tap.fd.get();
  if (auto form = set_header_form(fd); !form) {
    return form;
  }
  tap.offloads = negotiate_offloads([fd](unsigned set) { return set_offloads(fd, set); });
  return {};
}

// As our own ones are opened.
Result<void> prepare_descriptor(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return sys::errno_error(fmt::format("cannot use descriptor {}", fd));
  }
  return {};
}

std::string name_of(const ifreq& request) {
  const char* name = request.ifr_name;
  return {name, ::strnlen(name, IFNAMSIZ)};
}

std::string attach_failure(const std::string& name, int code, bool existed) {
  if (code == EINVAL && existed) {
    return fmt::format("cannot attach to {} (a device of that name exists that is no usable TAP)", name);
  }
  if (code == EBUSY) {
    return fmt::format("cannot attach to TAP {} (another process uses it)", name);
  }
  return fmt::format("cannot {} TAP {}", existed ? "attach to" : "create", name);
}

}  // namespace

unsigned negotiate_offloads(const std::function<int(unsigned)>& try_set) {
  for (const unsigned set : kOffloadSets) {
    if (try_set(set) == 0) {
      return set;
    }
  }
  static_cast<void>(try_set(0));  // an earlier owner's choice must not stay in force
  return 0;
}

Result<unsigned> negotiate_flags(const std::function<int(unsigned)>& try_flags) {
  for (const unsigned flags : kFlagSets) {
    const int code = try_flags(flags);
    if (code == 0) {
      return flags;
    }
    if (code != EINVAL) {
      return sys::errno_error(code, "cannot attach to the TAP");
    }
  }
  return sys::errno_error(EINVAL, "cannot attach to the TAP");
}

Result<Tap> open_tap(const std::string& name) {
  if (name.empty() || name.size() >= IFNAMSIZ) {
    return sys::plain_error(
        fmt::format("cannot create TAP \"{}\": the name must have 1 to {} characters", name, IFNAMSIZ - 1));
  }
  Fd fd(::open(kTunDevice, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) {
    return sys::errno_error(fmt::format("cannot open {}", kTunDevice));
  }
  const bool existed = ::if_nametoindex(name.c_str()) != 0;
  ifreq request{};
  const auto flags = negotiate_flags([&](unsigned wanted) {
    request = {};
    std::memcpy(request.ifr_name, name.data(), name.size());
    request.ifr_flags = static_cast<short>(wanted);
    return ::ioctl(fd.get(), TUNSETIFF, &request) == 0 ? 0 : errno;
  });
  if (!flags) {
    return sys::errno_error(flags.error().code, attach_failure(name, flags.error().code, existed));
  }

  Tap tap;
  tap.fd = std::move(fd);
  tap.name = name_of(request);
  tap.vnet_hdr = (*flags & IFF_VNET_HDR) != 0;
  tap.created = !existed;
  if (auto taken = take_vnet_header(tap); !taken) {
    return taken.error();
  }
  return tap;
}

Result<Tap> adopt_tap(int fd) {
  ifreq request{};
  if (::ioctl(fd, TUNGETIFF, &request) != 0) {
    return sys::errno_error(fmt::format("descriptor {} is not an attached TAP", fd));
  }
  const auto flags = static_cast<unsigned short>(request.ifr_flags);
  if ((flags & IFF_TAP) == 0) {
    return sys::plain_error(fmt::format("descriptor {} is not a TAP: it carries no Ethernet frames", fd));
  }
  if (auto prepared = prepare_descriptor(fd); !prepared) {
    return prepared.error();
  }
  Tap tap;
  tap.fd = Fd(fd);
  tap.name = name_of(request);
  tap.vnet_hdr = (flags & IFF_VNET_HDR) != 0;
  if (auto taken = take_vnet_header(tap); !taken) {
    return taken.error();
  }
  return tap;
}

void release_offloads(int fd) noexcept { static_cast<void>(set_offloads(fd, 0)); }

}  // namespace l4n::netns
