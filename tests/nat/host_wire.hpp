// One interface of a host whose wire is in the test's hand: what the kernel's sockets send is read as IP
// packets, and IP packets arrive as from the network. In the calling process' network namespace, which is a
// new one. Needs root.
#pragma once

#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "netns/configure.hpp"
#include "netns/sys/fd.hpp"
#include "netns/tap.hpp"
#include "tests/netns/child_process.hpp"
#include "tests/support/byte_string.hpp"
#include "tests/support/packets.hpp"

namespace l4n::nat::testing {

using test::ByteString;

// IPv4 or IPv6, in all that the tests of both have in common.
struct WirePeers {
  bool is_v4 = true;
  sys::IpAddress host;    // the interface's address that the system sends from
  sys::IpAddress second;  // and another
  sys::IpAddress peer;    // on the link
  sys::IpAddress router;  // the same
  std::uint8_t icmp = 1;  // protocol number
};

inline WirePeers peers_of(bool is_v4) {
  if (is_v4) {
    return {true,
            sys::make_ipv4(192, 0, 2, 7),
            sys::make_ipv4(192, 0, 2, 8),
            sys::make_ipv4(192, 0, 2, 1),
            sys::make_ipv4(192, 0, 2, 254),
            1};
  }
  return {false,
          *sys::parse_ip("2001:db8::7"),
          *sys::parse_ip("2001:db8::8"),
          *sys::parse_ip("2001:db8::1"),
          *sys::parse_ip("2001:db8::fe"),
          58};
}

// Fields of an IP packet at their fixed places (RFC 791, RFC 8200). Without IPv4 options.
inline bool is_v4(const ByteString& packet) { return (sys::load_u8(packet.data()) >> 4U) == 4; }
inline std::size_t ip_size(const ByteString& packet) { return is_v4(packet) ? 20 : 40; }
inline std::uint8_t protocol_of(const ByteString& packet) {
  return sys::load_u8(&packet[is_v4(packet) ? 9 : 6]);
}
inline unsigned ttl_of(const ByteString& packet) { return sys::load_u8(&packet[is_v4(packet) ? 8 : 7]); }
inline unsigned tos_of(const ByteString& packet) {
  return is_v4(packet) ? sys::load_u8(&packet[1]) : (sys::load_be16(packet.data()) >> 4U) & 0xffU;
}
inline sys::IpAddress address_at(const ByteString& packet, std::size_t v4_at, std::size_t v6_at) {
  if (is_v4(packet)) {
    return sys::Ipv4Address{sys::load_be32(&packet[v4_at])};
  }
  sys::Ipv6Address v6;
  std::memcpy(v6.bytes.data(), &packet[v6_at], v6.bytes.size());
  return v6;
}
inline sys::IpAddress source_of(const ByteString& packet) { return address_at(packet, 12, 8); }
inline sys::IpAddress destination_of(const ByteString& packet) { return address_at(packet, 16, 24); }

class HostWire {
 public:
  // Empty, or what went wrong. `extra`: more addresses of the interface. `wider`: so many bits fewer has the
  // prefix of its network, and the routes like it less than another interface with the same network.
  std::string start(const std::string& name = "t0", const std::vector<netns::InterfaceAddress>& extra = {},
                    unsigned wider = 0) {
    auto tap = netns::open_tap(name);
    if (!tap) {
      return tap.error().message();
    }
    tap_ = *std::move(tap);
    index_ = ::if_nametoindex(name.c_str());
    netns::InterfaceConfig config;
    for (const bool is_v4 : {true, false}) {
      const WirePeers peers = peers_of(is_v4);
      // The system sends from the oldest IPv4 address and from the newest IPv6 address, other things equal.
      for (const sys::IpAddress& address :
           {is_v4 ? peers.host : peers.second, is_v4 ? peers.second : peers.host}) {
        config.addresses.push_back({address, (is_v4 ? 24U : 64U) - wider});
      }
    }
    config.addresses.insert(config.addresses.end(), extra.begin(), extra.end());
    if (!resolve_nothing(name)) {
      return "cannot switch address resolution off";
    }
    if (const auto configured = netns::configure_interface(name, config); !configured) {
      return configured.error().message();
    }
    for (const netns::InterfaceAddress& a : config.addresses) {
      if (!a.address.is_v4() && !receives(a.address.v6(), name)) {
        return "no local route to " + sys::to_string(a.address);
      }
    }
    return "";
  }

  [[nodiscard]] unsigned index() const noexcept { return index_; }

  // The next packet of this protocol (IPv6: next header) that the host sends, from its IP header on; with
  // `first`, one with this first byte behind the header.
  [[nodiscard]] std::optional<ByteString> next(std::uint8_t protocol,
                                               std::optional<std::byte> first = std::nullopt) const {
    for (;;) {
      pollfd ready{tap_.fd.get(), POLLIN, 0};
      ByteString frame(70000);
      if (::poll(&ready, 1, kPatience) <= 0) {
        return std::nullopt;
      }
      const ssize_t n = ::read(tap_.fd.get(), frame.data(), frame.size());
      if (n < static_cast<ssize_t>(headers() + 20)) {
        continue;
      }
      ByteString packet(frame.begin() + static_cast<std::ptrdiff_t>(headers()), frame.begin() + n);
      if (protocol_of(packet) == protocol && (!first || packet.at(ip_size(packet)) == first)) {
        return packet;
      }
    }
  }

  // A packet arrives.
  bool arrive(const ByteString& packet) const {
    std::array<std::uint8_t, 6> mac{};
    const sys::Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request = named(tap_.name);
    if (::ioctl(fd.get(), SIOCGIFHWADDR, &request) != 0) {
      return false;
    }
    std::memcpy(mac.data(), static_cast<const char*>(request.ifr_hwaddr.sa_data), mac.size());
    const ByteString ethernet =
        test::ethernet_frame(is_v4(packet) ? 0x0800 : 0x86dd, packet, stack::MacAddress(mac));
    const ByteString vnet(tap_.vnet_hdr ? netns::kVnetHeaderSize : 0);
    const ByteString frame = test::concat({vnet, ethernet});
    return ::write(tap_.fd.get(), frame.data(), frame.size()) == static_cast<ssize_t>(frame.size());
  }

  // An IP packet from somebody on the link.
  bool arrive(const sys::IpAddress& source, const sys::IpAddress& destination, std::uint8_t protocol,
              sys::Bytes payload) const {
    return arrive(packet_of(source, destination, protocol, payload));
  }

  // The answer to an echo request that the host has sent, with a TTL and TOS of its own.
  bool arrive_echo_reply(const ByteString& request, std::uint8_t ttl, std::uint8_t tos) const {
    const bool v4 = is_v4(request);
    const sys::IpAddress from = destination_of(request);
    const sys::IpAddress to = source_of(request);
    ByteString message(request.begin() + static_cast<std::ptrdiff_t>(ip_size(request)), request.end());
    message[0] = std::byte{v4 ? std::uint8_t{0} : std::uint8_t{129}};
    complete(message, from, to);
    ByteString packet = packet_of(from, to, v4 ? 1 : 58, message);
    packet[v4 ? 8 : 7] = std::byte{ttl};
    if (v4) {
      packet[1] = std::byte{tos};
      sys::store_be16(&packet[10], 0);
      sys::store_be16(&packet[10], test::plain_checksum(std::span(packet).first(20)));
    } else {
      sys::store_be16(packet.data(), static_cast<std::uint16_t>(0x6000U | unsigned{tos} << 4U));
    }
    return arrive(packet);
  }

  // An ICMP or ICMPv6 error from `offender` about a packet that the host has sent. `word`: the second one.
  bool arrive_error(const sys::IpAddress& offender, std::uint8_t type, std::uint8_t code, std::uint32_t word,
                    const ByteString& about) const {
    ByteString message = test::concat({test::byte_string({type, code, 0, 0}), test::be32(word), about});
    const sys::IpAddress to = source_of(about);
    complete(message, offender, to);
    return arrive(offender, to, offender.is_v4() ? 1 : 58, message);
  }

 private:
  static constexpr int kPatience = 5000;  // ms

  [[nodiscard]] std::size_t headers() const noexcept {
    return (tap_.vnet_hdr ? netns::kVnetHeaderSize : 0) + 14;
  }

  static ifreq named(const std::string& name) {
    ifreq request{};
    std::memcpy(static_cast<char*>(request.ifr_name), name.c_str(), name.size() + 1);
    return request;
  }

  // Waits for an address to be reachable: its local route comes a little later, by the kernel's work queue.
  static bool receives(const sys::Ipv6Address& address, const std::string& name) {
    std::string route;
    for (const std::uint8_t byte : address.bytes) {
      route += "0123456789abcdef"[byte >> 4U];
      route += "0123456789abcdef"[byte & 0xfU];
    }
    route += " 80 ";  // the prefix length, 128
    for (int i = 0; i < kPatience; ++i) {
      const sys::Fd file(::open("/proc/self/net/ipv6_route", O_RDONLY | O_CLOEXEC));
      std::istringstream lines(netns::testing::read_all(file.get()));
      for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(route) && line.ends_with(" " + name)) {
          return true;
        }
      }
      ::usleep(1000);
    }
    return false;
  }

  // The wire answers no ARP or neighbour solicitation.
  static bool resolve_nothing(const std::string& name) {
    const sys::Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request = named(name);
    request.ifr_flags = IFF_NOARP;
    return ::ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0;
  }

  static ByteString packet_of(const sys::IpAddress& source, const sys::IpAddress& destination,
                              std::uint8_t protocol, sys::Bytes payload) {
    return source.is_v4() ? test::ipv4_packet({source.v4(), destination.v4(), protocol}, payload)
                          : ipv6_packet(source.v6(), destination.v6(), protocol, payload);
  }

  // Writes the checksum of an ICMP or ICMPv6 message.
  static void complete(ByteString& message, const sys::IpAddress& source, const sys::IpAddress& destination) {
    sys::store_be16(&message[2], 0);
    sys::store_be16(&message[2], source.is_v4()
                                     ? test::plain_checksum(message)
                                     : test::plain_transport_checksum(source, destination, 58, message));
  }

  static ByteString ipv6_packet(const sys::Ipv6Address& source, const sys::Ipv6Address& destination,
                                std::uint8_t protocol, sys::Bytes payload) {
    return test::concat({test::byte_string({0x60, 0, 0, 0}),
                         test::be16(static_cast<unsigned>(payload.size())), test::byte_string({protocol, 64}),
                         std::as_bytes(std::span(source.bytes)), std::as_bytes(std::span(destination.bytes)),
                         payload});
  }

  netns::Tap tap_;
  unsigned index_ = 0;
};

}  // namespace l4n::nat::testing
