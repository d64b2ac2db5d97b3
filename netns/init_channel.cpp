#include "netns/init_channel.hpp"

#include <sys/socket.h>

#include <cerrno>

namespace l4n::netns::init_channel {

void send(int channel, const Message& message) noexcept {
  static_cast<void>(::send(channel, &message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT));
}

void send(int channel, Message::Kind kind, int number) noexcept {
  Message message;
  message.kind = kind;
  message.number = number;
  send(channel, message);
}

Received receive(int channel, Message& message, int flags) noexcept {
  ssize_t size = 0;
  do {
    size = ::recv(channel, &message, sizeof message, flags);
  } while (size < 0 && errno == EINTR);
  if (size < 0 && errno == EAGAIN) {
    return Received::nothing;
  }
  return size == static_cast<ssize_t>(sizeof message) ? Received::message : Received::closed;
}

}  // namespace l4n::netns::init_channel
