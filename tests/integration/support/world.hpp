// World: the real stack and NAT in one process, over a memory port, with a virtual clock and a scripted host.
//
//     World w;
//     GuestPeer& guest = w.connect();                     // a guest that is connected to 192.0.2.1:80
//     guest.send(data);
//     w.settle();                                         // until nothing moves
//     CHECK(w.host.last().received() == data);
//     w.advance(std::chrono::seconds(1));                 // time passes, timers run
//
// When a World ends, everything in it is ended, and it checks that nothing is left behind.
#pragma once

#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "nat/gateway.hpp"
#include "netns/sys/clock.hpp"
#include "netns/sys/log.hpp"
#include "tests/integration/support/fake_host.hpp"
#include "tests/integration/support/guest_peer.hpp"
#include "tests/integration/support/memory_port.hpp"

namespace l4n::integration {

struct WorldOptions {
  unsigned mtu = 1500;
  bool vnet = true;
  nat::PolicyConfig policy = {};
  nat::Limits limits = {};
  bool cuts_udp = false;  // the guest takes several datagrams in one frame
};

// How the guest sends a datagram.
struct UdpSender {
  sys::Endpoint local{kGuestAddress, 5000};
  IpFields ip = {};
};

// A datagram that has come to the guest.
struct GuestDatagram {
  sys::Endpoint source;
  sys::Endpoint destination;
  Data payload;
};

class World {
 public:
  explicit World(const WorldOptions& options = {});
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  // Ends what is left and checks that nothing stays behind.
  ~World();

  // A new end in the guest. It lives as long as the world.
  GuestPeer& peer(const PeerOptions& options = {});
  // One that has connected, with the host's consent.
  GuestPeer& connect(const PeerOptions& options = {});

  // A packet of the guest from its IP header on, with all checksums full.
  void inject_ip(sys::Bytes packet);
  // The same, in fragments where the MTU wants them.
  void inject_fragmented(sys::Bytes packet);
  // The guest sends a datagram. It is on its way: see settle().
  void send_udp(const sys::Endpoint& to, sys::Bytes payload, const UdpSender& sender = {});

  // One turn of the loop.
  void turn();
  // Turns until nothing moves. Time stands still.
  void settle();
  // Lets time pass, from one deadline to the next, and settles after each.
  void advance(sys::Duration duration);
  // Lets time pass until `done`, at most `limit`. True when it came to be.
  template <class Done>
  bool advance_until(sys::Duration limit, Done done) {
    settle();
    const sys::Time end = clock.now() + limit;
    while (!done() && clock.now() < end) {
      step_time(end);
    }
    return done();
  }

  // Ends the gateway, which resets what is connected.
  void stop_gateway();

  [[nodiscard]] std::size_t flows() const { return gateway->tcp().flows(); }
  [[nodiscard]] std::size_t buffers() const { return gateway->guest_tcp().buffers().in_use(); }
  // What the gateway sent that belongs to no peer: ARP, ICMP, UDP, stray TCP.
  std::vector<Packet> others;
  // The ICMP messages among them.
  [[nodiscard]] std::vector<Packet> icmp() const;
  // The UDP datagrams among them, as an application in the guest receives them.
  [[nodiscard]] std::vector<GuestDatagram> datagrams() const;

  sys::ManualClock clock;
  sys::TimerQueue timers{clock};
  sys::Graveyard graveyard;
  sys::Log log{-1, sys::LogLevel::error};
  MemoryPort port;
  FakeHost host;
  std::unique_ptr<nat::Gateway> gateway;

 private:
  using Tuple = std::tuple<std::uint16_t, sys::IpAddress, std::uint16_t>;

  bool deliver_to_guest();
  void step_time(sys::Time limit);
  [[nodiscard]] sys::Time next_deadline(sys::Time limit) const;

  std::vector<std::unique_ptr<GuestPeer>> peers_;
  std::map<Tuple, GuestPeer*> peer_of_;
  bool more_ = false;
};

}  // namespace l4n::integration
