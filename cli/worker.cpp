#include "cli/worker.hpp"

#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <csignal>
#include <variant>
#include <vector>

#include "cli/api_protocol.hpp"
#include "cli/outbound.hpp"
#include "nat/guest_addresses.hpp"
#include "netns/resource_limits.hpp"

namespace l4n::cli {
namespace {

using sys::Result;

constexpr std::uint16_t kDnsPort = 53;
// How long the start waits for the monitor's first word.
constexpr sys::Duration kMonitorStart = std::chrono::seconds(5);

// stdio, and the loop's own.
constexpr std::size_t kUnwatchedDescriptors = 4;

nat::Gateway::Config gateway_config(const Options& options, unsigned descriptors) {
  nat::Gateway::Config config;
  config.policy.network = options.cidr;
  if (options.enable_ipv6) {
    config.policy.network6 = options.cidr6;
  }
  config.policy.host_loopback = !options.disable_host_loopback;
  config.policy.dns = !options.disable_dns;
  config.mtu = static_cast<unsigned>(options.mtu);
  config.limits = nat::within_descriptors(options.limits, descriptors);
  return config;
}

// Stateless, and older than every loop that reads it.
const sys::Clock& system_clock() noexcept {
  static const sys::SystemClock clock;
  return clock;
}

Result<sys::Fd> open_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) {
    return sys::errno_error("cannot block signals");
  }
  sys::Fd fd(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd.valid()) {
    return sys::errno_error("cannot create the signal descriptor");
  }
  return fd;
}

std::vector<nat::HostTarget> resolvers(const netns::Nameservers& nameservers) {
  std::vector<nat::HostTarget> targets;
  for (const netns::NameserverAddress& server : nameservers.servers) {
    targets.push_back({.endpoint = {server.address, kDnsPort}, .scope_id = server.scope_id, .own = true});
  }
  if (targets.empty()) {
    targets.push_back({.endpoint = {sys::make_ipv4(127, 0, 0, 1), kDnsPort},
                       .own = true});  // the default of resolv.conf(5)
  }
  return targets;
}

}  // namespace

Result<std::unique_ptr<Worker>> Worker::create(const Options& options, GuestPort port, netns::Monitor monitor,
                                               sys::Log& log, Serves serves) {
  auto loop = sys::EventLoop::create(system_clock());
  if (!loop) {
    return loop.error();
  }
  std::unique_ptr<Worker> worker(
      new Worker(*std::move(loop), options, std::move(port), std::move(monitor), log, serves));
  for (const bool is_v4 : {true, false}) {
    auto leave = outbound(options, is_v4);
    if (!leave) {
      return leave.error();
    }
    worker->set_outbound(is_v4, *std::move(leave));
  }
  for (const std::string& missing : missing_outbound_addresses(options)) {
    log.warning(sys::LogClass::host, "{} is no address of this host: nothing can leave from it", missing);
  }
  auto prepared = worker->host_.prepare(true);
  if (prepared && options.enable_ipv6) {
    prepared = worker->host_.prepare(false);
  }
  if (!prepared) {
    log.info(sys::LogClass::host, "{}: the guest can ping nobody but us", prepared.error().message());
  }
  if (auto watched = worker->watch_all(options); !watched) {
    return watched.error();
  }
  return worker;
}

Worker::Worker(std::unique_ptr<sys::EventLoop> loop, const Options& options, GuestPort port,
               netns::Monitor monitor, sys::Log& log, Serves serves)
    : log_(log),
      serves_(serves),
      loop_(std::move(loop)),
      monitor_(std::move(monitor)),
      port_(std::move(port)),
      host_(*loop_),
      most_descriptors_(netns::raise_descriptor_limit()),
      gateway_({loop_->timers(), loop_->graveyard(), system_clock(), log, *port_.frames, host_},
               gateway_config(options, most_descriptors_)),
      heap_trimmer_(loop_->timers(), loop_->graveyard(), sys::trim_heap),
      recommended_guest_(nat::guest_address(options.cidr)) {
  if (options.enable_ipv6) {
    recommended_guest6_ = nat::guest_address(options.cidr6);
  }
  loop_->add_turn_hook(gateway_);
  loop_->add_turn_hook(heap_trimmer_);
  gateway_.on_port_closed([this] { on_port_closed(); });
}

Worker::~Worker() {
  if (port_.outlives_us) {
    netns::release_offloads(port_.frames->fd());
  }
}

Result<void> Worker::watch_signals() {
  auto signals = open_signals();
  if (!signals) {
    return signals.error();
  }
  signals_ = *std::move(signals);
  return loop_->add(signals_.get(), EPOLLIN, signal_watch_);
}

Result<void> Worker::watch_all(const Options& options) {
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT(cert-err33-c): cannot fail for a valid signal
  if (serves_ == Serves::target) {
    if (auto watched = watch_signals(); !watched) {
      return watched;
    }
  }
  if (options.exit_fd) {
    exit_fd_.reset(*options.exit_fd);
    // No event is asked for: epoll tells a hang-up always, and data must not end us.
    if (auto added = loop_->add(exit_fd_.get(), 0, exit_watch_); !added) {
      return added;
    }
  }
  // The first message carries the name servers: without it DNS would not work from the ready byte on.
  if (const auto first = monitor_.wait(kMonitorStart); first.status == netns::Monitor::ReadStatus::message) {
    on_message(*first.message);
  }
  if (auto added = loop_->add(monitor_.fd(), EPOLLIN, monitor_watch_); !added) {
    return added;
  }
  return port_.frames->start(*loop_, gateway_);
}

Result<void> Worker::serve_api(netns::UnixListener listener) {
  listener.leave_file();
  api_.emplace(*loop_, std::move(listener), [this](std::string_view request) {
    return answer_api_request(request, {gateway_.forwards(), recommended_guest_, recommended_guest6_, log_,
                                        [this] { return take_stats(); }});
  });
  return api_->start();
}

StatsSnapshot Worker::take_stats() const {
  return {nat::collect_stats(gateway_), loop_->watched() + kUnwatchedDescriptors, most_descriptors_};
}

int Worker::run() {
  if (auto result = loop_->run(); !result) {
    log_.error(sys::LogClass::general, "{}", result.error().message());
    status_ = 1;
  }
  return status_;
}

void Worker::on_signal() { stop(0); }

void Worker::on_exit_fd() {
  log_.line("exitfd event");
  stop(0);
}

void Worker::on_monitor() {
  for (;;) {
    const netns::Monitor::ReadResult result = monitor_.read();
    switch (result.status) {
      case netns::Monitor::ReadStatus::empty:
        return;
      case netns::Monitor::ReadStatus::closed:
        log_.error(sys::LogClass::general, "the monitor process has ended unexpectedly");
        stop(1);
        return;
      case netns::Monitor::ReadStatus::message:
        on_message(*result.message);
        break;
    }
  }
}

void Worker::on_message(const netns::MonitorMessage& message) {
  if (const auto* nameservers = std::get_if<netns::Nameservers>(&message)) {
    // A resolv.conf that has vanished for a moment is no reason to forget the servers.
    if (!nameservers->servers.empty() || !has_resolvers_) {
      gateway_.set_resolvers(resolvers(*nameservers));
      has_resolvers_ = !nameservers->servers.empty();
    }
    gateway_.set_search(nameservers->search);
  } else if (const auto* addresses = std::get_if<netns::InterfaceAddresses>(&message)) {
    set_outbound(addresses->is_v4, to_outbound(*addresses));
  } else {
    stop(0);  // nobody is left in the namespace
  }
}

void Worker::set_outbound(bool is_v4, nat::OutboundFamily outbound) {
  if (outbound.wanted && sys::is_unspecified(outbound.address)) {
    log_.warning(sys::LogClass::host, "the outbound interface has no {} address: nothing can leave",
                 is_v4 ? "IPv4" : "IPv6");
  }
  host_.set_outbound(is_v4, std::move(outbound));
}

void Worker::on_port_closed() {
  if (serves_ == Serves::target) {
    stop(0);
  } else {
    loop_->remove(port_.frames->fd());  // the command has no network any more, which is its own doing
  }
}

void Worker::stop(int status) noexcept {
  loop_->remove(monitor_.fd());
  status_ = status;
  loop_->stop();
}

}  // namespace l4n::cli
