#include "fuzz/support/capture_port.hpp"

#include "fuzz/engine/oracle.hpp"
#include "fuzz/engine/output_digest.hpp"
#include "fuzz/support/fault.hpp"

namespace l4n::fuzz {

sys::IoResult CapturePort::write(std::span<iovec> parts) noexcept {
  std::vector<std::byte> bytes;
  for (const iovec& part : parts) {
    const auto* data = static_cast<const std::byte*>(part.iov_base);
    bytes.insert(bytes.end(), data, data + part.iov_len);
  }
  if (fault("port: byte changed")) {
    bytes.back() ^= std::byte{1};
  }
  note_output(bytes);
  Frame frame{stack::VnetHeader::decode(bytes),
              {bytes.begin() + static_cast<std::ptrdiff_t>(stack::VnetHeader::kSize), bytes.end()}};
  const std::string wrong = integration::find_fault(frame.vnet, frame.bytes, rules_);
  FUZZ_REQUIRE(wrong.empty(), "a frame is sent that is not in order: {}", wrong);
  frames_.push_back(std::move(frame));
  return sys::IoResult::moved(bytes.size());
}

std::vector<integration::Packet> CapturePort::packets() const {
  std::vector<integration::Packet> packets;
  for (const Frame& frame : frames_) {
    packets.push_back(integration::parse_frame(frame.vnet, frame.bytes).value());
  }
  return packets;
}

}  // namespace l4n::fuzz
