// The kernel's UDP and TCP sockets of both families, in network namespaces that the tests make. Needs root.
#include "nat/host_sockets.hpp"

#include <doctest/doctest.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "netns/sys/clock.hpp"
#include "tests/nat/host_wire.hpp"
#include "tests/netns/child_process.hpp"

namespace l4n::nat {
namespace {

using netns::testing::run_in_new_netns;
using test::ByteString;
using test::text_bytes;
using testing::HostWire;
using testing::peers_of;
using testing::WirePeers;

constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kFragment = 44;
constexpr std::uint16_t kPort = 7007;

class Observer final : public HostObserver, public HostUdpObserver, public HostListenerObserver {
 public:
  void on_host_event() noexcept override { ++events; }
  void on_udp_event(bool has_error) noexcept override {
    ++events;
    errors = errors || has_error;
  }
  void on_clients() noexcept override { ++events; }

  unsigned events = 0;
  bool errors = false;
};

struct Setup {
  HostWire wire;
  sys::SystemClock clock;
  std::unique_ptr<sys::EventLoop> loop = *sys::EventLoop::create(clock);
  HostSockets host{*loop};
  Observer observer;

  // Until there is an event, or nothing comes any more.
  [[nodiscard]] bool wait() {
    observer.events = 0;
    for (int i = 0; i < 100 && observer.events == 0; ++i) {
      static_cast<void>(loop->turn(std::chrono::milliseconds(50)));
    }
    return observer.events > 0;
  }
  std::unique_ptr<HostUdp> udp(bool is_v4) { return *host.open_udp(is_v4, observer); }
};

sys::IoResult send(HostUdp& udp, const sys::Endpoint& to, const UdpHeaderFields& fields, ByteString payload) {
  iovec part{payload.data(), payload.size()};
  return udp.send(to, fields, {&part, 1}, 0);
}

// Runs `body` for IPv4 and for IPv6, each in a new network namespace with a wire.
void for_both(const std::function<std::string(Setup&, const WirePeers&)>& body) {
  for (const bool is_v4 : {true, false}) {
    CAPTURE(is_v4);
    CHECK(run_in_new_netns([&]() -> std::string {
            Setup setup;
            const std::string fault = setup.wire.start();
            return fault.empty() ? body(setup, peers_of(is_v4)) : fault;
          }) == "");
  }
}

TEST_CASE("host udp: a datagram has the fields that were asked for, and the next one its own") {
  for_both([](Setup& setup, const WirePeers& at) -> std::string {
    const auto udp = setup.udp(at.is_v4);
    struct Row {
      std::uint8_t ttl;
      std::uint8_t tos;
    };
    for (const Row& row : {Row{7, 0x28}, Row{64, 0x28}, Row{64, 0}, Row{255, 0xff}}) {
      UdpHeaderFields fields;
      fields.ttl = row.ttl;
      fields.tos = row.tos;
      if (send(*udp, {at.peer, kPort}, fields, text_bytes("fields")).status != sys::IoStatus::done) {
        return "not sent";
      }
      const auto packet = setup.wire.next(kUdp);
      if (!packet || testing::ttl_of(*packet) != row.ttl || testing::tos_of(*packet) != row.tos) {
        return "wrong fields with TTL " + std::to_string(row.ttl);
      }
      if (testing::source_of(*packet) != at.host || testing::destination_of(*packet) != at.peer) {
        return "wrong addresses";
      }
    }
    return "";
  });
}

TEST_CASE("host udp: an ICMP error tells who sent it, about what, and nothing else is hurt") {
  for_both([](Setup& setup, const WirePeers& at) -> std::string {
    struct Row {
      IcmpReason v4;
      IcmpReason v6;
      std::uint32_t word = 0;
      std::uint16_t mtu = 0;
    };
    const auto udp = setup.udp(at.is_v4);
    // With DF: without, the kernel keeps what it learns of the path MTU to itself in IPv4.
    UdpHeaderFields fields;
    fields.dont_fragment = true;
    for (const Row& row : {Row{{11, 0}, {3, 0}, 0, 0}, Row{{3, 1}, {1, 3}, 0, 0}, Row{{3, 3}, {1, 4}, 0, 0},
                           Row{{3, 4}, {2, 0}, 1280, 1280}}) {
      const IcmpReason reason = at.is_v4 ? row.v4 : row.v6;
      if (send(*udp, {at.peer, kPort}, fields, text_bytes("to a router")).status != sys::IoStatus::done) {
        return "not sent";
      }
      const auto packet = setup.wire.next(kUdp);
      if (!packet || !setup.wire.arrive_error(at.router, reason.type, reason.code, row.word, *packet) ||
          !setup.wait() || !setup.observer.errors) {
        return "no error about " + std::to_string(reason.type);
      }
      const auto failure = udp->next_failure();
      if (!failure || failure->error.reason != reason || failure->error.mtu != row.mtu ||
          failure->error.offender != at.router) {
        return "wrong error";
      }
      if (failure->destination != sys::Endpoint{at.peer, kPort} ||
          !test::same_bytes(failure->payload, text_bytes("to a router"))) {
        return "about something else";
      }
      if (udp->next_failure()) {
        return "told twice";
      }
    }
    return "";
  });
}

TEST_CASE("host udp: what the host says to itself comes from nobody") {
  for_both([](Setup& setup, const WirePeers& at) -> std::string {
    const auto udp = setup.udp(at.is_v4);
    const sys::IpAddress loopback = *sys::parse_ip(at.is_v4 ? "127.0.0.1" : "::1");
    for (const sys::IpAddress& own : {at.host, loopback}) {
      if (send(*udp, {own, kPort}, {}, text_bytes("nobody")).status != sys::IoStatus::done || !setup.wait()) {
        return "not sent, or no error from " + sys::to_string(own);
      }
      const auto failure = udp->next_failure();
      if (!failure || failure->error.reason != icmp_reason(ECONNREFUSED, at.is_v4) ||
          failure->destination != sys::Endpoint{own, kPort}) {
        return "no refusal";
      }
      if (failure->error.offender) {
        return "has an offender";
      }
    }
    return "";
  });
}

TEST_CASE("host udp: too long with DF is told with the MTU, without DF it leaves in fragments") {
  for_both([](Setup& setup, const WirePeers& at) -> std::string {
    const auto udp = setup.udp(at.is_v4);
    const ByteString payload(2000);
    UdpHeaderFields fields;
    fields.dont_fragment = true;
    if (send(*udp, {at.peer, kPort}, fields, payload).error != EMSGSIZE) {
      return "sent with DF";
    }
    const auto failure = udp->next_failure();
    if (!failure || failure->error.reason != icmp_reason(EMSGSIZE, at.is_v4) || failure->error.mtu != 1500 ||
        failure->error.offender) {
      return "no MTU";
    }
    fields.dont_fragment = false;
    if (send(*udp, {at.peer, kPort}, fields, payload).status != sys::IoStatus::done) {
      return "not sent without DF";
    }
    const auto first = setup.wire.next(at.is_v4 ? kUdp : kFragment);
    const auto second = setup.wire.next(at.is_v4 ? kUdp : kFragment);
    return first && second && first->size() <= 1500 && second->size() <= 1500 ? "" : "no fragments";
  });
}

TEST_CASE("host udp: leaves as the outbound choice of its family says") {
  for_both([](Setup& setup, const WirePeers& at) -> std::string {
    const auto udp = setup.udp(at.is_v4);
    const auto source = [&]() -> std::optional<sys::IpAddress> {
      if (send(*udp, {at.peer, kPort}, {}, text_bytes("x")).status != sys::IoStatus::done) {
        return std::nullopt;
      }
      const auto packet = setup.wire.next(kUdp);
      return packet ? std::optional(testing::source_of(*packet)) : std::nullopt;
    };
    setup.host.set_outbound(at.is_v4, {.wanted = true, .address = at.second});
    if (source() != at.second) {
      return "not by address";
    }
    setup.host.set_outbound(!at.is_v4, {.wanted = true});  // the other family's
    setup.host.set_outbound(at.is_v4, {});
    if (source() != at.host) {
      return "not the system's choice";
    }
    setup.host.set_outbound(
        at.is_v4,
        {.wanted = true, .address = at.is_v4 ? sys::IpAddress(sys::Ipv4Address{}) : sys::Ipv6Address{}});
    if (send(*udp, {at.peer, kPort}, {}, text_bytes("x")).error != ENETUNREACH) {
      return "leaves without an address";
    }
    // An address of somebody else.
    setup.host.set_outbound(at.is_v4, {.wanted = true, .address = at.router});
    return send(*udp, {at.peer, kPort}, {}, text_bytes("x")).error == ENETUNREACH ? "" : "another's address";
  });
}

TEST_CASE("host sockets: the outbound interface is the way, whatever the routes prefer") {
  for_both([](Setup& setup, const WirePeers& at) -> std::string {
    HostWire other;
    if (std::string fault = other.start("t1", {}, 8); !fault.empty()) {
      return fault;
    }
    for (const HostWire* wire : {&setup.wire, &other}) {
      setup.host.set_outbound(at.is_v4,
                              {.wanted = true, .address = at.host, .interface_index = wire->index()});
      const auto udp = setup.udp(at.is_v4);
      if (send(*udp, {at.peer, kPort}, {}, text_bytes("x")).status != sys::IoStatus::done) {
        return "no datagram";
      }
      auto packet = wire->next(kUdp);
      if (!packet || testing::source_of(*packet) != at.host) {
        return "the datagram leaves by another interface or address";
      }
      const auto stream = setup.host.connect({{at.peer, kPort}}, setup.observer);
      packet = wire->next(kTcp);
      if (!stream || !packet || testing::source_of(*packet) != at.host) {
        return "the connection leaves by another interface or address";
      }
    }
    return "";
  });
}

TEST_CASE("host udp: a forward's socket tells where it was reached, and answers from there") {
  for_both([](Setup& setup, const WirePeers& at) -> std::string {
    const sys::IpAddress any = at.is_v4 ? sys::IpAddress(sys::Ipv4Address{}) : sys::Ipv6Address{};
    auto bound = setup.host.bind_udp({any, kPort}, setup.observer);
    if (!bound) {
      return bound.error().message();
    }
    const auto client = setup.udp(at.is_v4);
    for (const sys::IpAddress& local : {at.host, at.second}) {
      if (send(*client, {local, kPort}, {}, text_bytes("question")).status != sys::IoStatus::done ||
          !setup.wait()) {
        return "no question";
      }
      ByteString buffer(100);
      auto received = bound->socket->receive(buffer);
      if (received.status != sys::IoStatus::done || received.local != local || received.scope_id != 0) {
        return "wrong local address";
      }
      UdpHeaderFields fields;
      fields.source = local;
      if (send(*bound->socket, received.source, fields, text_bytes("answer")).status != sys::IoStatus::done ||
          !setup.wait()) {
        return "no answer";
      }
      received = client->receive(buffer);
      if (received.status != sys::IoStatus::done || received.source != sys::Endpoint{local, kPort}) {
        return "the answer is from elsewhere";
      }
    }
    return "";
  });
}

TEST_CASE("host udp: forwards of both families share a port") {
  CHECK(run_in_new_netns([]() -> std::string {
          Setup setup;
          auto v6 = setup.host.bind_udp({sys::Ipv6Address{}, kPort}, setup.observer);
          auto v4 = setup.host.bind_udp({sys::Ipv4Address{}, kPort}, setup.observer);
          return v6 && v4 ? "" : (v6 ? v4 : v6).error().message();
        }) == "");
}

TEST_CASE("host udp: a link-local client is answered on its own link") {
  CHECK(run_in_new_netns([]() -> std::string {
          const sys::Ipv6Address ours = *sys::parse_ipv6("fe80::7");
          const sys::Ipv6Address client = *sys::parse_ipv6("fe80::99");
          HostWire other;
          Setup setup;
          // The same network on both: where to answer only the question tells.
          for (const std::string& fault :
               {other.start("t0", {{ours, 64}}), setup.wire.start("t1", {{ours, 64}})}) {
            if (!fault.empty()) {
              return fault;
            }
          }
          for (const HostWire* wire : {&setup.wire, &other}) {
            auto bound = setup.host.bind_udp({sys::Ipv6Address{}, kPort}, setup.observer);
            ByteString datagram = test::concat(
                {test::be16(5000), test::be16(kPort), test::be16(9), test::be16(0), text_bytes("q")});
            sys::store_be16(&datagram[6], test::plain_transport_checksum(client, ours, kUdp, datagram));
            ByteString buffer(100);
            if (!bound || !wire->arrive(client, ours, kUdp, datagram) || !setup.wait()) {
              return "no question";
            }
            const auto received = bound->socket->receive(buffer);
            if (received.status != sys::IoStatus::done || received.scope_id != wire->index()) {
              return "wrong scope";
            }
            UdpHeaderFields fields;
            fields.source = *received.local;
            fields.scope_id = received.scope_id;
            if (send(*bound->socket, received.source, fields, text_bytes("a")).status !=
                sys::IoStatus::done) {
              return "no answer";
            }
            const auto answer = wire->next(kUdp);
            if (!answer || testing::destination_of(*answer) != client) {
              return "the answer is not on the link";
            }
          }
          return "";
        }) == "");
}

TEST_CASE("host tcp: a connect with a TTL hears who sent it back") {
  for_both([](Setup& setup, const WirePeers& at) -> std::string {
    auto stream = setup.host.connect({{at.peer, kPort}, 0, 3, false}, setup.observer);
    const auto syn = setup.wire.next(kTcp);
    if (!stream || !syn || testing::ttl_of(*syn) != 3) {
      return "no SYN with the TTL";
    }
    const IcmpReason exceeded = at.is_v4 ? IcmpReason{11, 0} : IcmpReason{3, 0};
    if (!setup.wire.arrive_error(at.router, exceeded.type, exceeded.code, 0, *syn) || !setup.wait()) {
      return "no error";
    }
    if ((*stream)->phase() != HostStream::Phase::failed || (*stream)->connect_error() != EHOSTUNREACH) {
      return "not failed";
    }
    const auto& failure = (*stream)->connect_failure();
    return failure && failure->reason == exceeded && failure->offender == at.router ? "" : "wrong offender";
  });
}

TEST_CASE("host tcp: a link-local address needs an interface") {
  CHECK(run_in_new_netns([]() -> std::string {
          Setup setup;
          if (std::string fault = setup.wire.start(); !fault.empty()) {
            return fault;
          }
          const sys::Endpoint peer{*sys::parse_ip("fe80::99"), kPort};
          const auto none = setup.host.connect({peer}, setup.observer);
          if (none || none.error().code != ENETUNREACH) {
            return "no unreachable network";
          }
          const auto stream = setup.host.connect({peer, setup.wire.index()}, setup.observer);
          return stream && setup.wire.next(kTcp) ? "" : "no SYN on the interface";
        }) == "");
}

TEST_CASE("host tcp: leaves as the outbound choice of its family says") {
  for_both([](Setup& setup, const WirePeers& at) -> std::string {
    const auto source = [&]() -> std::optional<sys::IpAddress> {
      auto stream = setup.host.connect({{at.peer, kPort}}, setup.observer);
      const auto syn = stream ? setup.wire.next(kTcp) : std::nullopt;
      return syn ? std::optional(testing::source_of(*syn)) : std::nullopt;
    };
    setup.host.set_outbound(at.is_v4,
                            {.wanted = true, .address = at.second, .interface_index = setup.wire.index()});
    if (source() != at.second) {
      return "not by interface";
    }
    setup.host.set_outbound(at.is_v4, {.wanted = true, .address = at.second});
    if (source() != at.second) {
      return "not by address";
    }
    // The host's loopback is reached as ever.
    const sys::IpAddress loopback = *sys::parse_ip(at.is_v4 ? "127.0.0.1" : "::1");
    auto listener = setup.host.listen({loopback, 0}, setup.observer);
    auto stream = listener ? setup.host.connect({(*listener)->address()}, setup.observer)
                           : sys::Result<std::unique_ptr<HostStream>>(listener.error());
    if (!stream || !setup.wait()) {
      return "no connection to the loopback";
    }
    auto client = (*listener)->accept();
    if (!client || client->address.address != loopback) {
      return "not from the loopback";
    }
    setup.host.set_outbound(at.is_v4, {.wanted = true, .address = at.router});
    stream = setup.host.connect({{at.peer, kPort}}, setup.observer);
    return !stream && stream.error().code == ENETUNREACH ? "" : "another's address";
  });
}

TEST_CASE("host tcp: an outbound address does not use up the ports") {
  for_both([](Setup& setup, const WirePeers& at) -> std::string {
    if (!netns::testing::write_file("/proc/sys/net/ipv4/ip_local_port_range", "40000 40003")) {
      return netns::testing::failure("ip_local_port_range");
    }
    setup.host.set_outbound(at.is_v4, {.wanted = true, .address = at.second});
    std::vector<std::unique_ptr<HostStream>> streams;
    for (std::uint16_t i = 0; i < 8; ++i) {  // twice as many connections as ports
      auto stream = setup.host.connect({{at.peer, static_cast<std::uint16_t>(kPort + i)}}, setup.observer);
      if (!stream) {
        return stream.error().message();
      }
      streams.push_back(*std::move(stream));
    }
    return "";
  });
}

// Before Linux 6.8 all connections to a destination get even ports while there are any.
bool kernel_treats_ports_alike() {
  utsname system{};
  if (::uname(&system) != 0) {
    return false;
  }
  char* rest = nullptr;
  const auto major = std::strtoul(system.release, &rest, 10);
  const auto minor = *rest == '.' ? std::strtoul(rest + 1, nullptr, 10) : 0;
  return major > 6 || (major == 6 && minor >= 8);
}

TEST_CASE("host tcp: connections to one destination get odd ports as well as even ones") {
  if (!kernel_treats_ports_alike()) {
    return;
  }
  for_both([](Setup& setup, const WirePeers& at) -> std::string {
    std::vector<std::unique_ptr<HostStream>> streams;
    unsigned odd = 0;
    for (int i = 0; i < 64; ++i) {
      auto stream = setup.host.connect({{at.peer, kPort}}, setup.observer);
      const auto syn = stream ? setup.wire.next(kTcp) : std::nullopt;
      if (!syn) {
        return "no SYN";
      }
      odd += sys::load_be16(&(*syn)[testing::ip_size(*syn)]) & 1U;
      streams.push_back(*std::move(stream));
    }
    return odd > 8 && odd < 56 ? "" : std::to_string(odd) + " odd ports of 64";
  });
}

}  // namespace
}  // namespace l4n::nat
