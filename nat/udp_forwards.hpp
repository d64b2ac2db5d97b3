// UDP port forwards. Every client of a forwarded port has a session, so that the guest's answers leave from
// the port, and from the very address, that the client sent to.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include "nat/host.hpp"
#include "nat/policy.hpp"
#include "nat/slab.hpp"
#include "netns/sys/member_handler.hpp"
#include "netns/sys/timers.hpp"
#include "stack/flow_table.hpp"
#include "stack/frame_buffer.hpp"
#include "stack/guest_link.hpp"
#include "stack/ingress.hpp"
#include "stack/neighbours.hpp"

namespace l4n::nat {

class UdpForwards {
 public:
  static constexpr sys::Duration kIdleTime = std::chrono::seconds(240);
  static constexpr std::size_t kMostSessions = 4096;  // then the one that was used longest ago makes room
  // Datagrams of one port that wait for the guest's MAC address.
  static constexpr std::size_t kMostWaiting = 16;
  // Bytes of the datagrams of all ports that do.
  static constexpr std::size_t kMostWaitingBytes = 1024 * 1024;

  struct Counters {
    std::uint64_t received = 0;  // datagrams to the guest
    std::uint64_t sent = 0;      // datagrams to clients
    std::uint64_t lost = 0;      // that nobody could take
    std::uint64_t evicted = 0;   // sessions that made room
  };

  // All outlive it.
  struct Environment {
    stack::GuestLink& link;
    stack::FrameBufferPool& buffers;
    stack::Neighbours& neighbours;
    Host& host;
    sys::TimerQueue& timers;
    const PolicyConfig& policy;
  };

  // A forwarded port; its sessions end with it.
  class Port;

  explicit UdpForwards(const Environment& environment);
  UdpForwards(const UdpForwards&) = delete;
  UdpForwards& operator=(const UdpForwards&) = delete;
  ~UdpForwards();

  // Opens a port on the host for an endpoint of the guest.
  sys::Result<std::unique_ptr<Port>> open(const sys::Endpoint& host, const sys::Endpoint& guest);

  // A datagram of the guest. False when it answers no client of a forward: then it is another's to deal with.
  [[nodiscard]] bool on_datagram(const stack::UdpDatagram& datagram) noexcept;

  [[nodiscard]] std::size_t sessions() const noexcept { return sessions_.size(); }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  struct Client {
    sys::Endpoint endpoint;
    std::uint32_t scope_id = 0;  // as HostUdp::Received has it: one link-local address per link

    friend bool operator==(const Client&, const Client&) = default;
  };

  struct Session {
    Handle handle;
    stack::FlowKey key;  // the guest's endpoint, and the client as the guest sees it
    Port* port = nullptr;
    Client client;
    sys::IpAddress local;  // the client's last datagram was sent to this address of ours
    sys::Time last_used{};
    std::list<Session*>::iterator place;
  };

  Session* session(Port& port, const Client& client);
  Session* begin(Port& port, const Client& client, const stack::FlowKey& key);
  void used(Session& session) noexcept;
  void end(Session& session) noexcept;
  void end_sessions_of(const Port& port) noexcept;
  void on_idle() noexcept;

  Environment environment_;
  stack::FlowTable table_;
  Slab<Session> sessions_;
  std::list<Session*> order_;  // least recently used first
  sys::MemberTimer<UdpForwards> idle_alarm_{*this, &UdpForwards::on_idle};
  sys::Timer idle_timer_;
  std::size_t waiting_bytes_ = 0;
  Counters counters_;
};

class UdpForwards::Port final : private HostUdpObserver, private stack::NeighbourWaiter {
 public:
  Port(UdpForwards& owner, const sys::Endpoint& guest) noexcept : owner_(owner), guest_(guest) {}
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port();

  [[nodiscard]] const sys::Endpoint& address() const noexcept { return address_; }

 private:
  friend class UdpForwards;

  struct Waiting {
    sys::Endpoint source;
    std::vector<std::byte> data;
    std::size_t segment_size = 0;
  };

  sys::Result<void> start(const sys::Endpoint& host);
  void on_udp_event(bool has_error) noexcept override;
  void on_neighbour(const std::optional<stack::MacAddress>& mac) noexcept override;
  void deliver(const HostUdp::Received& received, sys::Bytes data) noexcept;
  [[nodiscard]] bool may_wait(sys::Bytes data) const noexcept;
  [[nodiscard]] std::vector<Waiting> take_waiting() noexcept;
  void to_guest(const stack::MacAddress& mac, const sys::Endpoint& source, sys::Bytes data,
                std::size_t segment_size) noexcept;
  sys::IoStatus send_once(const sys::Endpoint& to, const UdpHeaderFields& fields, sys::Bytes data,
                          std::uint16_t batch) noexcept;
  bool send(const sys::Endpoint& to, const UdpHeaderFields& fields, sys::Bytes data,
            std::uint16_t segment_size) noexcept;

  UdpForwards& owner_;
  const sys::Endpoint guest_;
  sys::Endpoint address_;
  std::unique_ptr<HostUdp> socket_;
  std::vector<Waiting> waiting_;
};

}  // namespace l4n::nat
