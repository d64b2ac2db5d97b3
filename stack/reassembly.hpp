// Reassembly of the guest's IPv4 fragments (RFC 791 3.2, RFC 815), bounded whatever the guest sends.
//
// Fragments are copied, each in the size that it has, and put together once the last hole is filled, so
// memory is what was received and no more. Beyond the bounds the oldest datagram makes room. Fragments that
// overlap end their datagram (RFC 5722 says so for IPv6, and the reasons are the same here: nobody sends them
// in good faith); an exact repetition is ignored. What ended so stays known until its time is up, lest the
// rest of its fragments begin a new one.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <vector>

#include "netns/sys/bytes.hpp"
#include "netns/sys/timers.hpp"
#include "stack/frame_buffer.hpp"
#include "stack/ingress.hpp"

namespace l4n::stack {

class Reassembly final : private sys::TimerHandler {
 public:
  static constexpr std::size_t kMostDatagrams = 64;
  static constexpr std::size_t kMostBytes = 1024 * 1024;
  // From the first fragment that arrives (RFC 1122 3.3.2 wants a fixed time).
  static constexpr sys::Duration kTimeout = std::chrono::seconds(30);

  struct Counters {
    std::uint64_t fragments = 0;    // all that came
    std::uint64_t reassembled = 0;  // datagrams
    std::uint64_t malformed = 0;    // fragments: empty, a length that is no multiple of 8, past 65,535 bytes,
                                    // a first one without its transport header
    std::uint64_t repeated = 0;     // fragments that were there already
    std::uint64_t conflicting = 0;  // datagrams whose fragments overlapped or disagreed about the end
    std::uint64_t timed_out = 0;    // datagrams
    std::uint64_t evicted = 0;      // datagrams that made room
    std::uint64_t no_memory = 0;    // complete datagrams for which there was no buffer
  };
  // A datagram has timed out of which the beginning had arrived: `packet` is its first fragment, for the
  // time exceeded message that RFC 1122 3.3.2 asks for.
  using TimeoutAction = std::function<void(const MacAddress& source_mac, sys::Bytes packet)>;

  // Both outlive the reassembly.
  Reassembly(FrameBufferPool& buffers, sys::TimerQueue& timers);
  Reassembly(const Reassembly&) = delete;
  Reassembly& operator=(const Reassembly&) = delete;
  ~Reassembly();

  void on_timeout(TimeoutAction action) { timeout_action_ = std::move(action); }

  // Takes one fragment (it is copied). Returns the whole packet once it is complete: a buffer that holds an
  // all-zero VnetHeader (whether the port has such headers or not), an Ethernet header and the packet, whose
  // IP header is that of the first fragment without its fragment fields. Null otherwise.
  [[nodiscard]] FrameBufferPtr add(const IpPacket& fragment);

  [[nodiscard]] std::size_t pending() const noexcept { return datagrams_.size(); }
  // What is held: the fragments' payload and what it takes to keep it.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  struct Key {
    sys::IpAddress source;
    sys::IpAddress destination;
    std::uint32_t id = 0;
    std::uint8_t protocol = 0;

    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Datagram {
    Key key;
    sys::Time deadline;
    std::map<std::size_t, std::vector<std::byte>> pieces;  // by payload offset; they do not overlap
    std::vector<std::byte> ip_header;                      // of the first fragment; empty until it is here
    MacAddress source_mac{};                               // its sender
    std::size_t received = 0;                              // payload bytes in `pieces`
    std::size_t cost = 0;                                  // what it counts in bytes_
    std::size_t end = 0;                                   // payload size; 0 until the last fragment is here
    bool refused = false;                                  // conflicting: nothing is kept or taken any more
  };
  enum class Placement { added, repeated, conflict };
  using Datagrams = std::list<Datagram>;

  [[nodiscard]] Datagrams::iterator find_or_open(const Key& key);
  [[nodiscard]] Placement place(Datagram& datagram, const IpPacket& fragment);
  [[nodiscard]] FrameBufferPtr finish(const Datagram& datagram);
  void make_room(std::size_t cost);
  void refuse(Datagram& datagram) noexcept;
  void forget(Datagrams::iterator datagram) noexcept;
  void on_timer() noexcept override;
  void arm();

  FrameBufferPool& buffers_;
  sys::TimerQueue& timers_;
  sys::Timer timer_;     // armed for the oldest datagram, while there is one
  Datagrams datagrams_;  // oldest first: few enough to be searched one by one
  std::size_t bytes_ = 0;
  TimeoutAction timeout_action_;
  Counters counters_;
};

}  // namespace l4n::stack
