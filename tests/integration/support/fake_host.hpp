// The host's sockets as a script: what a test does to a HostSocket here, the NAT sees as the kernel would
// have told it, at the beginning of the next turn.
//
// A HostSocket outlives the stream that the NAT holds, so that a test can look at what has become of it.
#pragma once

#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include "nat/host.hpp"
#include "tests/integration/support/fake_udp.hpp"
#include "tests/integration/support/wire.hpp"
#include "tests/support/fake_ping_host.hpp"

namespace l4n::integration {

class FakeHost;
class FakeStream;
class HostListeningSocket;

// One TCP connection of the host.
class HostSocket {
 public:
  static constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

  HostSocket(FakeHost& host, const nat::HostTarget& target) : host_(host), target_(target) {}

  // --- what the outside does ---
  void accept();           // the connect succeeds
  void refuse(int error);  // the connect fails
  void write(sys::Bytes data);
  void finish();          // FIN
  void reset(int error);  // RST: ECONNRESET as a rule; data before it can still be read
  // How many bytes the NAT may send from now on before it is blocked.
  void allow(std::size_t bytes);
  // The most bytes that one send or one receive moves.
  void limit_send(std::size_t bytes) noexcept { send_limit_ = bytes; }
  void limit_receive(std::size_t bytes) noexcept { receive_limit_ = bytes; }
  // Data that has arrived, of which the NAT will be told later.
  void write_unannounced(sys::Bytes data) { append(to_read_, data); }
  // A send finds the connection broken although no event has told so yet.
  void break_sends(int error) noexcept { send_error_ = error; }

  // --- what has come of it ---
  [[nodiscard]] const nat::HostTarget& target() const noexcept { return target_; }
  [[nodiscard]] const Data& received() const noexcept { return received_; }
  [[nodiscard]] std::size_t unread() const noexcept { return to_read_.size() - read_; }
  // The NAT has said that it sends no more.
  [[nodiscard]] bool shut_down() const noexcept { return finished_; }
  [[nodiscard]] bool connecting() const noexcept { return connect_ == Connect::pending; }
  // It is a client's of a listening socket.
  [[nodiscard]] bool is_client() const noexcept { return is_client_; }
  [[nodiscard]] bool got_fin() const noexcept { return finished_ || (closed_ && !reset_); }
  [[nodiscard]] bool got_reset() const noexcept { return closed_ && reset_; }
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  [[nodiscard]] std::size_t sends() const noexcept { return sends_; }

 private:
  friend class FakeHost;
  friend class HostListeningSocket;
  friend class FakeStream;
  friend class FakeListener;

  enum class Connect { pending, connected, failed };

  void changed();

  FakeHost& host_;
  nat::HostTarget target_;
  nat::HostObserver* observer_ = nullptr;
  FakeStream* stream_ = nullptr;  // null before the NAT has it and once it is gone
  Connect connect_ = Connect::pending;
  int connect_error_ = 0;
  bool is_client_ = false;
  bool event_ = false;      // to be told at the beginning of the next turn
  bool new_input_ = false;  // what the event says: IN,
  bool new_room_ = false;   // OUT,
  bool hung_up_ = false;    // RDHUP or HUP
  bool told_hung_up_ = false;

  Data to_read_;
  std::size_t read_ = 0;
  bool fin_ = false;
  int error_ = 0;  // SO_ERROR: told once, by whichever call comes first
  int send_error_ = 0;
  std::size_t room_ = kUnlimited;
  std::size_t send_limit_ = kUnlimited;
  std::size_t receive_limit_ = kUnlimited;

  Data received_;
  std::size_t sends_ = 0;
  bool finished_ = false;
  bool reset_ = false;
  bool closed_ = false;
};

// A listening socket of the host.
class HostListeningSocket {
 public:
  HostListeningSocket(FakeHost& host, const sys::Endpoint& address) : host_(host), address_(address) {}

  // A client connects. The socket is the listening host's end of the connection.
  HostSocket& connect_from(const sys::Endpoint& client);
  // The next accepts fail: no descriptors.
  void exhaust(int error) noexcept { accept_error_ = error; }

  [[nodiscard]] const sys::Endpoint& address() const noexcept { return address_; }
  [[nodiscard]] bool closed() const noexcept { return observer_ == nullptr; }
  [[nodiscard]] std::size_t waiting() const noexcept { return clients_.size(); }
  [[nodiscard]] std::size_t accepts() const noexcept { return accepts_; }

 private:
  friend class FakeHost;
  friend class FakeListener;

  FakeHost& host_;
  sys::Endpoint address_;
  nat::HostListenerObserver* observer_ = nullptr;
  std::deque<std::shared_ptr<HostSocket>> clients_;
  int accept_error_ = 0;
  bool listening_ = true;
  std::size_t accepts_ = 0;
};

// One UDP socket of the host, connected to a DNS server.
class HostDatagramSocket {
 public:
  HostDatagramSocket(FakeHost& host, const nat::HostTarget& target) : host_(host), target_(target) {}

  // A datagram from the server arrives.
  void answer(sys::Bytes datagram);
  // An ICMP error does.
  void fail(int error);

  [[nodiscard]] const nat::HostTarget& target() const noexcept { return target_; }
  [[nodiscard]] const std::vector<Data>& sent() const noexcept { return sent_; }
  [[nodiscard]] bool closed() const noexcept { return observer_ == nullptr; }

 private:
  friend class FakeHost;
  friend class FakeDatagram;

  FakeHost& host_;
  nat::HostTarget target_;
  nat::HostObserver* observer_ = nullptr;
  std::vector<Data> sent_;
  std::deque<Data> incoming_;
  int error_ = 0;
};

class FakeHost final : public nat::Host {
 public:
  // How a connect begins.
  struct Plan {
    enum class Kind {
      accept,    // connected on return
      wait,      // the test decides later
      refuse,    // fails in the next turn, with `error`
      no_socket  // fails on return, with `error`
    };
    Kind kind = Kind::accept;
    int error = 0;
  };

  FakeHost() = default;
  ~FakeHost() override = default;

  sys::Result<std::unique_ptr<nat::HostStream>> connect(const nat::HostTarget& target,
                                                        nat::HostObserver& observer) override;
  sys::Result<std::unique_ptr<nat::HostDatagram>> open_datagram(const nat::HostTarget& target,
                                                                nat::HostObserver& observer) override;
  sys::Result<std::unique_ptr<nat::HostUdp>> open_udp(bool is_v4, nat::HostUdpObserver& observer) override;
  sys::Result<BoundUdp> bind_udp(const sys::Endpoint& address, nat::HostUdpObserver& observer) override;
  sys::Result<std::unique_ptr<nat::HostPing>> open_ping(bool is_v4,
                                                        nat::HostPingObserver& observer) override {
    return ping.open_ping(is_v4, observer);
  }

  // The sockets that carry the guest's datagrams and pings.
  FakeUdpHost udp;
  test::FakePingHost ping;

  sys::Result<std::unique_ptr<nat::HostListener>> listen(const sys::Endpoint& address,
                                                         nat::HostListenerObserver& observer) override;

  // The errno value with which listening at a port fails.
  void refuse_port(std::uint16_t port, int error) { refused_ports_[port] = error; }
  // Decides about connects and datagram sockets; without it all are accepted.
  void plan_connects(Plan plan) {
    connect_plan_ = [plan](const nat::HostTarget&) { return plan; };
  }
  void plan_connects(std::function<Plan(const nat::HostTarget&)> plan) { connect_plan_ = std::move(plan); }
  // 0: the socket opens; else the errno value of the failure.
  void plan_datagrams(std::function<int(const nat::HostTarget&)> plan) { datagram_plan_ = std::move(plan); }

  // Tells the observers what has happened. True when there was anything.
  bool deliver_events();
  [[nodiscard]] bool has_events() const noexcept;

  // Lets everybody send and receive as much as they want.
  void release_all();

  // In the order of their creation.
  [[nodiscard]] std::size_t connects() const noexcept { return sockets_.size(); }
  [[nodiscard]] HostSocket& socket(std::size_t index) { return *sockets_.at(index); }
  [[nodiscard]] HostSocket& last() { return *sockets_.back(); }
  [[nodiscard]] std::size_t listeners() const noexcept { return listeners_.size(); }
  [[nodiscard]] HostListeningSocket& listener(std::size_t index) { return *listeners_.at(index); }
  [[nodiscard]] std::size_t datagram_sockets() const noexcept { return datagrams_.size(); }
  [[nodiscard]] HostDatagramSocket& datagram(std::size_t index) { return *datagrams_.at(index); }
  // Sockets that the NAT still holds.
  [[nodiscard]] std::size_t open_sockets() const;

 private:
  friend class HostSocket;
  friend class HostListeningSocket;
  friend class HostDatagramSocket;

  bool deliver_clients();

  std::vector<std::shared_ptr<HostSocket>> sockets_;
  std::vector<std::shared_ptr<HostListeningSocket>> listeners_;
  std::map<std::uint16_t, int> refused_ports_;
  std::vector<std::shared_ptr<HostDatagramSocket>> datagrams_;
  std::vector<HostSocket*> pending_;
  std::vector<HostDatagramSocket*> pending_datagrams_;
  std::function<Plan(const nat::HostTarget&)> connect_plan_;
  std::function<int(const nat::HostTarget&)> datagram_plan_;
};

}  // namespace l4n::integration
