// One TCP connection as its end in the guest knows it, from the first SYN on, and what must be true of every
// segment that the gateway sends on it (RFC 9293).
#pragma once

#include <optional>
#include <set>

#include "fuzz/world/streams.hpp"
#include "tests/integration/support/wire.hpp"

namespace l4n::fuzz {

class HostEnds;

class GuestLife {
 public:
  // `number` names it in its stream.
  GuestLife(std::uint8_t number, const sys::Endpoint& local, const sys::Endpoint& remote, std::uint32_t isn,
            std::optional<std::uint8_t> window_scale);

  [[nodiscard]] std::uint8_t number() const noexcept { return number_; }
  [[nodiscard]] const sys::Endpoint& local() const noexcept { return local_; }
  [[nodiscard]] const sys::Endpoint& remote() const noexcept { return remote_; }
  [[nodiscard]] std::uint32_t isn() const noexcept { return isn_; }
  // The gateway's SYN or SYN-ACK has come.
  [[nodiscard]] bool answered() const noexcept { return answered_; }
  [[nodiscard]] std::optional<std::uint8_t> window_scale() const noexcept { return window_scale_; }
  [[nodiscard]] std::uint32_t irs() const noexcept { return irs_; }
  [[nodiscard]] std::uint32_t snd_una() const noexcept { return snd_una_; }
  [[nodiscard]] std::uint32_t rcv_nxt() const noexcept { return rcv_nxt_; }
  [[nodiscard]] bool was_reset() const noexcept { return reset_; }
  // The bytes of the stream that the host can have received at most, and those that it has to receive.
  [[nodiscard]] std::uint32_t sent() const noexcept { return sent_.contiguous(); }
  [[nodiscard]] std::uint32_t acknowledged() const noexcept;
  // The guest has acknowledged nothing that has not come, and left nothing out of what it has sent: by such a
  // guest the gateway can do what it has to.
  [[nodiscard]] bool is_orderly() const noexcept;
  // The bytes of the other direction that have come.
  [[nodiscard]] std::uint32_t received() const noexcept { return received_.contiguous(); }
  // The stream may end there: a FIN was sent, and nothing contradicts it. (A guest that sends data behind its
  // FIN gets what it asked for.)
  [[nodiscard]] bool may_end_at(std::size_t offset) const noexcept;
  [[nodiscard]] std::optional<std::size_t> host() const noexcept { return host_; }
  void set_host(std::size_t socket) noexcept { host_ = socket; }

  // Of a segment that goes to the gateway, whatever it is.
  void note_sent(const integration::TcpSegment& segment);
  // The SYN of a port forward's client.
  void on_syn(const integration::TcpSegment& syn);
  // True when it answers this life's SYN.
  [[nodiscard]] bool on_syn_ack(const integration::TcpSegment& segment);
  // Any other segment. Oracles: acknowledges only what was sent; never moves the window's right edge back;
  // carries the bytes that the host has written, and the FIN behind the last of them.
  void on_segment(const integration::TcpSegment& segment, HostEnds& hosts);
  void on_reset() noexcept { reset_ = true; }

 private:
  void learn(const integration::TcpSegment& syn);
  void check_acknowledgment(const integration::TcpSegment& segment) const;
  void check_window(const integration::TcpSegment& segment);
  void check_text(const integration::TcpSegment& segment, HostEnds& hosts);

  std::uint8_t number_;
  sys::Endpoint local_;
  sys::Endpoint remote_;
  std::uint32_t isn_;
  std::optional<std::uint8_t> window_scale_;
  SentRanges sent_;
  std::set<std::uint32_t> fins_;  // offsets
  std::uint32_t furthest_ = 0;    // the end of what was sent, a FIN included: an offset
  bool claimed_too_much_ = false;
  bool answered_ = false;
  bool reset_ = false;
  bool peer_finished_ = false;
  std::uint32_t irs_ = 0;
  std::uint32_t snd_una_;
  std::uint32_t rcv_nxt_ = 0;
  SentRanges received_;
  std::uint32_t right_edge_ = 0;
  std::uint8_t peer_scale_ = 0;
  std::optional<std::size_t> host_;
};

}  // namespace l4n::fuzz
