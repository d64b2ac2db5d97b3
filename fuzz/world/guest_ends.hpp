// The guest's TCP ends: six that connect, and those that clients of port forwards have opened. They send what
// a program says, with numbers relative to what the gateway last sent; left to themselves they shake hands
// and acknowledge.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "fuzz/world/guest_life.hpp"
#include "fuzz/world/host_ends.hpp"
#include "fuzz/world/operations.hpp"
#include "fuzz/world/wire_port.hpp"

namespace l4n::fuzz {

class GuestEnds {
 public:
  GuestEnds(WirePort& port, HostEnds& hosts);

  // What `operation` says, when it is one of the guest's TCP.
  void perform(const Operation& operation);
  // A segment of the gateway's.
  void on_segment(const integration::Packet& packet);
  // Sends the acknowledgments that are due. True when there were any.
  bool acknowledge_due();
  // Every end acknowledges what it has received, by itself from here on, has room, and goes on where the
  // gateway expects it.
  void become_attentive();

  [[nodiscard]] std::deque<GuestLife>& lives() noexcept { return lives_; }

 private:
  struct End {
    sys::Endpoint local;
    sys::Endpoint remote;
    bool automatic = true;
    bool passive = false;
    bool due = false;  // something came that wants an acknowledgment
    std::uint16_t window = 0xffff;
    std::uint32_t next = 0;             // offset of the next byte of the stream
    std::optional<std::size_t> newest;  // lives
    std::optional<std::size_t> answered;
  };

  [[nodiscard]] End* find(const integration::Packet& packet);
  void on_forward_syn(const integration::Packet& packet, End* end);
  [[nodiscard]] bool answers_unanswered_syn(const End& end, const integration::TcpSegment& segment) const;
  void on_syn_ack(End& end, const integration::TcpSegment& segment);
  [[nodiscard]] GuestLife* current(const End& end);
  std::size_t begin_life(End& end, std::optional<std::uint8_t> window_scale);

  void send_syn(End& end, const Operation& operation, bool with_ack);
  void send_data(End& end, const Operation& operation);
  void send_any(End& end, const Operation& operation);
  void send_reset(End& end, const Operation& operation);
  void acknowledge(End& end, std::int32_t offset);
  [[nodiscard]] integration::TcpSegment make(const End& end, std::uint8_t flags) const;
  void send(const End& end, const integration::TcpSegment& segment);

  WirePort& port_;
  HostEnds& hosts_;
  std::vector<End> ends_;
  std::deque<GuestLife> lives_;
};

}  // namespace l4n::fuzz
