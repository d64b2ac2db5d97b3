#include "stack/socket_frame_port.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

namespace l4n::stack {
namespace {

// A peer that sends nothing but what is no frame must not keep us here.
constexpr int kMostPassedOver = 32;

// An empty message reads like the end of the stream.
bool peer_has_left(int fd) noexcept {
  pollfd p{fd, POLLRDHUP, 0};
  return ::poll(&p, 1, 0) > 0;
}

}  // namespace

sys::IoResult SocketFramePort::read(FrameBuffer& into) noexcept {
  into.size = 0;
  for (int i = 0; i < kMostPassedOver; ++i) {
    // MSG_TRUNC: the true length of a message that was cut.
    const ssize_t n = ::recv(fd_.get(), into.data.data(), into.data.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0 || (n == 0 && peer_has_left(fd_.get()))) {
      return sys::read_result(n);
    }
    if (n > 0 && static_cast<std::size_t>(n) <= into.data.size()) {
      into.size = static_cast<std::size_t>(n);
      return sys::IoResult::moved(into.size);
    }
  }
  return sys::IoResult::blocked();
}

sys::IoResult SocketFramePort::write(std::span<iovec> parts) noexcept {
  parts[0].iov_base = static_cast<std::byte*>(parts[0].iov_base) + VnetHeader::kSize;
  parts[0].iov_len -= VnetHeader::kSize;
  if (!waiting_.empty()) {
    return wait(parts);  // the order of frames is kept
  }
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  const sys::IoResult result = sys::write_result(::sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL));
  return result.status == sys::IoStatus::would_block ? wait(parts) : result;
}

sys::Result<void> SocketFramePort::start(sys::EventLoop& loop, sys::EventHandler& reader) {
  loop_ = &loop;
  reader_ = &reader;
  return loop.add(fd_.get(), EPOLLIN, *this);
}

void SocketFramePort::on_event(std::uint32_t events) noexcept {
  if ((events & EPOLLOUT) != 0 && send_waiting()) {
    want_writable(false);
  }
  if ((events & ~std::uint32_t{EPOLLOUT}) != 0) {
    reader_->on_event(events);
  }
}

bool SocketFramePort::send_waiting() noexcept {
  while (!waiting_.empty()) {
    const std::vector<std::byte>& frame = waiting_.front();
    if (::send(fd_.get(), frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EAGAIN) {
      return false;
    }
    waiting_bytes_ -= frame.size();  // sent, or impossible to send
    waiting_.pop_front();
  }
  return true;
}

sys::IoResult SocketFramePort::wait(std::span<const iovec> parts) {
  std::vector<std::byte> frame;
  for (const iovec& part : parts) {
    const auto* bytes = static_cast<const std::byte*>(part.iov_base);
    frame.insert(frame.end(), bytes, bytes + part.iov_len);
  }
  if (loop_ == nullptr || waiting_bytes_ + frame.size() > kMostWaiting) {
    return sys::IoResult::blocked();
  }
  const std::size_t size = frame.size();
  waiting_bytes_ += size;
  waiting_.push_back(std::move(frame));
  want_writable(true);
  return sys::IoResult::moved(size);
}

void SocketFramePort::want_writable(bool wanted) noexcept {
  if (wants_writable_ != wanted) {
    wants_writable_ = wanted;
    static_cast<void>(loop_->modify(fd_.get(), EPOLLIN | (wanted ? std::uint32_t{EPOLLOUT} : 0U)));
  }
}

}  // namespace l4n::stack
