// The seam to the host's UDP sockets that carry the guest's datagrams. One socket serves one endpoint of the
// guest and all its peers (RFC 4787: endpoint-independent mapping and filtering, "full cone").
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "nat/icmp_error.hpp"
#include "netns/sys/bytes.hpp"
#include "netns/sys/io.hpp"
#include "netns/sys/ip_address.hpp"

namespace l4n::nat {

// Header fields of what is sent. Kept by the socket from one send to the next.
struct UdpHeaderFields {
  std::uint8_t ttl = 64;
  std::uint8_t tos = 0;
  bool dont_fragment = false;
  // The local address to send from; unspecified is the system's choice. Not kept.
  sys::IpAddress source{};
  // The interface of a link-local IPv6 destination; 0: not known, or it is another. Not kept.
  std::uint32_t scope_id = 0;

  friend bool operator==(const UdpHeaderFields&, const UdpHeaderFields&) = default;
};

class HostUdpObserver {
 public:
  // There is something to receive; with `has_error` (EPOLLERR) there are failures to be read too. Told again
  // as long as it is so.
  virtual void on_udp_event(bool has_error) noexcept = 0;

 protected:
  ~HostUdpObserver() = default;
};

class HostUdp {
 public:
  struct Received {
    sys::IoStatus status = sys::IoStatus::would_block;
    std::size_t bytes = 0;           // 0 is an empty datagram when the status is `done`
    std::uint16_t segment_size = 0;  // not 0: several datagrams of this size, the last one may be shorter
    sys::Endpoint source;
    std::uint32_t scope_id = 0;           // the interface of a source that is link-local (IPv6), else 0
    std::optional<sys::IpAddress> local;  // the address of ours that it was sent to, where known
  };
  // An ICMP error about a datagram that was sent earlier.
  struct Failure {
    HostError error;
    sys::Endpoint destination;       // of that datagram
    std::vector<std::byte> payload;  // its beginning, as far as it is known
  };

  HostUdp() = default;
  HostUdp(const HostUdp&) = delete;
  HostUdp& operator=(const HostUdp&) = delete;
  virtual ~HostUdp() = default;

  // One datagram, or with `segment_size` several equal ones in one call (UDP_SEGMENT). A failure may be the
  // echo of an earlier error: drain failures and send once more.
  [[nodiscard]] virtual sys::IoResult send(const sys::Endpoint& to, const UdpHeaderFields& fields,
                                           std::span<iovec> parts, std::uint16_t segment_size) noexcept = 0;
  [[nodiscard]] virtual Received receive(sys::MutableBytes into) noexcept = 0;
  // Receives for nobody: without memory what arrives is lost, instead of waking us up again and again.
  void skip() noexcept {
    std::array<std::byte, 1> nowhere{};
    static_cast<void>(receive(nowhere));
  }
  // The next error, or nothing.
  [[nodiscard]] virtual std::optional<Failure> next_failure() noexcept = 0;
};

}  // namespace l4n::nat
