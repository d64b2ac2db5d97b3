// GuestPeer: one end of a TCP connection inside the guest, small and independent of lwIP.
//
// Left alone it behaves: it acknowledges what it receives, sends within the window, repeats what is lost and
// probes a closed window, on the virtual clock. A test can take over any of it (Options, set_…) and can send
// any segment at all by raw(). It checks what it receives: data beyond its window, a window that moves back,
// a reset with a wrong sequence number or bytes that change when they are repeated fail the test.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "netns/sys/clock.hpp"
#include "tests/integration/support/wire.hpp"

namespace l4n::integration {

inline const sys::Ipv4Address kGuestAddress = sys::make_ipv4(10, 0, 2, 100);
inline const sys::Ipv4Address kGatewayAddress = sys::make_ipv4(10, 0, 2, 2);
inline const sys::Ipv4Address kDnsAddress = sys::make_ipv4(10, 0, 2, 3);
inline const sys::Endpoint kServer{sys::make_ipv4(192, 0, 2, 1), 80};

struct PeerOptions {
  sys::Endpoint local{kGuestAddress, 40000};
  sys::Endpoint remote = kServer;
  std::uint32_t isn = 0xfffff000;  // wraps early
  std::optional<std::uint16_t> mss = 1460;
  std::optional<std::uint8_t> window_scale = 7;
  std::uint32_t buffer = 1024 * 1024;  // bytes that may wait unread
  std::size_t largest_segment = 0;     // payload bytes of what is sent; 0: the MSS of both ends
  bool reads = true;                   // the application takes the data at once
  bool acknowledges = true;            // false: sends nothing by itself, neither ACKs nor repetitions
  bool checksum_offload = true;        // partial checksums, where the port allows them
};

class GuestPeer {
 public:
  enum class State { idle, listening, syn_received, syn_sent, established, reset };

  // A segment as it was received.
  struct Seen {
    sys::Time at;
    TcpSegment segment;
  };
  using Send = std::function<void(sys::Bytes frame, const stack::VnetHeader& vnet)>;

  GuestPeer(const sys::Clock& clock, Send send, bool vnet, const PeerOptions& options);
  GuestPeer(const GuestPeer&) = delete;
  GuestPeer& operator=(const GuestPeer&) = delete;

  // --- what the guest's application does ---
  void connect();
  void listen();  // for one connection, from options.remote
  void send(sys::Bytes data);
  void finish();  // FIN behind the data
  void reset();   // RST at once, with the number that the gateway expects next
  void vanish();  // falls silent
  void read(std::size_t bytes);
  void set_reads(bool reads);

  // --- what the guest's TCP does ---
  void set_acknowledges(bool on) noexcept { options_.acknowledges = on; }
  void set_largest_segment(std::size_t bytes) noexcept { options_.largest_segment = bytes; }
  // Announces this window, whatever the buffer says.
  void set_window(std::optional<std::uint32_t> window) noexcept { fixed_window_ = window; }
  void acknowledge();  // a bare ACK
  // A segment with the sequence numbers and window of now; change it and send it by raw().
  [[nodiscard]] TcpSegment make(std::uint8_t flags, sys::Bytes payload = {}) const;
  void raw(const TcpSegment& segment);
  // A segment of this peer that goes by another way.
  void note_sent(const TcpSegment& segment);

  // --- state ---
  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] bool established() const noexcept { return state_ == State::established; }
  [[nodiscard]] bool was_reset() const noexcept { return state_ == State::reset; }
  [[nodiscard]] const Data& received() const noexcept { return received_; }
  [[nodiscard]] bool got_fin() const noexcept { return fin_received_; }
  // All that was sent, the FIN included, has been acknowledged.
  [[nodiscard]] bool all_acknowledged() const noexcept { return snd_una_ == end_of_output(); }
  [[nodiscard]] bool fin_acknowledged() const noexcept { return fin_queued_ && all_acknowledged(); }
  [[nodiscard]] std::uint32_t snd_una() const noexcept { return snd_una_; }
  [[nodiscard]] std::uint32_t snd_nxt() const noexcept { return snd_nxt_; }
  [[nodiscard]] std::uint32_t rcv_nxt() const noexcept { return rcv_nxt_; }
  [[nodiscard]] std::uint32_t send_window() const noexcept { return snd_wnd_; }
  [[nodiscard]] std::uint32_t window() const noexcept;
  [[nodiscard]] std::uint32_t remote_isn() const noexcept { return irs_; }
  [[nodiscard]] const PeerOptions& options() const noexcept { return options_; }

  // The segments received since the last forget().
  [[nodiscard]] const std::vector<Seen>& seen() const noexcept { return seen_; }
  [[nodiscard]] const TcpSegment& last_seen() const { return seen_.back().segment; }
  void forget() noexcept { seen_.clear(); }
  // Keeps only the headers of what is received: for tests with much data.
  void keep_headers_only() noexcept { headers_only_ = true; }
  // Repetitions by this end, so far.
  [[nodiscard]] unsigned repetitions() const noexcept { return repetitions_; }

  // --- driven by World ---
  void on_segment(const TcpSegment& segment);
  [[nodiscard]] std::optional<sys::Time> deadline() const noexcept { return deadline_; }
  void on_time(sys::Time now);

 private:
  [[nodiscard]] std::uint32_t end_of_output() const noexcept;
  [[nodiscard]] std::size_t segment_limit() const noexcept;
  [[nodiscard]] std::uint8_t scale_of_ours() const noexcept;
  [[nodiscard]] Data output_at(std::uint32_t seq, std::size_t limit) const;
  void on_syn(const TcpSegment& segment);
  void on_syn_ack(const TcpSegment& segment);
  void learn_peer(const TcpSegment& syn);
  [[nodiscard]] TcpSegment make_syn(std::uint8_t flags) const;
  void on_reset(const TcpSegment& segment);
  void on_ack(const TcpSegment& segment);
  bool on_text(const TcpSegment& segment);
  void take(const TcpSegment& segment);
  void output();
  void send_from(std::uint32_t seq, std::size_t limit);
  void arm() noexcept;

  const sys::Clock& clock_;
  Send send_;
  PeerOptions options_;
  State state_ = State::idle;

  Data output_;  // all that was ever given to send()
  std::uint32_t snd_una_;
  std::uint32_t snd_nxt_;
  std::uint32_t snd_max_;  // the end of all that was ever sent
  std::uint32_t recover_;  // repeating until this is acknowledged
  std::uint32_t snd_wnd_ = 0;
  std::uint32_t right_edge_ = 0;

  std::uint32_t irs_ = 0;
  std::uint32_t rcv_nxt_ = 0;
  std::uint32_t announced_edge_ = 0;
  std::map<std::uint32_t, TcpSegment> out_of_order_;  // by distance from the ISN
  Data received_;
  std::size_t read_ = 0;
  std::optional<std::uint32_t> fixed_window_;

  std::vector<Seen> seen_;
  std::optional<sys::Time> deadline_;
  unsigned repetitions_ = 0;
  unsigned backoff_ = 0;
  std::uint16_t remote_mss_ = 536;
  std::uint8_t remote_scale_ = 0;
  bool vnet_;
  bool scaling_ = false;
  bool fin_queued_ = false;
  bool fin_received_ = false;
  bool headers_only_ = false;
};

}  // namespace l4n::integration
