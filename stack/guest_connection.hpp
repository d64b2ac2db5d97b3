// GuestConnection: the guest's end of one TCP connection, as the relay sees it.
//
// Guest to host: the bytes that the guest sent wait here (peek, consume) until the host socket has taken
// them, and only then is the receive window opened again. Host to guest: the relay asks room(), reads that
// much from the host, and hands the buffer over (write); it comes back when the guest has acknowledged it.
// Nothing is copied either way, except small pieces, for which a copy is cheaper than a buffer, and what
// waits for a host that does not read. Both directions have an account with the MemoryBudget: when memory is
// short the receive window opens less, and room() is smaller, until some of what the connection holds is
// gone.
//
// States (RFC 9293 names; what lwIP calls CLOSE_WAIT, FIN_WAIT_… are all `established` here):
//
//     idle --open()-----> syn_received --third ACK--> established --> closed
//       \---connect()--> syn_sent ------SYN-ACK---------^             ^
//                            \-----------------------------------------/
//
// In `closed`, end() tells how it came to be. The observer is told after every change and decides nothing
// by itself: it looks at the state when its turn comes.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "netns/sys/bytes.hpp"
#include "netns/sys/rate_limit.hpp"
#include "stack/flow_key.hpp"
#include "stack/frame_buffer.hpp"
#include "stack/ingress.hpp"
#include "stack/mac_address.hpp"
#include "stack/memory_budget.hpp"
#include "stack/receive_queue.hpp"

struct tcp_pcb;
struct pbuf;

namespace l4n::stack {

class GuestTcp;

class ConnectionObserver {
 public:
  virtual void on_connection_change() noexcept = 0;

 protected:
  ~ConnectionObserver() = default;
};

class GuestConnection {
 public:
  enum class State { idle, syn_received, syn_sent, established, closed };
  enum class End {
    none,
    finished,  // both directions were closed and acknowledged
    reset,     // the guest sent a reset
    lost,      // the guest stopped answering
  };

  // The caps of the buffers per direction, in bytes: a flow starts with the first and grows to the second
  // while it is the bottleneck.
  static constexpr std::uint32_t kInitialCap = 256 * 1024;
  static constexpr std::uint32_t kLargestCap = 4 * 1024 * 1024;
  // Pieces up to this many bytes are copied toward the guest.
  static constexpr std::size_t kCopyLimit = 2048;

  GuestConnection(GuestTcp& tcp, ConnectionObserver& observer) noexcept;
  GuestConnection(const GuestConnection&) = delete;
  GuestConnection& operator=(const GuestConnection&) = delete;
  // Resets a connection that is still open.
  ~GuestConnection();

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] End end() const noexcept { return end_; }
  [[nodiscard]] const MacAddress& mac() const noexcept { return mac_; }

  // --- guest to host ---
  // The bytes that wait for the host.
  [[nodiscard]] std::size_t readable() const noexcept { return received_.bytes(); }
  // Fills `parts` with them in order; returns how many parts are used.
  [[nodiscard]] std::size_t peek(std::span<iovec> parts) const noexcept { return received_.peek(parts); }
  // The host has taken `n` of them.
  void consume(std::size_t n) noexcept;
  // The guest has sent its FIN; when readable() is 0, all that it sent has been consumed.
  [[nodiscard]] bool guest_finished() const noexcept { return guest_finished_; }
  // The host does not read: move small pieces out of the large buffers that they occupy.
  void compact() noexcept { received_.compact(); }

  // --- host to guest ---
  // How many bytes write() may carry now. 0 also when the guest's window is closed.
  [[nodiscard]] std::size_t room() const noexcept;
  // room() is 0 only because this direction holds all the memory that it may have.
  [[nodiscard]] bool short_of_memory() const noexcept;
  // The best size of one write: a whole number of the guest's segments, at most 64 KiB.
  [[nodiscard]] std::size_t write_size() const noexcept;
  // The guest's window is closed and nothing is on its way. lwIP sends window probes only when something is
  // queued, so one small write (at most this many bytes) is then allowed; 0 otherwise.
  [[nodiscard]] std::size_t probe_room() const noexcept;
  // Takes the first buffer->size bytes. Always succeeds: without memory the data waits and is tried again.
  void write(FrameBufferPtr buffer) noexcept;
  void write_copy(sys::Bytes data) noexcept;
  // Sends what was written. Call once after the writes of one turn.
  void flush() noexcept;
  // No more writes: FIN after what was written. Also flushes.
  void finish() noexcept;
  [[nodiscard]] bool finish_called() const noexcept { return finish_called_; }
  // Asks the guest whether it is still there (RFC 9293 3.8.4). If it is, the observer will be told.
  void keep_alive() noexcept;
  // Sends a reset and drops everything. The state is closed afterwards; the observer is not told.
  void reset() noexcept;

 private:
  friend class GuestTcp;
  friend struct LwipCallbacks;

  static constexpr std::size_t kNotTicking = static_cast<std::size_t>(-1);

  // A piece of the send queue, in the order of the data; `buffer` is null for what lwIP has copied.
  struct Sent {
    FrameBufferPtr buffer;
    std::size_t bytes = 0;
    std::size_t charged = 0;
  };
  // Data that lwIP had no memory for.
  struct Postponed {
    FrameBufferPtr buffer;
    bool copy = false;
  };

  void on_received(pbuf* p) noexcept { received_.push(p); }
  void on_acknowledged(std::size_t bytes) noexcept;
  void on_gone(End end) noexcept;
  void close_with(End end) noexcept;
  void release_buffers() noexcept;
  void return_window() noexcept;
  bool queue_write(FrameBufferPtr& buffer, bool copy) noexcept;
  void retry_postponed() noexcept;
  void acknowledged(Sent& head, std::size_t bytes) noexcept;
  [[nodiscard]] bool may_send() const noexcept;
  [[nodiscard]] std::size_t window_room() const noexcept;
  [[nodiscard]] bool is_worth_sending(std::size_t room) const noexcept;

  GuestTcp& tcp_;
  ConnectionObserver& observer_;
  tcp_pcb* pcb_ = nullptr;
  FlowKey key_;
  MacAddress mac_{};
  State state_ = State::idle;
  End end_ = End::none;
  bool guest_finished_ = false;
  bool finish_called_ = false;

  std::uint16_t mss_ = 0;  // the guest's, within the MTU: gso_size of super-segments
  std::uint32_t receive_cap_ = 0;
  std::uint32_t send_cap_ = kInitialCap;
  std::uint32_t window_credit_ = 0;  // consumed, but not yet given back to the guest

  // Challenge acknowledgments (RFC 5961 7).
  sys::RateLimit challenges_{10, std::chrono::seconds(5)};

  MemoryAccount receive_memory_;
  MemoryAccount send_memory_;
  ReceiveQueue received_;

  std::vector<Sent> sent_;
  std::size_t first_sent_ = 0;
  std::vector<Postponed> postponed_;

  std::size_t tick_index_ = kNotTicking;  // position in GuestTcp's list of those that need the timer
};

}  // namespace l4n::stack
