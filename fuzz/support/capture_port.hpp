// The guest's interface for harnesses of what is sent: every frame is verified and kept.
#pragma once

#include <vector>

#include "stack/frame_port.hpp"
#include "tests/integration/support/wire.hpp"

namespace l4n::fuzz {

struct Frame {
  stack::VnetHeader vnet;
  std::vector<std::byte> bytes;  // from the Ethernet header on
};

class CapturePort final : public stack::FramePort {
 public:
  // Oracle: nothing goes out that breaks these.
  explicit CapturePort(const integration::LinkRules& rules) noexcept : rules_(rules) {}

  [[nodiscard]] bool has_vnet_header() const noexcept override { return rules_.vnet; }
  [[nodiscard]] bool cuts_udp() const noexcept override { return rules_.cuts_udp; }
  [[nodiscard]] sys::IoResult read(stack::FrameBuffer& /*into*/) noexcept override {
    return sys::IoResult::blocked();
  }
  [[nodiscard]] sys::IoResult write(std::span<iovec> parts) noexcept override;

  [[nodiscard]] const std::vector<Frame>& frames() const noexcept { return frames_; }
  // Taken apart.
  [[nodiscard]] std::vector<integration::Packet> packets() const;

 private:
  integration::LinkRules rules_;
  std::vector<Frame> frames_;
};

}  // namespace l4n::fuzz
