// What the worker and the init process of `run` tell each other over their socketpair.
#pragma once

#include <array>
#include <cstdint>

namespace l4n::netns::init_channel {

// Both ends are the same program, so its memory is the format.
struct Message {
  enum class Kind : std::uint8_t {
    // from init
    prepared,
    failed,   // `number` is an errno value, `text` says what was tried
    stopped,  // `number` is a signal, here and in the next
    killed,
    // to init
    start,
    signal,           // to everyone's command
    terminal_signal,  // not to a command in our group
    resume,
    resume_in_foreground,
  };
  Kind kind = Kind::prepared;
  int number = 0;
  std::array<char, 256> text{};
};

// Never waits: a channel that is full or closed has nobody at its other end who could care.
void send(int channel, const Message& message) noexcept;
void send(int channel, Message::Kind kind, int number = 0) noexcept;

enum class Received { message, nothing, closed };

// `flags` as recv(2): MSG_DONTWAIT not to wait.
[[nodiscard]] Received receive(int channel, Message& message, int flags) noexcept;

}  // namespace l4n::netns::init_channel
