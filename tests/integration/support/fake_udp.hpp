// The host's UDP sockets as a script: what they are told to send is kept, and a test says what arrives and
// what fails. Calls are answered as udp(7) and ip(7) (IP_RECVERR) describe; readiness is level-triggered.
//
// A HostUdpSocket outlives the socket that the NAT holds, so that a test can look at what has become of it.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "nat/host_udp.hpp"
#include "netns/sys/result.hpp"
#include "tests/integration/support/wire.hpp"

namespace l4n::integration {

class HostUdpSocket {
 public:
  explicit HostUdpSocket(bool is_v4) : is_v4_(is_v4) {}

  // One call.
  struct Sent {
    sys::Endpoint to;
    nat::UdpHeaderFields fields;
    Data payload;
    std::uint16_t segment_size = 0;

    [[nodiscard]] std::vector<Data> datagrams() const { return cut(payload, segment_size); }
  };

  // --- what the outside does ---
  // A datagram arrives; with `segment_size` several, joined by the kernel (UDP_GRO).
  void deliver(const sys::Endpoint& from, sys::Bytes payload, std::uint16_t segment_size = 0);
  // The address of the host's that the datagrams from now on were sent to.
  void set_local(const sys::IpAddress& local) noexcept { local_ = local; }
  // The interface on which the datagrams from now on arrive, where their source is link-local.
  void set_scope_id(std::uint32_t scope_id) noexcept { scope_id_ = scope_id; }
  // An ICMP error arrives about a datagram to `destination`, of which it quotes `payload`.
  void fail(const nat::HostError& error, const sys::Endpoint& destination, sys::Bytes payload = {});
  // The peer's machine says that nobody listens there. `offender`: nothing when that is the host itself.
  void refuse(const sys::Endpoint& destination, const std::optional<sys::IpAddress>& offender,
              sys::Bytes payload = {});

  // --- what the host does ---
  // The next `times` sends fail at once, with nothing in the error queue. EAGAIN: no room.
  void break_sends(int error, unsigned times);
  // Batches of longer segments fail with EMSGSIZE: they would have to be fragmented.
  void limit_segments(std::size_t bytes) noexcept { segment_limit_ = bytes; }
  // Datagrams with DF that make a longer IP packet fail with EMSGSIZE, and the error queue tells the MTU.
  void limit_mtu(std::uint16_t mtu) noexcept { mtu_ = mtu; }

  // --- what has come of it ---
  [[nodiscard]] const std::vector<Sent>& sent() const noexcept { return sent_; }
  // The datagrams of all calls.
  [[nodiscard]] std::vector<Data> datagrams() const;
  void forget_sent() noexcept { sent_.clear(); }
  // Calls of any outcome.
  [[nodiscard]] unsigned sends() const noexcept { return sends_; }
  [[nodiscard]] unsigned error_reads() const noexcept { return error_reads_; }
  [[nodiscard]] bool closed() const noexcept { return observer_ == nullptr; }
  [[nodiscard]] bool is_v4() const noexcept { return is_v4_; }

 private:
  friend class FakeUdp;
  friend class FakeUdpHost;

  struct Arrived {
    sys::Endpoint from;
    Data payload;
    std::uint16_t segment_size = 0;
    std::optional<sys::IpAddress> local;
    std::uint32_t scope_id = 0;
  };

  [[nodiscard]] bool has_error() const noexcept { return error_ != 0 || !failures_.empty(); }
  [[nodiscard]] bool has_event() const noexcept { return !closed() && (has_error() || !arrived_.empty()); }
  // An errno value; 0: the call goes through.
  [[nodiscard]] int send_error(const Sent& call);

  bool is_v4_;  // the family of all that passes
  nat::HostUdpObserver* observer_ = nullptr;
  std::deque<Arrived> arrived_;
  std::optional<sys::IpAddress> local_;
  std::uint32_t scope_id_ = 0;
  std::deque<nat::HostUdp::Failure> failures_;  // the error queue
  int error_ = 0;                               // SO_ERROR: told once, by whichever call comes first
  int broken_ = 0;
  unsigned broken_times_ = 0;
  std::size_t segment_limit_ = 0xffff;
  std::uint16_t mtu_ = 0xffff;

  std::vector<Sent> sent_;
  unsigned sends_ = 0;
  unsigned error_reads_ = 0;
};

class FakeUdpHost {
 public:
  // 0: sockets open; else the errno value with which they do not.
  int open_error = 0;
  // Called when one is opened: for what that takes.
  std::function<void()> on_open;

  sys::Result<std::unique_ptr<nat::HostUdp>> open(bool is_v4, nat::HostUdpObserver& observer);

  // Tells the observers what has happened. True when there was anything.
  bool deliver_events();
  [[nodiscard]] bool has_events() const;

  // In the order of their creation.
  [[nodiscard]] std::size_t opened() const noexcept { return sockets_.size(); }
  [[nodiscard]] HostUdpSocket& socket(std::size_t index) { return *sockets_.at(index); }
  [[nodiscard]] HostUdpSocket& last() { return *sockets_.back(); }
  // Those that the NAT still holds.
  [[nodiscard]] std::size_t open_count() const;

 private:
  std::vector<std::shared_ptr<HostUdpSocket>> sockets_;
};

}  // namespace l4n::integration
