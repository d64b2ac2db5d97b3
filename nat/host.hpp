// The seam to the host: its stream and datagram sockets. The product uses the kernel's (host_sockets.hpp);
// tests and the fuzzer use a scripted host that refuses, blocks, resets or runs out of descriptors.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>

#include "nat/host_ping.hpp"
#include "nat/host_udp.hpp"
#include "netns/sys/bytes.hpp"
#include "netns/sys/io.hpp"
#include "netns/sys/ip_address.hpp"
#include "netns/sys/result.hpp"

namespace l4n::nat {

// Where a host socket goes. `scope_id` is the interface of a link-local IPv6 address, 0 otherwise.
// `ttl`: of the segments while connecting; 0 is the host's own default. A TCP traceroute sets it low and
// wants to hear who sent the packet back. `own`: a question of the host's own, to which --outbound-addr does
// not apply.
struct HostTarget {
  sys::Endpoint endpoint;
  std::uint32_t scope_id = 0;
  std::uint8_t ttl = 0;
  bool own = false;

  friend bool operator==(const HostTarget&, const HostTarget&) = default;
};

class HostObserver {
 public:
  // Something about the socket has changed: its phase, or that it can be read or written.
  virtual void on_host_event() noexcept = 0;

 protected:
  ~HostObserver() = default;
};

// One TCP connection to the outside. Readiness is remembered here, edge-triggered: `readable` and `writable`
// stay true until a call finds otherwise.
class HostStream {
 public:
  enum class Phase { connecting, connected, failed };

  HostStream() = default;
  HostStream(const HostStream&) = delete;
  HostStream& operator=(const HostStream&) = delete;
  // Closes; with a FIN unless reset() was called.
  virtual ~HostStream() = default;

  [[nodiscard]] Phase phase() const noexcept { return phase_; }
  // The errno value of a failed connect.
  [[nodiscard]] int connect_error() const noexcept { return connect_error_; }
  // The ICMP error that made it fail, where it is known in full (only asked for with HostTarget::ttl).
  [[nodiscard]] const std::optional<HostError>& connect_failure() const noexcept { return connect_failure_; }
  [[nodiscard]] bool readable() const noexcept { return readable_; }
  [[nodiscard]] bool writable() const noexcept { return writable_; }

  // As sendmsg(2) and recvmsg(2). Partial sends are ordinary. After a failed send readable() is true: what
  // arrived before the connection broke can still be received.
  [[nodiscard]] virtual sys::IoResult send(std::span<iovec> parts) noexcept = 0;
  [[nodiscard]] virtual sys::IoResult receive(std::span<iovec> parts) noexcept = 0;
  [[nodiscard]] sys::IoResult receive(sys::MutableBytes into) noexcept {
    iovec part{into.data(), into.size()};
    return receive({&part, 1});
  }
  // Who is told from now on, for a stream that came from a listener.
  virtual void observe(HostObserver& observer) noexcept = 0;
  // No more sends: FIN.
  virtual void finish() noexcept = 0;
  // The coming close sends a reset.
  virtual void reset() noexcept = 0;

 protected:
  Phase phase_ = Phase::connecting;
  int connect_error_ = 0;
  std::optional<HostError> connect_failure_;
  bool readable_ = false;
  bool writable_ = false;
};

// One UDP socket connected to one peer.
class HostDatagram {
 public:
  HostDatagram() = default;
  HostDatagram(const HostDatagram&) = delete;
  HostDatagram& operator=(const HostDatagram&) = delete;
  virtual ~HostDatagram() = default;

  // Who is told from now on.
  virtual void observe(HostObserver& observer) noexcept = 0;

  // A failure may be the ICMP error that an earlier datagram caused (ECONNREFUSED, EHOSTUNREACH).
  [[nodiscard]] virtual sys::IoResult send(sys::Bytes datagram) noexcept = 0;
  // One datagram; `end` means an empty one.
  [[nodiscard]] virtual sys::IoResult receive(sys::MutableBytes into) noexcept = 0;
};

class HostListenerObserver {
 public:
  // There may be clients to accept.
  virtual void on_clients() noexcept = 0;

 protected:
  ~HostListenerObserver() = default;
};

// A listening TCP socket. Tells of waiting clients again and again until they are accepted.
class HostListener {
 public:
  struct Client {
    std::unique_ptr<HostStream> stream;  // connected; observe() it before the turn ends
    sys::Endpoint address;
  };

  HostListener() = default;
  HostListener(const HostListener&) = delete;
  HostListener& operator=(const HostListener&) = delete;
  virtual ~HostListener() = default;

  // The next client; an error is EAGAIN (nobody waits), that of a client that has left already, or the lack
  // of descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM).
  virtual sys::Result<Client> accept() noexcept = 0;
  // Whether to tell of clients at all; at first, yes.
  virtual void set_listening(bool listening) noexcept = 0;
  // Where it listens, with the port that the system chose.
  [[nodiscard]] virtual sys::Endpoint address() const noexcept = 0;
};

class Host : public PingHost {
 public:
  // Starts to connect. An error that is known at once (no route, no descriptors) may come as the Result's
  // error or as phase `failed`; the code is an errno value either way. The observer outlives the stream.
  virtual sys::Result<std::unique_ptr<HostStream>> connect(const HostTarget& target,
                                                           HostObserver& observer) = 0;
  // Listens at a local address; port 0 lets the system choose one. The observer outlives the listener.
  virtual sys::Result<std::unique_ptr<HostListener>> listen(const sys::Endpoint& address,
                                                            HostListenerObserver& observer) = 0;
  virtual sys::Result<std::unique_ptr<HostDatagram>> open_datagram(const HostTarget& target,
                                                                   HostObserver& observer) = 0;
  // A socket for one endpoint of the guest and all its peers.
  virtual sys::Result<std::unique_ptr<HostUdp>> open_udp(bool is_v4, HostUdpObserver& observer) = 0;
  // One that is bound to a local address, for a port forward; port 0 lets the system choose one.
  struct BoundUdp {
    std::unique_ptr<HostUdp> socket;
    sys::Endpoint address;
  };
  virtual sys::Result<BoundUdp> bind_udp(const sys::Endpoint& address, HostUdpObserver& observer) = 0;
};

}  // namespace l4n::nat
