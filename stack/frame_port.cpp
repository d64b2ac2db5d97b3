#include "stack/frame_port.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include "netns/sys/event_loop.hpp"

namespace l4n::stack {

sys::Result<void> DescriptorPort::start(sys::EventLoop& loop, sys::EventHandler& reader) {
  return loop.add(fd(), EPOLLIN, reader);
}

sys::IoResult FdFramePort::read(FrameBuffer& into) noexcept {
  const sys::IoResult result = sys::read_result(::read(fd_.get(), into.data.data(), into.data.size()));
  into.size = result.bytes;
  return result;
}

sys::IoResult FdFramePort::write(std::span<iovec> parts) noexcept {
  if (!vnet_header_) {
    parts[0].iov_base = static_cast<std::byte*>(parts[0].iov_base) + VnetHeader::kSize;
    parts[0].iov_len -= VnetHeader::kSize;
  }
  return sys::write_result(::writev(fd_.get(), parts.data(), static_cast<int>(parts.size())));
}

}  // namespace l4n::stack
