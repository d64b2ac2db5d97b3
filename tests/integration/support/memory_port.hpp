// The guest's interface in memory: two queues of frames, each of which can lose, repeat or delay frames.
//
// Every frame that the gateway sends is verified (find_fault); one that is not in order fails the test.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "stack/frame_port.hpp"
#include "tests/integration/support/fragments.hpp"
#include "tests/integration/support/wire.hpp"

namespace l4n::integration {

// What becomes of a frame on its way.
enum class Fate {
  pass,
  drop,
  twice,
  hold,  // behind the next frame of the same direction
};

using Fates = std::function<Fate(const Packet&)>;

class MemoryPort final : public stack::FramePort {
 public:
  MemoryPort(bool vnet, unsigned mtu, bool cuts_udp = false)
      : vnet_(vnet), mtu_(mtu), cuts_udp_(vnet && cuts_udp) {}

  // --- the gateway's side ---
  [[nodiscard]] bool has_vnet_header() const noexcept override { return vnet_; }
  [[nodiscard]] bool cuts_udp() const noexcept override { return cuts_udp_; }
  [[nodiscard]] sys::IoResult read(stack::FrameBuffer& into) noexcept override;
  [[nodiscard]] sys::IoResult write(std::span<iovec> parts) noexcept override;

  // --- the guest's side ---
  // A frame from its Ethernet header on. `vnet` is left out on a port without it.
  void inject(sys::Bytes frame, const stack::VnetHeader& vnet = {});
  // Exactly these bytes.
  void inject_raw(sys::Bytes bytes) { inbound_.emplace_back(bytes.begin(), bytes.end()); }
  // The next frame for the guest, or null. A packet that was sent in fragments comes whole.
  [[nodiscard]] std::unique_ptr<Packet> take();
  [[nodiscard]] bool readable() const noexcept { return !inbound_.empty() || ended_; }

  // --- the wire ---
  void set_fates_to_guest(Fates fates) { to_guest_ = std::move(fates); }
  void set_fates_to_gateway(Fates fates) { to_gateway_ = std::move(fates); }
  // From now on writes find no room: the frames are lost.
  void set_full(bool full) noexcept { full_ = full; }
  // The interface has gone; the next read tells it.
  void end() noexcept { ended_ = true; }

  // Every byte that the gateway sends from now on.
  void record() { recording_ = true; }
  [[nodiscard]] const Data& recorded() const noexcept { return recorded_; }
  [[nodiscard]] unsigned mtu() const noexcept { return mtu_; }
  // Packets for the guest of which a fragment is missing.
  [[nodiscard]] std::size_t incomplete() const noexcept { return collector_.incomplete(); }
  [[nodiscard]] std::uint64_t sent_frames() const noexcept { return sent_frames_; }
  [[nodiscard]] std::uint64_t injected_frames() const noexcept { return injected_frames_; }

 private:
  using Tuple = std::tuple<sys::IpAddress, std::uint16_t, sys::IpAddress, std::uint16_t>;

  void note_mss(const Packet& packet);
  [[nodiscard]] std::uint16_t mss_of(const Packet& packet) const;
  [[nodiscard]] std::optional<Packet> check(const stack::VnetHeader& vnet, sys::Bytes frame, unsigned mtu);
  [[nodiscard]] std::optional<Packet> collect(const Packet& fragment, sys::Bytes frame);
  void pass_to_guest(std::unique_ptr<Packet> packet);

  bool vnet_;
  unsigned mtu_;
  bool cuts_udp_;
  bool full_ = false;
  bool ended_ = false;
  bool recording_ = false;
  Data recorded_;
  std::uint64_t sent_frames_ = 0;
  std::uint64_t injected_frames_ = 0;
  FragmentCollector collector_;
  std::size_t pieces_ = 0;  // fragments of the packet that is being collected
  std::deque<Data> inbound_;
  std::deque<std::unique_ptr<Packet>> outbound_;
  std::optional<Data> held_inbound_;
  std::unique_ptr<Packet> held_outbound_;
  Fates to_guest_;
  Fates to_gateway_;
  // (guest, port, remote, port) -> the MSS of the guest's last SYN, as far as the MTU allows.
  std::map<Tuple, std::uint16_t> mss_;
};

}  // namespace l4n::integration
