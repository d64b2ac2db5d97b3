// The kernel's sockets, in network namespaces that the tests make. Needs root.
#include "nat/host_ping.hpp"

#include <doctest/doctest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "netns/sys/clock.hpp"
#include "netns/sys/fd.hpp"
#include "stack/checksum.hpp"
#include "stack/packet.hpp"
#include "tests/nat/host_wire.hpp"
#include "tests/netns/child_process.hpp"
#include "tests/support/byte_string.hpp"

namespace l4n::nat {
namespace {

using netns::testing::run_in_new_netns;
using netns::testing::write_file;
using test::ByteString;

sys::IpAddress loopback(bool is_v4) { return *sys::parse_ip(is_v4 ? "127.0.0.1" : "::1"); }

class Recorder final : public HostPingObserver {
 public:
  void on_echo_reply(const EchoReply& reply) noexcept override {
    replies.emplace_back(reply, ByteString(reply.message.begin(), reply.message.end()));
  }
  void on_echo_failure(const EchoFailure& failure) noexcept override {
    failures.emplace_back(failure, ByteString(failure.request.begin(), failure.request.end()));
  }

  std::vector<std::pair<EchoReply, ByteString>> replies;
  std::vector<std::pair<EchoFailure, ByteString>> failures;
};

// The loopback interface, which is down and large in a new namespace.
bool set_loopback(int mtu) {
  const sys::Fd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::memcpy(static_cast<char*>(request.ifr_name), "lo", 3);
  request.ifr_mtu = mtu;
  if (::ioctl(fd.get(), SIOCSIFMTU, &request) != 0) {
    return false;
  }
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ::ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0;
}

bool allow_ping_sockets(bool allow) {
  return write_file("/proc/sys/net/ipv4/ping_group_range", allow ? "0 0" : "1 0");
}

// An ICMPv6 one has no checksum: it would be over addresses that only the kernel knows.
ByteString echo_request(bool is_v4, std::uint16_t id, std::uint16_t sequence, std::size_t payload) {
  ByteString message(stack::kIcmpHeaderSize + payload);
  for (std::size_t i = 0; i < message.size(); ++i) {
    message[i] = static_cast<std::byte>(i * 7);
  }
  message[0] = std::byte{is_v4 ? stack::IcmpType::kEchoRequest : stack::Icmp6Type::kEchoRequest};
  message[1] = std::byte{0};
  sys::store_be16(&message[2], 0);
  sys::store_be16(&message[4], id);
  sys::store_be16(&message[6], sequence);
  if (is_v4) {
    sys::store_be16(&message[2], stack::internet_checksum(message));
  }
  return message;
}

EchoRequest to(const sys::IpAddress& destination, sys::Bytes message) {
  EchoRequest request;
  request.destination = destination;
  request.ttl = 64;
  request.message = message;
  return request;
}

struct Setup {
  sys::SystemClock clock;
  std::unique_ptr<sys::EventLoop> loop = *sys::EventLoop::create(clock);
  Outbound outbound;
  HostPingSockets host{*loop, outbound};

  [[nodiscard]] OutboundFamily& outbound_of(bool is_v4) { return is_v4 ? outbound.v4 : outbound.v6; }

  // Until there are as many replies and failures, or nothing comes any more.
  void run(const Recorder& recorder, std::size_t answers) const {
    for (int i = 0; i < 40 && recorder.replies.size() + recorder.failures.size() < answers; ++i) {
      static_cast<void>(loop->turn(std::chrono::milliseconds(50)));
    }
  }
};

std::string check_reply(const Recorder& recorder, std::size_t index, const ByteString& request) {
  if (recorder.replies.size() <= index) {
    return "no reply";
  }
  const auto& [reply, message] = recorder.replies[index];
  const bool is_v4 = reply.source.is_v4();
  if (reply.source != loopback(is_v4) || reply.ttl != 64) {
    return "wrong source or TTL";
  }
  const bool valid =
      is_v4 ? message[0] == std::byte{stack::IcmpType::kEchoReply} && stack::internet_checksum(message) == 0
            : message[0] == std::byte{stack::Icmp6Type::kEchoReply};
  if (message.size() != request.size() || !valid) {
    return "malformed reply";
  }
  const bool same = stack::echo_sequence(message) == stack::echo_sequence(request) &&
                    std::equal(message.begin() + 8, message.end(), request.begin() + 8);
  return same ? "" : "other sequence number or payload";
}

// Small and large echoes of two HostPings at a time: each hears its own answers only.
std::string exchange(Setup& setup, bool is_v4) {
  Recorder first;
  Recorder second;
  auto a = setup.host.open_ping(is_v4, first);
  auto b = setup.host.open_ping(is_v4, second);
  if (!a || !b) {
    return "cannot open: " + (a ? b : a).error().message();
  }
  const ByteString small = echo_request(is_v4, 0x7777, 3, 0);
  const ByteString large = echo_request(is_v4, 0x7777, 4, 65507);
  const ByteString other = echo_request(is_v4, 0x7777, 5, 1000);
  if ((*a)->send(to(loopback(is_v4), small)) || (*a)->send(to(loopback(is_v4), large)) ||
      (*b)->send(to(loopback(is_v4), other))) {
    return "send failed";
  }
  setup.run(first, 2);
  setup.run(second, 1);
  for (const std::string& fault :
       {check_reply(first, 0, small), check_reply(first, 1, large), check_reply(second, 0, other)}) {
    if (!fault.empty()) {
      return fault;
    }
  }
  return first.replies.size() == 2 && second.replies.size() == 1 ? "" : "somebody else's reply";
}

// Errors that the kernel knows by itself.
std::string errors(Setup& setup, bool is_v4) {
  Recorder recorder;
  auto ping = setup.host.open_ping(is_v4, recorder);
  if (!ping) {
    return ping.error().message();
  }
  const ByteString message = echo_request(is_v4, 1, 1, is_v4 ? 1472 : 1452);
  auto error = (*ping)->send(to(*sys::parse_ip(is_v4 ? "192.0.2.1" : "2001:db8::1"), message));
  if (!error || error->reason != icmp_reason(ENETUNREACH, is_v4) || error->offender) {
    return "no network unreachable";
  }
  EchoRequest request = to(loopback(is_v4), message);
  request.dont_fragment = true;
  error = (*ping)->send(request);
  if (!error || error->reason != icmp_reason(EMSGSIZE, is_v4) || error->mtu != 1400) {
    return "no fragmentation needed with the MTU";
  }
  request.dont_fragment = false;
  if ((*ping)->send(request)) {
    return "fails without DF";
  }
  setup.run(recorder, 1);
  return check_reply(recorder, 0, message);
}

// One after the other a router's error, which names the host's identifier, and an answer with other fields.
std::string over_the_wire(Setup& setup, const testing::HostWire& wire, const testing::WirePeers& at) {
  Recorder recorder;
  auto ping = setup.host.open_ping(at.is_v4, recorder);
  if (!ping) {
    return ping.error().message();
  }
  const ByteString message = echo_request(at.is_v4, 0x7777, 9, 100);
  EchoRequest request = to(at.peer, message);
  request.ttl = 3;
  request.tos = 0x28;
  if ((*ping)->send(request)) {
    return "not sent";
  }
  auto sent = wire.next(at.icmp, message[0]);
  if (!sent || testing::ttl_of(*sent) != 3 || testing::tos_of(*sent) != 0x28 ||
      testing::source_of(*sent) != at.host) {
    return "wrong fields";
  }
  const IcmpReason exceeded = at.is_v4 ? IcmpReason{11, 0} : IcmpReason{3, 0};
  static_cast<void>(wire.arrive_error(at.router, exceeded.type, exceeded.code, 0, *sent));
  setup.run(recorder, 1);
  const ByteString echo(sent->begin() + static_cast<std::ptrdiff_t>(testing::ip_size(*sent)), sent->end());
  if (recorder.failures.size() != 1) {
    return "no failure";
  }
  const auto& [failure, quoted] = recorder.failures[0];
  if (failure.error.reason != exceeded || failure.error.offender != at.router ||
      failure.destination != at.peer || quoted.size() < 8 ||
      !test::same_bytes(sys::Bytes(quoted).first(8), sys::Bytes(echo).first(8))) {
    return "wrong failure";
  }
  request.ttl = 64;
  request.tos = 0;
  setup.outbound_of(at.is_v4) = {.wanted = true, .address = at.second};
  if ((*ping)->send(request)) {
    return "not sent again";
  }
  sent = wire.next(at.icmp, message[0]);
  if (!sent || testing::ttl_of(*sent) != 64 || testing::tos_of(*sent) != 0 ||
      testing::source_of(*sent) != at.second) {
    return "wrong fields of the second one";
  }
  if (!wire.arrive_echo_reply(*sent, 57, 0x48)) {
    return "no answer";
  }
  setup.run(recorder, 2);
  if (recorder.replies.size() != 1) {
    return "no reply";
  }
  const EchoReply& reply = recorder.replies[0].first;
  if (reply.source != at.peer || reply.ttl != 57 || reply.tos != 0x48) {
    return "wrong reply";
  }
  setup.outbound_of(at.is_v4).address = at.is_v4 ? sys::IpAddress(sys::Ipv4Address{}) : sys::Ipv6Address{};
  const auto error = (*ping)->send(request);
  return error && error->reason == icmp_reason(ENETUNREACH, at.is_v4) ? "" : "sent without an address";
}

// Runs `body` for both families, with ping sockets and without.
void for_all(int mtu, const std::function<std::string(Setup&, bool is_v4)>& body) {
  for (const bool is_v4 : {true, false}) {
    for (const bool ping_sockets : {true, false}) {
      CAPTURE(is_v4);
      CAPTURE(ping_sockets);
      CHECK(run_in_new_netns([&]() -> std::string {
              if (!set_loopback(mtu) || !allow_ping_sockets(ping_sockets)) {
                return netns::testing::failure("setup");
              }
              Setup setup;
              if (const auto prepared = setup.host.prepare(is_v4); !prepared) {
                return prepared.error().message();
              }
              return body(setup, is_v4);
            }) == "");
    }
  }
}

TEST_CASE("host ping: everybody hears the answers to his own requests, with a ping socket or the raw one") {
  for_all(65536, exchange);
}

TEST_CASE("host ping: failed sends say why") { for_all(1400, errors); }

TEST_CASE("host ping: fields, errors and answers of the network") {
  for_all(65536, [](Setup& setup, bool is_v4) {
    testing::HostWire wire;
    const std::string fault = wire.start();
    return fault.empty() ? over_the_wire(setup, wire, testing::peers_of(is_v4)) : fault;
  });
}

TEST_CASE("host ping: the outbound interface is the way, whatever the routes prefer") {
  for_all(65536, [](Setup& setup, bool is_v4) -> std::string {
    const testing::WirePeers at = testing::peers_of(is_v4);
    testing::HostWire first;
    testing::HostWire second;
    for (const std::string& fault : {first.start("t0"), second.start("t1", {}, 8)}) {
      if (!fault.empty()) {
        return fault;
      }
    }
    Recorder recorder;
    auto ping = setup.host.open_ping(is_v4, recorder);
    const ByteString message = echo_request(is_v4, 1, 1, 10);
    for (const testing::HostWire* wire : {&first, &second}) {
      setup.outbound_of(is_v4) = {.wanted = true, .address = at.host, .interface_index = wire->index()};
      if (!ping || (*ping)->send(to(at.peer, message))) {
        return "not sent";
      }
      const auto packet = wire->next(at.icmp, message[0]);
      if (!packet || testing::source_of(*packet) != at.host) {
        return "leaves by another interface or address";
      }
    }
    return "";
  });
}

TEST_CASE("host ping: one family's raw socket is not the other's") {
  CHECK(run_in_new_netns([]() -> std::string {
          if (!set_loopback(65536) || !allow_ping_sockets(false)) {
            return netns::testing::failure("setup");
          }
          Setup setup;
          Recorder recorder;
          const auto prepared = setup.host.prepare(true);
          if (!prepared || !setup.host.open_ping(true, recorder)) {
            return "no IPv4";
          }
          return setup.host.open_ping(false, recorder) ? "IPv6 unprepared" : "";
        }) == "");
}

TEST_CASE("host ping: neither kind is an error, not an accident") {
  for (const bool is_v4 : {true, false}) {
    CAPTURE(is_v4);
    CHECK(run_in_new_netns([is_v4]() -> std::string {
            constexpr uid_t kNobody = 65534;
            if (!allow_ping_sockets(false) || !netns::testing::become_user(kNobody)) {
              return netns::testing::failure("setup");
            }
            Setup setup;
            Recorder recorder;
            if (setup.host.prepare(is_v4) || setup.host.open_ping(is_v4, recorder)) {
              return "opened a socket without a right to";
            }
            return "";
          }) == "");
  }
}

}  // namespace
}  // namespace l4n::nat
