// A port for tests of what is sent: keeps every frame, from its Ethernet header on.
#pragma once

#include <functional>
#include <vector>

#include "stack/frame_port.hpp"
#include "stack/packet.hpp"
#include "tests/support/byte_string.hpp"

namespace l4n::test {

class RecordingPort final : public stack::FramePort {
 public:
  [[nodiscard]] bool has_vnet_header() const noexcept override { return true; }
  [[nodiscard]] sys::IoResult read(stack::FrameBuffer& /*into*/) noexcept override {
    return sys::IoResult::blocked();
  }
  [[nodiscard]] sys::IoResult write(std::span<iovec> parts) noexcept override {
    ByteString bytes;
    for (const iovec& part : parts) {
      const sys::Bytes data(static_cast<const std::byte*>(part.iov_base), part.iov_len);
      bytes.insert(bytes.end(), data.begin(), data.end());
      if (std::less_equal<>()(watched_.data(), data.data()) && inside_watched(data)) {
        referred_ += data.size();
      }
    }
    frames_.emplace_back(bytes.begin() + stack::VnetHeader::kSize, bytes.end());
    return sys::IoResult::moved(bytes.size());
  }

  [[nodiscard]] const std::vector<ByteString>& frames() const noexcept { return frames_; }
  // The frames' IP packets.
  [[nodiscard]] std::vector<ByteString> packets() const {
    std::vector<ByteString> out;
    for (const ByteString& frame : frames_) {
      out.emplace_back(frame.begin() + stack::kEthernetHeaderSize, frame.end());
    }
    return out;
  }
  void clear() noexcept { frames_.clear(); }

  // From now on counts the bytes that are sent from within `memory`, that is without a copy.
  void watch(sys::Bytes memory) noexcept {
    watched_ = memory;
    referred_ = 0;
  }
  [[nodiscard]] std::size_t referred() const noexcept { return referred_; }

 private:
  [[nodiscard]] bool inside_watched(sys::Bytes data) const noexcept {
    return std::less_equal<>()(data.data() + data.size(), watched_.data() + watched_.size());
  }

  std::vector<ByteString> frames_;
  sys::Bytes watched_;
  std::size_t referred_ = 0;
};

}  // namespace l4n::test
