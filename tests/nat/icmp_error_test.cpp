#include "nat/icmp_error.hpp"

#include <doctest/doctest.h>
#include <linux/errqueue.h>
#include <netinet/in.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "stack/checksum.hpp"
#include "tests/support/byte_string.hpp"
#include "tests/support/recording_port.hpp"

namespace l4n::nat {
namespace {

using stack::IpHeader;
using sys::Ipv4Address;
using sys::make_ipv4;
using test::ByteString;
using test::RecordingPort;

constexpr stack::MacAddress kGuestMac{0x02, 0, 0, 0, 0, 0x64};

const Ipv4Address kGuest = make_ipv4(10, 0, 2, 100);
const Ipv4Address kGateway = make_ipv4(10, 0, 2, 2);
const Ipv4Address kRemote = make_ipv4(192, 0, 2, 1);
const Ipv4Address kRouter = make_ipv4(203, 0, 113, 9);

sockaddr_in socket_address(Ipv4Address address) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_addr.s_addr = htonl(address.value);
  return out;
}

// Control messages as the kernel lays them out.
class Control {
 public:
  template <class T>
  Control& add(int level, int type, const T& value) {
    return add(level, type, &value, sizeof value);
  }
  Control& add(int level, int type, const void* data, std::size_t size) {
    cmsghdr header{};
    header.cmsg_level = level;
    header.cmsg_type = type;
    header.cmsg_len = CMSG_LEN(size);
    const std::size_t at = used_;
    used_ += CMSG_SPACE(size);
    REQUIRE(used_ <= bytes_.size());
    std::memcpy(&bytes_[at], &header, sizeof header);
    std::memcpy(&bytes_[at + CMSG_LEN(0)], data, size);
    return *this;
  }
  Control& add_error(const sock_extended_err& entry, std::optional<Ipv4Address> offender) {
    struct {
      sock_extended_err entry;
      sockaddr_in offender;
    } data{entry, offender ? socket_address(*offender) : sockaddr_in{}};
    return add(IPPROTO_IP, IP_RECVERR, data);
  }
  Control& add_error(const sock_extended_err& entry, const sys::Ipv6Address& offender) {
    struct {
      sock_extended_err entry;
      sockaddr_in6 offender;
    } data{entry, {}};
    data.offender.sin6_family = AF_INET6;
    std::memcpy(&data.offender.sin6_addr, offender.bytes.data(), offender.bytes.size());
    return add(IPPROTO_IPV6, IPV6_RECVERR, data);
  }
  Control& add_local_address(const sys::Ipv6Address& address) {
    in6_pktinfo info{};
    std::memcpy(&info.ipi6_addr, address.bytes.data(), address.bytes.size());
    return add(IPPROTO_IPV6, IPV6_PKTINFO, info);
  }
  Control& add_local_address(Ipv4Address address) {
    in_pktinfo info{};
    info.ipi_addr.s_addr = htonl(address.value);
    return add(IPPROTO_IP, IP_PKTINFO, info);
  }
  [[nodiscard]] std::optional<HostError> parse() {
    msghdr message{};
    message.msg_control = bytes_.data();
    message.msg_controllen = used_;
    return parse_host_error(message);
  }

 private:
  alignas(cmsghdr) std::array<std::byte, 512> bytes_{};
  std::size_t used_ = 0;
};

sock_extended_err icmp_entry(int error, std::uint8_t type, std::uint8_t code, std::uint32_t info = 0) {
  sock_extended_err entry{};
  entry.ee_errno = static_cast<std::uint32_t>(error);
  entry.ee_origin = SO_EE_ORIGIN_ICMP;
  entry.ee_type = type;
  entry.ee_code = code;
  entry.ee_info = info;
  return entry;
}

sock_extended_err icmp6_entry(int error, std::uint8_t type, std::uint8_t code, std::uint32_t info = 0) {
  sock_extended_err entry = icmp_entry(error, type, code, info);
  entry.ee_origin = SO_EE_ORIGIN_ICMP6;
  return entry;
}

TEST_CASE("icmp error: what errno values mean on the wire") {
  struct Row {
    int error;
    std::optional<IcmpReason> v4;  // RFC 792, RFC 1812 5.2.7.1
    std::optional<IcmpReason> v6;  // RFC 4443 3
  };
  const std::vector<Row> rows = {
      {ENETUNREACH, IcmpReason{3, 0}, IcmpReason{1, 0}},
      {ENETDOWN, IcmpReason{3, 0}, IcmpReason{1, 0}},
      {EHOSTUNREACH, IcmpReason{3, 1}, IcmpReason{1, 3}},
      {EHOSTDOWN, IcmpReason{3, 1}, IcmpReason{1, 3}},
      {ECONNREFUSED, IcmpReason{3, 3}, IcmpReason{1, 4}},
      {EMSGSIZE, IcmpReason{3, 4}, IcmpReason{2, 0}},
      {EACCES, IcmpReason{3, 13}, IcmpReason{1, 1}},
      {EPERM, IcmpReason{3, 13}, IcmpReason{1, 1}},
      {ENOBUFS, std::nullopt, std::nullopt},
      {EINVAL, std::nullopt, std::nullopt},
      {EMFILE, std::nullopt, std::nullopt},
      {0, std::nullopt, std::nullopt},
  };
  for (const Row& row : rows) {
    for (const bool is_v4 : {true, false}) {
      CAPTURE(row.error);
      CAPTURE(is_v4);
      const auto reason = is_v4 ? row.v4 : row.v6;
      CHECK(icmp_reason(row.error, is_v4) == reason);
      const HostError error = local_error(row.error, is_v4, 1400);
      CHECK(error.error == row.error);
      CHECK(error.reason == reason);
      CHECK(error.mtu == (row.error == EMSGSIZE ? 1400 : 0));
      CHECK_FALSE(error.offender.has_value());
    }
  }
}

TEST_CASE("icmp error: entries of the error queue") {
  SUBCASE("from a router") {
    Control control;
    control.add(SOL_SOCKET, SO_TIMESTAMP, std::array<long, 2>{});
    control.add_error(icmp_entry(EHOSTUNREACH, 11, 0), kRouter).add_local_address(make_ipv4(192, 0, 2, 77));
    const auto error = control.parse();
    REQUIRE(error.has_value());
    CHECK(error->error == EHOSTUNREACH);
    CHECK(error->reason == IcmpReason{11, 0});
    CHECK(error->mtu == 0);
    CHECK(error->offender == kRouter);
  }
  SUBCASE("fragmentation needed") {
    const auto error = Control().add_error(icmp_entry(EMSGSIZE, 3, 4, 1280), kRouter).parse();
    REQUIRE(error.has_value());
    CHECK(error->reason == IcmpReason{3, 4});
    CHECK(error->mtu == 1280);
    CHECK(error->offender == kRouter);
  }
  SUBCASE("parameter problem") {
    const auto error = Control().add_error(icmp_entry(EPROTO, 12, 0, 9), kRouter).parse();
    REQUIRE(error.has_value());
    CHECK(error->reason == IcmpReason{12, 0});
    CHECK(error->pointer == 9);
    CHECK(error->mtu == 0);
  }
  SUBCASE("an MTU that no 16 bits can hold") {
    const auto error = Control().add_error(icmp_entry(EMSGSIZE, 3, 4, 70000), kRouter).parse();
    REQUIRE(error.has_value());
    CHECK(error->mtu == 65535);
  }
  SUBCASE("the host itself, by its loopback address") {
    const auto error = Control().add_error(icmp_entry(ECONNREFUSED, 3, 3), make_ipv4(127, 0, 0, 1)).parse();
    REQUIRE(error.has_value());
    CHECK(error->reason == IcmpReason{3, 3});
    CHECK_FALSE(error->offender.has_value());
  }
  SUBCASE("the host itself, by the address that was told") {
    for (const bool info_first : {false, true}) {
      Control control;
      if (info_first) {
        control.add_local_address(kRouter);
      }
      control.add_error(icmp_entry(EHOSTUNREACH, 3, 1), kRouter);
      if (!info_first) {
        control.add_local_address(kRouter);
      }
      const auto error = control.parse();
      REQUIRE(error.has_value());
      CHECK_FALSE(error->offender.has_value());
    }
  }
  SUBCASE("a send's own") {
    sock_extended_err entry{};
    entry.ee_errno = EMSGSIZE;
    entry.ee_origin = SO_EE_ORIGIN_LOCAL;
    entry.ee_info = 1400;
    const auto error = Control().add_error(entry, std::nullopt).parse();
    REQUIRE(error.has_value());
    CHECK(error->reason == IcmpReason{3, 4});
    CHECK(error->mtu == 1400);
    CHECK_FALSE(error->offender.has_value());
  }
  SUBCASE("something else") {
    sock_extended_err entry{};
    entry.ee_origin = SO_EE_ORIGIN_ZEROCOPY;
    CHECK_FALSE(Control().add_error(entry, std::nullopt).parse().has_value());
    CHECK_FALSE(Control().parse().has_value());
    CHECK_FALSE(Control().add_local_address(kRouter).parse().has_value());
    CHECK_FALSE(Control().add(IPPROTO_IP, IP_RECVERR, 1).parse().has_value());
    CHECK_FALSE(Control().add(SOL_SOCKET, IP_RECVERR, icmp_entry(1, 3, 1)).parse().has_value());
  }
  SUBCASE("without an offender") {
    const auto error = Control().add(IPPROTO_IP, IP_RECVERR, icmp_entry(EHOSTUNREACH, 3, 1)).parse();
    REQUIRE(error.has_value());
    CHECK(error->reason == IcmpReason{3, 1});
    CHECK_FALSE(error->offender.has_value());
  }
}

TEST_CASE("icmp error: entries of the error queue of IPv6") {
  const sys::Ipv6Address router = *sys::parse_ipv6("2001:db8:9::9");
  const sys::Ipv6Address ours = *sys::parse_ipv6("2001:db8::77");
  SUBCASE("by what they say") {
    struct Row {
      int error = 0;
      IcmpReason reason;
      std::uint32_t info = 0;
      std::uint16_t mtu = 0;
      std::uint32_t pointer = 0;
    };
    for (const Row& row : {Row{ENETUNREACH, {1, 0}, 7, 0, 0}, Row{ECONNREFUSED, {1, 4}, 0, 0, 0},
                           Row{EHOSTUNREACH, {3, 0}, 7, 0, 0}, Row{EMSGSIZE, {2, 0}, 1280, 1280, 0},
                           Row{EMSGSIZE, {2, 0}, 70000, 65535, 0}, Row{EPROTO, {4, 1}, 300, 0, 300},
                           // In ICMP these would be "fragmentation needed" and "parameter problem".
                           Row{EHOSTUNREACH, {3, 4}, 1280, 0, 0}, Row{EPROTO, {12, 0}, 9, 0, 0}}) {
      CAPTURE(row.reason.type);
      CAPTURE(row.reason.code);
      const auto error =
          Control()
              .add_error(icmp6_entry(row.error, row.reason.type, row.reason.code, row.info), router)
              .add_local_address(ours)
              .parse();
      REQUIRE(error.has_value());
      CHECK(error->error == row.error);
      CHECK(error->reason == row.reason);
      CHECK(error->mtu == row.mtu);
      CHECK(error->pointer == row.pointer);
      CHECK(error->offender == router);
    }
  }
  SUBCASE("the host itself") {
    const sys::Ipv6Address loopback = *sys::parse_ipv6("::1");
    const auto by_loopback = Control().add_error(icmp6_entry(ECONNREFUSED, 1, 4), loopback).parse();
    REQUIRE(by_loopback.has_value());
    CHECK_FALSE(by_loopback->offender.has_value());
    const auto by_address =
        Control().add_local_address(ours).add_error(icmp6_entry(EHOSTUNREACH, 1, 3), ours).parse();
    REQUIRE(by_address.has_value());
    CHECK(by_address->reason == IcmpReason{1, 3});
    CHECK_FALSE(by_address->offender.has_value());
  }
  SUBCASE("a send's own") {
    sock_extended_err entry{};
    entry.ee_errno = EMSGSIZE;
    entry.ee_origin = SO_EE_ORIGIN_LOCAL;
    entry.ee_info = 1400;
    const auto error = Control().add(IPPROTO_IPV6, IPV6_RECVERR, entry).parse();
    REQUIRE(error.has_value());
    CHECK(error->reason == IcmpReason{2, 0});
    CHECK(error->mtu == 1400);
    CHECK_FALSE(error->offender.has_value());
  }
  SUBCASE("something else") {
    CHECK_FALSE(Control().add_local_address(ours).parse().has_value());
    CHECK_FALSE(Control().add(IPPROTO_IPV6, IPV6_RECVERR, 1).parse().has_value());
    // IP_RECVERR has the number of an IPv6 option that is something else, and the other way round.
    CHECK_FALSE(Control().add(IPPROTO_IPV6, IP_RECVERR, icmp6_entry(1, 1, 3)).parse().has_value());
    CHECK_FALSE(Control().add(IPPROTO_IP, IPV6_RECVERR, icmp_entry(1, 3, 1)).parse().has_value());
  }
}

TEST_CASE("icmp error: the guest's packet as it was") {
  IpHeader header;
  header.source = kGuest;
  header.destination = kRemote;
  header.protocol = stack::kProtocolIcmp;
  header.id = 0x1234;
  header.ttl = 5;
  header.tos = 0x20;
  header.dont_fragment = true;
  header.total_length = 1000;
  const ByteString transport = test::from_hex("0800abcd 00070001");
  const ByteString packet = guest_packet(header, transport);
  const auto ip = stack::decode_quoted_ipv4(packet);
  REQUIRE(ip.has_value());
  CHECK(ip->source == kGuest);
  CHECK(ip->destination == kRemote);
  CHECK(ip->id == 0x1234);
  CHECK(ip->ttl == 5);
  CHECK(ip->tos == 0x20);
  CHECK(ip->dont_fragment);
  CHECK(ip->total_length == 1000);
  CHECK(test::same_bytes(sys::Bytes(packet).subspan(20), transport));

  const ByteString udp = guest_udp_packet(header, 40000, 53, test::text_bytes("hello"));
  CHECK(udp.size() == 33);
  CHECK(stack::decode_ipv4(udp)->protocol == stack::kProtocolUdp);
  const auto datagram = stack::decode_udp(sys::Bytes(udp).subspan(20));
  REQUIRE(datagram.has_value());
  CHECK(datagram->source_port == 40000);
  CHECK(datagram->destination_port == 53);
  CHECK(datagram->length == 13);
  CHECK(test::same_bytes(sys::Bytes(udp).subspan(28), test::text_bytes("hello")));
}

TEST_CASE("icmp error: relayed from the offender, or from the gateway") {
  struct Row {
    std::string what;
    HostError error;
    Ipv4Address source;
    std::uint32_t word;  // behind the checksum
  };
  const std::vector<Row> rows = {
      {"router", {EHOSTUNREACH, IcmpReason{11, 0}, 0, kRouter}, kRouter, 0},
      {"path MTU", {EMSGSIZE, IcmpReason{3, 4}, 1400, kRouter}, kRouter, 1400},
      {"host itself", {ECONNREFUSED, IcmpReason{3, 3}, 0, std::nullopt}, kGateway, 0},
      {"parameter problem", {EPROTO, IcmpReason{12, 0}, 0, kRouter, 9}, kRouter, 0x09000000},
      {"own send", local_error(EMSGSIZE, true, 1300), kGateway, 1300},
  };
  IpHeader header;
  header.source = kGuest;
  header.destination = kRemote;
  const ByteString packet = guest_udp_packet(header, 1, 2, ByteString(1000));
  for (const Row& row : rows) {
    CAPTURE(row.what);
    RecordingPort port;
    stack::GuestLink link(port, 1500);
    CHECK(send_host_error(link, kGuestMac, kGateway, row.error, packet));
    REQUIRE(port.frames().size() == 1);
    const ByteString sent = port.packets()[0];
    const auto ip = stack::decode_ipv4(sent);
    REQUIRE(ip.has_value());
    CHECK(sent.size() == 576);  // RFC 1812 4.3.2.3
    CHECK(ip->source == row.source);
    CHECK(ip->destination == kGuest);
    const sys::Bytes message = sys::Bytes(sent).subspan(20);
    CHECK(stack::internet_checksum(message) == 0);
    CHECK(sys::load_u8(&message[0]) == row.error.reason->type);
    CHECK(sys::load_u8(&message[1]) == row.error.reason->code);
    CHECK(sys::load_be32(&message[4]) == row.word);
    CHECK(test::same_bytes(message.subspan(8), sys::Bytes(packet).first(576 - 28)));
  }
  RecordingPort port;
  stack::GuestLink link(port, 1500);
  CHECK_FALSE(send_host_error(link, kGuestMac, kGateway, local_error(ENOBUFS, true), packet));
  HostError quench{ECONNREFUSED, IcmpReason{4, 0}, 0, kRouter};
  CHECK_FALSE(send_host_error(link, kGuestMac, kGateway, quench, packet));
  HostError redirect{EHOSTUNREACH, IcmpReason{5, 1}, 0, kRouter};
  CHECK_FALSE(send_host_error(link, kGuestMac, kGateway, redirect, packet));
  CHECK(port.frames().empty());
}

TEST_CASE("icmp error: time exceeded comes from the gateway") {
  IpHeader header;
  for (const unsigned ttl : {0U, 1U, 2U, 255U}) {
    header.ttl = static_cast<std::uint8_t>(ttl);
    CHECK(ttl_expires(header) == (ttl < 2));
  }
  header.source = kGuest;
  header.destination = kRemote;
  header.ttl = 1;
  const ByteString packet = guest_udp_packet(header, 1, 33434, ByteString(12));
  RecordingPort port;
  stack::GuestLink link(port, 1500);
  send_time_exceeded(link, kGateway, {kGuestMac, *stack::decode_quoted_ip(packet), packet});
  REQUIRE(port.frames().size() == 1);
  const ByteString sent = port.packets()[0];
  CHECK(stack::decode_ipv4(sent)->source == kGateway);
  CHECK(sys::load_be16(&sent[20]) == 0x0b00);
  CHECK(test::same_bytes(sys::Bytes(sent).subspan(28), packet));
}

TEST_CASE("icmp error: what no error is ever sent about") {
  struct Row {
    std::string what;
    Ipv4Address source;
    Ipv4Address destination;
    std::uint8_t protocol;
    std::uint8_t first_byte;  // the ICMP type
    std::uint16_t offset;
    bool allowed;
  };
  const Ipv4Address broadcast = make_ipv4(255, 255, 255, 255);
  const std::vector<Row> rows = {
      {"UDP", kGuest, kRemote, 17, 0, 0, true},
      {"TCP", kGuest, kRemote, 6, 3, 0, true},
      {"echo request", kGuest, kRemote, 1, 8, 0, true},
      {"echo reply", kGuest, kRemote, 1, 0, 0, true},
      {"time stamp", kGuest, kRemote, 1, 13, 0, true},
      {"unreachable", kGuest, kRemote, 1, 3, 0, false},
      {"source quench", kGuest, kRemote, 1, 4, 0, false},
      {"redirect", kGuest, kRemote, 1, 5, 0, false},
      {"time exceeded", kGuest, kRemote, 1, 11, 0, false},
      {"parameter problem", kGuest, kRemote, 1, 12, 0, false},
      {"unknown ICMP type", kGuest, kRemote, 1, 200, 0, false},
      {"later fragment", kGuest, kRemote, 17, 0, 8, false},
      {"to everybody", kGuest, broadcast, 17, 0, 0, false},
      {"to a group", kGuest, make_ipv4(224, 0, 0, 251), 17, 0, 0, false},
      {"from nobody", make_ipv4(0, 0, 0, 0), kRemote, 17, 0, 0, false},
      {"from a loopback", make_ipv4(127, 0, 0, 1), kRemote, 17, 0, 0, false},
      {"from a group", make_ipv4(239, 1, 1, 1), kRemote, 17, 0, 0, false},
      {"from everybody", broadcast, kRemote, 17, 0, 0, false},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    IpHeader header;
    header.source = row.source;
    header.destination = row.destination;
    header.protocol = row.protocol;
    header.fragment_offset = row.offset;
    header.total_length = 28;
    ByteString transport(8);
    transport[0] = static_cast<std::byte>(row.first_byte);
    const ByteString packet = guest_packet(header, transport);
    CHECK(stack::may_send_icmp_error(packet) == row.allowed);
    RecordingPort port;
    stack::GuestLink link(port, 1500);
    link.send_icmp_error(kGuestMac, kGateway, 3, 1, packet);
    CHECK(port.frames().size() == (row.allowed ? 1 : 0));
  }
  CHECK_FALSE(stack::may_send_icmp_error({}));
  CHECK_FALSE(stack::may_send_icmp_error(ByteString(19)));
}

}  // namespace
}  // namespace l4n::nat
