// The guest's interface as the harnesses have it: frames go in as they are, and every frame that comes out is
// taken apart by a parser of its own (tests/integration/support/wire.hpp). One that is not in order is a
// violated oracle.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "stack/frame_port.hpp"
#include "tests/integration/support/fragments.hpp"
#include "tests/integration/support/wire.hpp"

namespace l4n::fuzz {

class WirePort final : public stack::FramePort {
 public:
  struct Options {
    bool vnet = true;
    bool cuts_udp = false;
    unsigned mtu = 1500;
  };

  explicit WirePort(const Options& options) noexcept : options_(options) {}
  ~WirePort() override;

  [[nodiscard]] bool has_vnet_header() const noexcept override { return options_.vnet; }
  [[nodiscard]] bool cuts_udp() const noexcept override { return options_.vnet && options_.cuts_udp; }
  [[nodiscard]] sys::IoResult read(stack::FrameBuffer& into) noexcept override;
  [[nodiscard]] sys::IoResult write(std::span<iovec> parts) noexcept override;

  // A frame from its Ethernet header on.
  void send(sys::Bytes frame, const stack::VnetHeader& vnet = {});
  // The same, its virtio header included where the port has one.
  void send_raw(sys::Bytes bytes) { inbound_.emplace_back(bytes.begin(), bytes.end()); }
  // The last frame that was sent, once more.
  void repeat_last();
  // What the gateway has sent since the last call; what it sent in fragments, whole.
  [[nodiscard]] std::vector<integration::Packet> take() { return std::exchange(outbound_, {}); }
  [[nodiscard]] bool readable() const noexcept { return !inbound_.empty() || ending_.has_value(); }
  // The next read tells that the port has ended; `error`: or has failed. Once, so that what is left can be
  // seen to go on.
  void end(int error) noexcept { ending_ = error; }
  // From now on writes find no room: the frames are lost.
  void set_full(bool full) noexcept { full_ = full; }
  [[nodiscard]] unsigned mtu() const noexcept { return options_.mtu; }
  [[nodiscard]] bool vnet() const noexcept { return options_.vnet; }
  [[nodiscard]] std::uint64_t frames_written() const noexcept { return frames_written_; }

 private:
  using Data = integration::Data;
  using Tuple = std::tuple<sys::IpAddress, std::uint16_t, sys::IpAddress, std::uint16_t>;

  void note_mss(const integration::Packet& packet);
  [[nodiscard]] std::uint16_t mss_of(const integration::Packet& packet) const;
  void check(const stack::VnetHeader& vnet, sys::Bytes frame);
  void collect(const integration::Packet& fragment, sys::Bytes frame);

  Options options_;
  bool full_ = false;
  bool frames_lost_ = false;
  std::uint64_t frames_written_ = 0;
  std::deque<Data> inbound_;
  std::optional<int> ending_;
  Data last_;
  std::vector<integration::Packet> outbound_;
  integration::FragmentCollector collector_;
  // (guest, port, remote, port) -> the MSS that the guest's SYNs on it have announced; 0 when they differ.
  std::map<Tuple, std::uint16_t> mss_;
};

}  // namespace l4n::fuzz
