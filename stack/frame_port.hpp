// The seam to whatever carries the guest's frames: a TAP, a socket that carries one frame per message, or
// memory in tests.
#pragma once

#include <sys/uio.h>

#include <span>

#include "netns/sys/fd.hpp"
#include "netns/sys/io.hpp"
#include "netns/sys/result.hpp"
#include "stack/frame_buffer.hpp"
#include "stack/vnet_header.hpp"

namespace l4n::sys {
class EventHandler;
class EventLoop;
}  // namespace l4n::sys

namespace l4n::stack {

class FramePort {
 public:
  FramePort() = default;
  FramePort(const FramePort&) = delete;
  FramePort& operator=(const FramePort&) = delete;
  virtual ~FramePort() = default;

  // True when frames carry a VnetHeader both ways. Then partial checksums and super-segments may be sent.
  [[nodiscard]] virtual bool has_vnet_header() const noexcept = 0;
  // True when a frame may carry several UDP datagrams for the guest's kernel to cut (Linux 6.2).
  [[nodiscard]] virtual bool cuts_udp() const noexcept { return false; }
  // Reads one frame (with its VnetHeader, if any) into the buffer and sets its size.
  [[nodiscard]] virtual sys::IoResult read(FrameBuffer& into) noexcept = 0;
  // Writes one frame. The first VnetHeader::kSize bytes of parts[0] are the header; a port without headers
  // leaves them out. A frame that cannot be written now is lost, as on any Ethernet.
  [[nodiscard]] virtual sys::IoResult write(std::span<iovec> parts) noexcept = 0;
};

// A port over a descriptor that an event loop can watch. Non-blocking.
class DescriptorPort : public FramePort {
 public:
  [[nodiscard]] virtual int fd() const noexcept = 0;
  // Tells `reader` when there are frames to read, and when the port has failed. Both outlive the port.
  virtual sys::Result<void> start(sys::EventLoop& loop, sys::EventHandler& reader);
};

// A TAP device.
class FdFramePort final : public DescriptorPort {
 public:
  FdFramePort(sys::Fd fd, bool vnet_header, bool cuts_udp) noexcept
      : fd_(std::move(fd)), vnet_header_(vnet_header), cuts_udp_(vnet_header && cuts_udp) {}

  [[nodiscard]] int fd() const noexcept override { return fd_.get(); }
  [[nodiscard]] bool has_vnet_header() const noexcept override { return vnet_header_; }
  [[nodiscard]] bool cuts_udp() const noexcept override { return cuts_udp_; }
  [[nodiscard]] sys::IoResult read(FrameBuffer& into) noexcept override;
  [[nodiscard]] sys::IoResult write(std::span<iovec> parts) noexcept override;

 private:
  sys::Fd fd_;
  bool vnet_header_;
  bool cuts_udp_;
};

}  // namespace l4n::stack
