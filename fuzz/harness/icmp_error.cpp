// ICMP errors on their way to the guest: entries of a socket's error queue as other code reads them, and what
// the guest hears about a packet of its own.
//
// Input: the entry; then how the packet is put together that it is about.
#include "nat/icmp_error.hpp"

#include <linux/errqueue.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/input.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/support/address.hpp"
#include "fuzz/support/capture_port.hpp"
#include "fuzz/support/fault.hpp"
#include "tests/integration/support/wire.hpp"

namespace l4n::fuzz {
namespace {

using integration::Data;
using integration::Packet;
using nat::HostError;
using sys::Bytes;
using sys::IpAddress;

constexpr stack::MacAddress kGuestMac{0x02, 0, 0, 0, 0, 0x64};

// --- entries of an error queue ---

// As recvmsg(2) leaves it: the entry, the offender's address behind it, and the address that it came to.
struct Entry {
  bool is_v4 = true;
  sock_extended_err error{};
  std::optional<IpAddress> offender;
  std::optional<IpAddress> local;
  bool cut_off = false;  // the control message holds less than an entry
};

Entry take_entry(Input& in) {
  constexpr std::array<std::uint8_t, 5> kOrigins{SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6, SO_EE_ORIGIN_LOCAL,
                                                 SO_EE_ORIGIN_NONE, SO_EE_ORIGIN_ZEROCOPY};
  constexpr std::array<std::uint32_t, 8> kErrors{ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EMSGSIZE,
                                                 EACCES,       ENOBUFS,      EPROTO,      0};
  Entry entry;
  const std::uint8_t flags = in.u8();
  entry.is_v4 = (flags & 1U) != 0;
  entry.cut_off = (flags & 0x1eU) == 0x1eU;
  entry.error.ee_origin = kOrigins.at(in.u8() % kOrigins.size());
  entry.error.ee_errno = kErrors.at(in.u8() % kErrors.size());
  entry.error.ee_type = in.u8();
  entry.error.ee_code = in.u8();
  entry.error.ee_info = in.u32();
  if ((flags & 0x20U) != 0) {
    entry.offender = take_ip(in, (flags & 0x40U) != 0 ? entry.is_v4 : !entry.is_v4);
  }
  if ((flags & 0x80U) != 0) {
    entry.local = take_ip(in, entry.is_v4);
  }
  return entry;
}

class ControlBuffer {
 public:
  explicit ControlBuffer(const Entry& entry) {
    if (entry.local) {
      add_local(*entry.local);
    }
    std::vector<std::byte> body(sizeof entry.error);
    std::memcpy(body.data(), &entry.error, sizeof entry.error);
    if (entry.cut_off) {
      body.resize(body.size() / 2);
    } else if (entry.offender) {
      const sys::SocketAddress address = sys::to_socket_address({*entry.offender, 0});
      const auto bytes = std::as_bytes(std::span(&address.storage, 1)).first(address.length);
      body.insert(body.end(), bytes.begin(), bytes.end());
    }
    add(entry.is_v4 ? IPPROTO_IP : IPPROTO_IPV6, entry.is_v4 ? IP_RECVERR : IPV6_RECVERR, body);
  }

  [[nodiscard]] msghdr message() {
    msghdr header{};
    header.msg_control = bytes_.data();
    header.msg_controllen = bytes_.size();
    return header;
  }

 private:
  void add_local(const IpAddress& address) {
    if (address.is_v4()) {
      in_pktinfo info{};
      info.ipi_addr.s_addr = htonl(address.v4().value);
      add(IPPROTO_IP, IP_PKTINFO, std::as_bytes(std::span(&info, 1)));
    } else {
      in6_pktinfo info{};
      std::memcpy(&info.ipi6_addr, address.v6().bytes.data(), sizeof info.ipi6_addr);
      add(IPPROTO_IPV6, IPV6_PKTINFO, std::as_bytes(std::span(&info, 1)));
    }
  }

  void add(int level, int type, Bytes body) {
    const std::size_t at = bytes_.size();
    bytes_.resize(at + CMSG_SPACE(body.size()));
    cmsghdr header{};
    header.cmsg_len = CMSG_LEN(body.size());
    header.cmsg_level = level;
    header.cmsg_type = type;
    std::memcpy(&bytes_[at], &header, sizeof header);
    std::copy(body.begin(), body.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(at + CMSG_LEN(0)));
  }

  std::vector<std::byte> bytes_;  // from operator new, which aligns for any header
};

// Fragmentation needed, packet too big: a field with the MTU of the next hop.
bool tells_mtu(const Entry& e) {
  if (e.error.ee_origin == SO_EE_ORIGIN_LOCAL) {
    return e.error.ee_errno == EMSGSIZE;
  }
  return e.error.ee_origin == SO_EE_ORIGIN_ICMP ? e.error.ee_type == 3 && e.error.ee_code == 4
                                                : e.error.ee_type == 2 && e.error.ee_code == 0;
}

// The host has sent it to itself.
bool is_own(const Entry& e) {
  return *e.offender == e.local ||
         (e.offender->is_v4() ? e.offender->v4().value >> 24U == 127 : *e.offender == *sys::parse_ip("::1"));
}

void check_told(const Entry& e, const HostError& error) {
  const bool local = e.error.ee_origin == SO_EE_ORIGIN_LOCAL;
  FUZZ_REQUIRE(error.error == static_cast<int>(e.error.ee_errno), "an entry with another errno");
  const auto mtu = static_cast<std::uint16_t>(std::min<std::uint32_t>(e.error.ee_info, 0xffff));
  FUZZ_REQUIRE(error.mtu == (tells_mtu(e) ? mtu : 0), "an entry that tells the MTU {}", error.mtu);
  const std::optional<IpAddress> offender = local || !e.offender || is_own(e) ? std::nullopt : e.offender;
  FUZZ_REQUIRE(error.offender == offender, "an entry from somebody else");
  if (!local) {
    FUZZ_REQUIRE(error.reason == (nat::IcmpReason{e.error.ee_type, e.error.ee_code}),
                 "an entry with another type or code");
  }
}

std::optional<HostError> check_entry(const Entry& entry) {
  ControlBuffer control(entry);
  auto error = nat::parse_host_error(control.message());
  if (fault("icmp_error: offender") && error) {
    error->offender = sys::make_ipv4(9, 9, 9, 9);
  }
  const std::uint8_t origin = entry.error.ee_origin;
  const bool known = !entry.cut_off && (origin == SO_EE_ORIGIN_ICMP || origin == SO_EE_ORIGIN_ICMP6 ||
                                        origin == SO_EE_ORIGIN_LOCAL);
  FUZZ_REQUIRE(error.has_value() == known, "an entry of origin {} is {}", origin,
               error ? "taken" : "passed over");
  if (error) {
    check_told(entry, *error);
  }
  return error;
}

// --- the guest's packet, and what it hears about it ---

struct Original {
  Data packet;  // from its IP header on
  IpAddress source;
  IpAddress destination;
  std::uint8_t protocol = 0;
};

Data cut(Data packet, std::size_t size) {
  packet.resize(std::min(packet.size(), size));
  return packet;
}

Original take_original(Input& in) {
  const std::uint8_t flags = in.u8();
  const bool is_v4 = (flags & 1U) != 0;
  Original o;
  o.source = take_ip(in, is_v4);
  o.destination = take_ip(in, is_v4);
  constexpr std::array<std::uint8_t, 4> kProtocols{17, 6, 1, 58};
  o.protocol = kProtocols.at(flags >> 1U & 3U);
  const std::size_t known = in.u16();
  const Bytes rest = in.rest();
  Data payload(rest.begin(), rest.end());
  payload.resize(std::max<std::size_t>(payload.size(), 8));  // the least that is quoted (RFC 792)
  o.packet = cut(integration::ip_packet(o.source, o.destination, o.protocol, payload),
                 std::max<std::size_t>(known, (is_v4 ? 20U : 40U) + 8));
  if ((flags & 0x18U) == 0x18U && is_v4) {  // not the first fragment
    sys::store_be16(&o.packet[6], 0x0001);
    sys::store_be16(&o.packet[10], 0);
    sys::store_be16(&o.packet[10],
                    static_cast<std::uint16_t>(~integration::ones_sum(Bytes(o.packet).first(20))));
  }
  return o;
}

// RFC 1122 3.2.2.
bool is_one_host(const IpAddress& a) {
  if (a.is_v4()) {
    const std::uint32_t first = a.v4().value >> 24U;
    return first != 0 && first != 127 && first < 224;
  }
  return a.v6().bytes[0] != 0xff && a != *sys::parse_ip("::");
}

bool is_group(const IpAddress& a) {
  return a.is_v4() ? a.v4().value >= 0xe0000000U : a.v6().bytes[0] == 0xff;
}

// RFC 1122 3.2.2, RFC 4443 2.4 e: whether the packet is an ICMP error itself, or a redirect.
bool is_error(const Original& o) {
  const bool is_v4 = o.source.is_v4();
  if (o.protocol != (is_v4 ? stack::kProtocolIcmp : stack::kProtocolIcmp6)) {
    return false;
  }
  const unsigned type = sys::load_u8(&o.packet[is_v4 ? 20 : 40]);
  return is_v4 ? type == 3 || type == 4 || type == 5 || type == 11 || type == 12 : type < 128 || type == 137;
}

// The message quotes the guest's own packet, as much as a message may hold.
void check_quote(const Original& o, const Packet& packet) {
  Data quoted = packet.icmp->quoted();
  if (fault("icmp_error: quote") && !quoted.empty()) {
    quoted[0] ^= std::byte{1};
  }
  FUZZ_REQUIRE(quoted.size() <= o.packet.size() && std::equal(quoted.begin(), quoted.end(), o.packet.begin()),
               "an ICMP error that quotes something else");
  const std::size_t most = o.source.is_v4() ? 576 : 1280;
  FUZZ_REQUIRE(packet.ip_size <= most, "an ICMP error of {} bytes", packet.ip_size);
  FUZZ_REQUIRE(quoted.size() == o.packet.size() || packet.ip_size + 8 > most,
               "an ICMP error that quotes less than it could");
}

void check_message(const Original& o, const HostError& error, const IpAddress& gateway,
                   const Packet& packet) {
  FUZZ_REQUIRE(packet.icmp, "something else than ICMP");
  const bool known = error.offender && error.offender->is_v4() == gateway.is_v4();
  FUZZ_REQUIRE(packet.source == (known ? *error.offender : gateway), "an ICMP error from {}",
               sys::to_string(packet.source));
  FUZZ_REQUIRE(packet.destination == o.source, "an ICMP error to {}", sys::to_string(packet.destination));
  FUZZ_REQUIRE(packet.icmp->type == error.reason->type && packet.icmp->code == error.reason->code,
               "an ICMP error of another type");
  FUZZ_REQUIRE(!is_group(o.destination), "an ICMP error about a packet to a group");
  FUZZ_REQUIRE(is_one_host(o.source), "an ICMP error about a packet from {}", sys::to_string(o.source));
  FUZZ_REQUIRE(!is_error(o), "an ICMP error about an ICMP error");
  FUZZ_REQUIRE(!o.source.is_v4() || (sys::load_be16(&o.packet[6]) & 0x1fffU) == 0,
               "an ICMP error about a fragment that is not the first");
  check_quote(o, packet);
}

void check_relayed(const Original& original, const HostError& error) {
  const IpAddress gateway = original.source.is_v4() ? *sys::parse_ip("10.0.2.2") : *sys::parse_ip("fd00::2");
  CapturePort port({.vnet = false, .mtu = 65521});
  stack::GuestLink link(port, 65521);
  const bool told = nat::send_host_error(link, kGuestMac, gateway, error, original.packet);
  const std::vector<Packet> packets = port.packets();
  FUZZ_REQUIRE(packets.size() <= (told ? 1U : 0U), "{} messages about one error", packets.size());
  for (const Packet& packet : packets) {
    check_message(original, error, gateway, packet);
  }
}

// What is put together again is what the guest has sent, as far as it is known.
void check_put_together(const Original& o, Bytes payload) {
  stack::IpHeader header;
  header.source = o.source;
  header.destination = o.destination;
  const auto packet = nat::guest_udp_packet(header, 4711, 53, payload);
  const auto parsed = integration::parse_frame({}, integration::ip_frame(packet));
  FUZZ_REQUIRE(parsed && parsed->udp, "a packet of the guest's that cannot be read");
  FUZZ_REQUIRE(parsed->source == o.source && parsed->destination == o.destination &&
                   parsed->udp->source_port == 4711 && parsed->udp->destination_port == 53 &&
                   std::equal(payload.begin(), payload.end(), parsed->udp->payload.begin(),
                              parsed->udp->payload.end()),
               "a packet of the guest's that is another");
}

void run(Bytes input) {
  Input in(input);
  const Entry entry = take_entry(in);
  const auto error = check_entry(entry);
  const Original original = take_original(in);
  if (error) {
    check_relayed(original, *error);
  }
  check_relayed(original,
                nat::local_error(static_cast<int>(entry.error.ee_errno), original.source.is_v4(), 1400));
  check_put_together(original, original.packet);
}

std::string print(Bytes input) {
  Input in(input);
  const Entry e = take_entry(in);
  const auto address = [](const std::optional<IpAddress>& a) { return a ? sys::to_string(*a) : "-"; };
  const Original o = take_original(in);
  return fmt::format(
      "origin {} errno {} type {} code {} info {} offender {} local {}\n{} -> {} protocol {}, {} bytes\n",
      e.error.ee_origin, e.error.ee_errno, e.error.ee_type, e.error.ee_code, e.error.ee_info,
      address(e.offender), address(e.local), sys::to_string(o.source), sys::to_string(o.destination),
      o.protocol, o.packet.size());
}

}  // namespace

const Harness kHarness{run, print, mutate_bytes};

}  // namespace l4n::fuzz
