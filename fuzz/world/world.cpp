#include "fuzz/world/world.hpp"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <optional>

#include "fuzz/engine/oracle.hpp"
#include "fuzz/world/allocation.hpp"
#include "fuzz/world/injected_fault.hpp"
#include "fuzz/world/lwip_state.hpp"
#include "fuzz/world/places.hpp"
#include "nat/stats.hpp"

namespace l4n::fuzz {
namespace {

// Far more turns than any input needs in one moment.
constexpr unsigned kMostTurns = 20'000;
// Security limits that no option changes.
constexpr std::size_t kMostReassemblies = 64;
constexpr std::size_t kMostReassemblyBytes = 1024 * 1024;

constexpr std::array<unsigned, 4> kMtus{1500, 65520, 1280, 576};

// Enough for windows to grow.
constexpr std::size_t kRoomyMemory = std::size_t{16} * 1024 * 1024;

// The guest may make the host talk to what this allows.
nat::PolicyConfig believed_policy(const WorldOptions& options) {
  nat::PolicyConfig policy = options.policy;
  policy.host_loopback = policy.host_loopback && !injected(InjectedFault::deny_loopback);
  return policy;
}

// What the oracle believes a limit to be: with the fault that is for it, one that nothing keeps.
std::size_t limit_unless(InjectedFault fault, std::size_t limit) { return injected(fault) ? 0 : limit; }

nat::Gateway::Config config_of(const WorldOptions& options) {
  nat::Gateway::Config config;
  config.policy = options.policy;
  config.mtu = options.port.mtu;
  config.limits = options.limits;
  return config;
}

// What an injected fault leaves behind.
class HeldForProof final : sys::TimerHandler, nat::HostUdpObserver {
 public:
  HeldForProof(sys::TimerQueue& timers, integration::FakeHost& host) : timer_(timers, *this) {
    if (injected(InjectedFault::hold_timer)) {
      timer_.arm(std::chrono::hours(1));
    } else if (injected(InjectedFault::hold_socket)) {
      socket_ = *host.udp.open(true, *this);
    } else if (injected(InjectedFault::hold_lwip_memory)) {
      hold_lwip_memory();
    } else if (injected(InjectedFault::hold_frame_buffer)) {
      buffer_ = buffers_.emplace().take();
    }
  }

 private:
  void on_timer() noexcept override {}
  void on_udp_event(bool /*has_error*/) noexcept override {}

  sys::Timer timer_;
  std::unique_ptr<nat::HostUdp> socket_;
  std::optional<stack::FrameBufferPool> buffers_;
  stack::FrameBufferPtr buffer_;
};

}  // namespace

nat::Limits small_limits() {
  nat::Limits limits;
  limits.tcp_flows = 12;
  limits.tcp_attempts = 6;
  limits.udp_flows = 6;
  limits.ping_flows = 6;
  limits.dns_questions = 6;
  limits.dns_spare = 3;
  limits.memory = std::size_t{2} * 1024 * 1024;
  limits.tcp_keepalive = std::chrono::minutes(2);
  return limits;
}

WorldOptions WorldOptions::take(Input& in) {
  const std::uint8_t link = in.u8();
  const std::uint8_t policy = in.u8();
  WorldOptions options;
  options.port.vnet = (link & 1U) == 0;
  options.port.cuts_udp = (link & 2U) != 0;
  options.port.mtu = kMtus.at(link >> 2U & 3U);
  options.policy.host_loopback = (policy & 1U) == 0;
  options.policy.dns = (policy & 2U) == 0;
  options.policy.link_local = (policy & 4U) != 0;
  if ((policy & 8U) != 0) {
    options.limits.memory = kRoomyMemory;
  }
  if (options.port.mtu >= 1280) {
    options.policy.network6 = sys::Ipv6Network{sys::parse_ip("fd00::").value().v6(), 64};
  }
  return options;
}

std::string WorldOptions::text() const {
  return fmt::format("world mtu {}{}{}{}{}{}{}{}\n", port.mtu, port.vnet ? " vnet" : "",
                     port.cuts_udp ? " cuts-udp" : "", policy.network6 ? " ipv6" : "",
                     policy.host_loopback ? "" : " no-loopback", policy.dns ? "" : " no-dns",
                     policy.link_local ? " link-local" : "", limits.memory == kRoomyMemory ? " roomy" : "");
}

World::World(const WorldOptions& options)
    : options_(options), policy_(believed_policy(options)), port_(options.port) {
  rewind_lwip();
  const nat::Gateway::Environment environment{timers_, graveyard_, clock_, log_, port_, host_};
  gateway_ = std::make_unique<nat::Gateway>(environment, config_of(options));
  gateway_->set_resolvers(resolvers(1));
  gateway_->on_port_closed([this] { ++port_ends_told_; });
}

World::~World() = default;

void World::forward(const nat::ForwardRule& rule) {
  const std::size_t before = host_.udp.opened();
  static_cast<void>(gateway_->forwards().add(rule));
  bound_udp_.resize(before, false);
  bound_udp_.resize(host_.udp.opened(), true);
}

void World::end_port(int error) {
  settle();
  port_ends_ += injected(InjectedFault::miscount) ? 2 : 1;
  port_.end(error);
  settle();
  FUZZ_REQUIRE(port_ends_told_ == port_ends_, "the end of the interface is told {} times of {}",
               port_ends_told_, port_ends_);
}

void World::deliver_to_forward(std::size_t which, const sys::Endpoint& from, sys::Bytes payload) {
  std::vector<std::size_t> candidates;
  for (std::size_t i = 0; i < bound_udp_.size(); ++i) {
    const auto& socket = host_.udp.socket(i);
    if (bound_udp_[i] && !socket.closed() && socket.is_v4() == from.address.is_v4()) {
      candidates.push_back(i);
    }
  }
  if (!candidates.empty()) {
    auto& socket = host_.udp.socket(candidates[which % candidates.size()]);
    socket.set_local(sys::parse_ip(from.address.is_v4() ? "198.51.100.7" : "2001:db8::7").value());
    socket.deliver(from, payload);
  }
}

void World::turn() {
  host_.deliver_events();
  if (port_.readable()) {
    gateway_->on_event(EPOLLIN);
  }
  timers_.run_due();
  more_ = gateway_->on_turn_end() || injected(InjectedFault::never_rest);
  graveyard_.clear();
  check_limits();
}

void World::settle() {
  for (unsigned turns = 0;; ++turns) {
    FUZZ_REQUIRE(turns < kMostTurns, "the loop never comes to rest");
    turn();
    if (!more_ && !port_.readable() && !host_.has_events()) {
      break;
    }
  }
  check_destinations();
}

void World::advance(sys::Duration duration) {
  settle();
  const sys::Time end = clock_.now() + duration;
  while (clock_.now() < end) {
    const sys::Time next = std::min(end, timers_.next_deadline().value_or(end));
    clock_.advance(std::max(next - clock_.now(), sys::Duration(0)));
    settle();
  }
}

void World::check_limits() const {
  using F = InjectedFault;
  const nat::Limits& limits = options_.limits;
  const nat::TcpNat& tcp = gateway_->tcp();
  FUZZ_REQUIRE(tcp.flows() <= limit_unless(F::no_flows, limits.tcp_flows),
               "more TCP flows than the limit: {}", tcp.flows());
  FUZZ_REQUIRE(tcp.attempts() <= limit_unless(F::no_attempts, limits.tcp_attempts),
               "more TCP attempts than the limit: {}", tcp.attempts());
  FUZZ_REQUIRE(gateway_->udp().flows() <= limit_unless(F::no_udp_flows, limits.udp_flows),
               "more UDP flows than the limit: {}", gateway_->udp().flows());
  FUZZ_REQUIRE(gateway_->dns().pending() <= limit_unless(F::no_questions, limits.dns_questions),
               "more questions than the limit: {}", gateway_->dns().pending());
  FUZZ_REQUIRE(gateway_->icmp().flows() <= limit_unless(F::no_pings, limits.ping_flows),
               "more pings than the limit: {}", gateway_->icmp().flows());
  FUZZ_REQUIRE(gateway_->memory().in_use() <= limit_unless(F::no_memory, limits.memory),
               "connections hold more memory than the limit: {}", gateway_->memory().in_use());
  FUZZ_REQUIRE(gateway_->reassembly().pending() <= limit_unless(F::no_reassembly, kMostReassemblies),
               "more datagrams in reassembly than the limit");
  FUZZ_REQUIRE(gateway_->reassembly().bytes() <= limit_unless(F::no_reassembled_bytes, kMostReassemblyBytes),
               "more bytes in reassembly than the limit");
}

bool World::reachable(const sys::IpAddress& address) const {
  return policy_.reachable(address) && !injected(InjectedFault::deny_everything);
}

void World::check_destinations() {
  for (; checked_connects_ < host_.connects(); ++checked_connects_) {
    const nat::HostTarget& target = host_.socket(checked_connects_).target();
    const bool accepted_client = host_.socket(checked_connects_).is_client();
    FUZZ_REQUIRE(accepted_client || is_resolver(target.endpoint) || reachable(target.endpoint.address),
                 "a connection to a denied destination: {}", sys::to_string(target.endpoint));
  }
  for (; checked_questions_ < host_.datagram_sockets(); ++checked_questions_) {
    const nat::HostTarget& target = host_.datagram(checked_questions_).target();
    FUZZ_REQUIRE(is_resolver(target.endpoint) && !injected(InjectedFault::deny_everything),
                 "a question to somebody who is no resolver: {}", sys::to_string(target.endpoint));
  }
  bound_udp_.resize(host_.udp.opened(), false);
  checked_udp_.resize(host_.udp.opened());
  for (std::size_t i = 0; i < host_.udp.opened(); ++i) {
    const auto& sent = host_.udp.socket(i).sent();
    for (std::size_t& at = checked_udp_[i]; at < sent.size(); ++at) {
      FUZZ_REQUIRE(bound_udp_[i] || reachable(sent[at].to.address), "a datagram to a denied destination: {}",
                   sys::to_string(sent[at].to));
    }
  }
  checked_pings_.resize(host_.ping.opened());
  for (std::size_t i = 0; i < host_.ping.opened(); ++i) {
    const auto& sent = host_.ping.ping(i).sent;
    for (std::size_t& at = checked_pings_[i]; at < sent.size(); ++at) {
      FUZZ_REQUIRE(reachable(sent[at].request.destination), "a ping to a denied destination: {}",
                   sys::to_string(sent[at].request.destination));
    }
  }
}

// What administrators are told agrees with itself.
void World::check_books() {
  const nat::Stats stats = nat::collect_stats(*gateway_);
  const nat::Stats::Use& use = stats.in_use;
  FUZZ_REQUIRE(use.memory <= use.memory_peak && use.memory_peak <= gateway_->memory().limit(),
               "memory in use {}, at most {} of {}", use.memory, use.memory_peak, gateway_->memory().limit());
  FUZZ_REQUIRE(use.dns_spare <= stats.limits.dns_spare, "more spare sockets than the limit: {}",
               use.dns_spare);
  FUZZ_REQUIRE(use.neighbours <= stack::Neighbours::kMost, "more neighbours than the limit: {}",
               use.neighbours);
  FUZZ_REQUIRE(use.udp_forward_sessions <= nat::UdpForwards::kMostSessions,
               "more sessions of forwards than the limit: {}", use.udp_forward_sessions);
  const std::vector<nat::Forward> forwards = gateway_->forwards().list();
  std::size_t ports = injected(InjectedFault::miscount) ? 1 : 0;
  for (std::size_t i = 0; i < forwards.size(); ++i) {
    ports += forwards[i].rule.count;
    FUZZ_REQUIRE(i == 0 || forwards[i - 1].id < forwards[i].id, "forward {} is listed behind {}",
                 forwards[i].id, forwards[i - 1].id);
  }
  FUZZ_REQUIRE(ports == use.forward_ports && ports <= nat::PortForwards::kMostPorts,
               "{} ports are listed, {} counted", ports, use.forward_ports);
}

void World::release_all() {
  set_allocation_failures(0);
  port_.set_full(false);
  host_.release_all();
  for (std::size_t i = 0; i < host_.listeners(); ++i) {
    host_.listener(i).exhaust(0);
  }
}

void World::finish(bool patiently) {
  release_all();
  check_books();
  if (patiently) {
    // The guest says nothing any more. What is half-closed or is asked in vain whether it is still there
    // takes the longest, and that twice where it got half-closed late.
    advance(injected(InjectedFault::no_patience) ? sys::Duration(0) : std::chrono::minutes(30));
    FUZZ_REQUIRE(gateway_->tcp().attempts() == 0, "TCP attempts are left after their time");
    FUZZ_REQUIRE(gateway_->tcp().flows() == 0, "TCP flows are left after their time: {}",
                 gateway_->tcp().flows());
    FUZZ_REQUIRE(gateway_->udp().flows() == 0, "UDP flows are left after their time: {}",
                 gateway_->udp().flows());
    FUZZ_REQUIRE(gateway_->icmp().flows() == 0, "pings are left after their time: {}",
                 gateway_->icmp().flows());
    FUZZ_REQUIRE(gateway_->reassembly().pending() == 0, "fragments are left after their time");
    FUZZ_REQUIRE(gateway_->dns().pending() == 0, "questions are left after their time");
  }
  gateway_.reset();
  graveyard_.clear();
  check_nothing_left();
}

void World::check_nothing_left() {
  const HeldForProof held(timers_, host_);
  FUZZ_REQUIRE(timers_.armed_count() == 0, "timers are left: {}", timers_.armed_count());
  FUZZ_REQUIRE(host_.open_sockets() == 0, "host sockets are left: {}", host_.open_sockets());
  FUZZ_REQUIRE(lwip_allocations() == 0, "memory of lwIP is left: {} pieces", lwip_allocations());
  FUZZ_REQUIRE(mapped_buffers() == 0, "frame buffers are left: {}", mapped_buffers());
}

}  // namespace l4n::fuzz
