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
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "netns/sys/clock.hpp"
#include "netns/sys/fd.hpp"
#include "stack/checksum.hpp"
#include "stack/packet.hpp"
#include "tests/netns/child_process.hpp"
#include "tests/support/byte_string.hpp"

namespace l4n::nat {
namespace {

using netns::testing::run_in_new_netns;
using netns::testing::write_file;
using test::ByteString;

const sys::Ipv4Address kLoopback = sys::make_ipv4(127, 0, 0, 1);

class Recorder final : public HostPingObserver {
 public:
  void on_echo_reply(const EchoReply& reply) noexcept override {
    replies.emplace_back(reply, ByteString(reply.message.begin(), reply.message.end()));
  }
  void on_echo_failure(const EchoFailure& /*failure*/) noexcept override { ++failures; }

  std::vector<std::pair<EchoReply, ByteString>> replies;
  unsigned failures = 0;
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

ByteString echo_request(std::uint16_t id, std::uint16_t sequence, std::size_t payload) {
  ByteString message(stack::kIcmpHeaderSize + payload);
  for (std::size_t i = 0; i < message.size(); ++i) {
    message[i] = static_cast<std::byte>(i * 7);
  }
  message[0] = std::byte{stack::IcmpType::kEchoRequest};
  message[1] = std::byte{0};
  sys::store_be16(&message[2], 0);
  sys::store_be16(&message[4], id);
  sys::store_be16(&message[6], sequence);
  sys::store_be16(&message[2], stack::internet_checksum(message));
  return message;
}

EchoRequest to(sys::Ipv4Address destination, sys::Bytes message) {
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

  // Until there are as many replies, or nothing comes any more.
  void run(const Recorder& recorder, std::size_t replies) const {
    for (int i = 0; i < 40 && recorder.replies.size() < replies; ++i) {
      static_cast<void>(loop->turn(std::chrono::milliseconds(50)));
    }
  }
};

std::string check_reply(const Recorder& recorder, std::size_t index, const ByteString& request) {
  if (recorder.replies.size() <= index) {
    return "no reply";
  }
  const auto& [reply, message] = recorder.replies[index];
  if (reply.source != kLoopback || reply.ttl != 64) {
    return "wrong source or TTL";
  }
  if (message.size() != request.size() || message[0] != std::byte{0} ||
      stack::internet_checksum(message) != 0) {
    return "malformed reply";
  }
  const bool same = stack::echo_sequence(message) == stack::echo_sequence(request) &&
                    std::equal(message.begin() + 8, message.end(), request.begin() + 8);
  return same ? "" : "other sequence number or payload";
}

// Small and large echoes of two HostPings at a time: each hears its own answers only.
std::string exchange(Setup& setup) {
  Recorder first;
  Recorder second;
  auto a = setup.host.open_ping(true, first);
  auto b = setup.host.open_ping(true, second);
  if (!a || !b) {
    return "cannot open: " + (a ? b : a).error().message();
  }
  const ByteString small = echo_request(0x7777, 3, 0);
  const ByteString large = echo_request(0x7777, 4, 65507);
  const ByteString other = echo_request(0x7777, 5, 1000);
  if ((*a)->send(to(kLoopback, small)) || (*a)->send(to(kLoopback, large)) ||
      (*b)->send(to(kLoopback, other))) {
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
std::string errors(Setup& setup) {
  Recorder recorder;
  auto ping = setup.host.open_ping(true, recorder);
  if (!ping) {
    return ping.error().message();
  }
  const ByteString message = echo_request(1, 1, 1472);
  auto error = (*ping)->send(to(sys::make_ipv4(192, 0, 2, 1), message));
  if (!error || error->reason != IcmpReason{3, 0} || error->offender) {
    return "no network unreachable";
  }
  EchoRequest request = to(kLoopback, message);
  request.dont_fragment = true;
  error = (*ping)->send(request);
  if (!error || error->reason != IcmpReason{3, 4} || error->mtu != 1400) {
    return "no fragmentation needed with the MTU";
  }
  request.dont_fragment = false;
  if ((*ping)->send(request)) {
    return "fails without DF";
  }
  setup.run(recorder, 1);
  return check_reply(recorder, 0, message);
}

TEST_CASE("host ping: ping sockets where the group may have them") {
  CHECK(run_in_new_netns([]() -> std::string {
          if (!set_loopback(65536) || !allow_ping_sockets(true)) {
            return netns::testing::failure("setup");
          }
          Setup setup;
          if (const auto prepared = setup.host.prepare(true); !prepared) {
            return prepared.error().message();
          }
          return exchange(setup);
        }) == "");
}

TEST_CASE("host ping: the raw socket otherwise") {
  CHECK(run_in_new_netns([]() -> std::string {
          if (!set_loopback(65536) || !allow_ping_sockets(false)) {
            return netns::testing::failure("setup");
          }
          Setup setup;
          if (const auto prepared = setup.host.prepare(true); !prepared) {
            return prepared.error().message();
          }
          return exchange(setup);
        }) == "");
}

TEST_CASE("host ping: failed sends say why") {
  for (const bool ping_sockets : {true, false}) {
    CAPTURE(ping_sockets);
    CHECK(run_in_new_netns([ping_sockets]() -> std::string {
            if (!set_loopback(1400) || !allow_ping_sockets(ping_sockets)) {
              return netns::testing::failure("setup");
            }
            Setup setup;
            if (const auto prepared = setup.host.prepare(true); !prepared) {
              return prepared.error().message();
            }
            return errors(setup);
          }) == "");
  }
}

TEST_CASE("host ping: neither kind is an error, not an accident") {
  CHECK(run_in_new_netns([]() -> std::string {
          constexpr uid_t kNobody = 65534;
          if (!allow_ping_sockets(false) || !netns::testing::become_user(kNobody)) {
            return netns::testing::failure("setup");
          }
          Setup setup;
          Recorder recorder;
          if (setup.host.prepare(true) || setup.host.open_ping(true, recorder)) {
            return "opened a socket without a right to";
          }
          return "";
        }) == "");
}

}  // namespace
}  // namespace l4n::nat
