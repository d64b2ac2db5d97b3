// Worker: the process that the caller started, once the guest's interface is in its hands. Owns the loop, the
// gateway and what can end them: signals, the exit descriptor, the monitor; or, with `run`, the command's
// end.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "cli/api_server.hpp"
#include "cli/guest.hpp"
#include "cli/options.hpp"
#include "cli/stats_json.hpp"
#include "nat/gateway.hpp"
#include "nat/host_sockets.hpp"
#include "netns/monitor.hpp"
#include "netns/sys/clock.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/sys/heap_trimmer.hpp"
#include "netns/sys/log.hpp"
#include "netns/sys/member_handler.hpp"
#include "netns/sys/result.hpp"
#include "netns/unix_listener.hpp"

namespace l4n::cli {

class Worker {
 public:
  // Whom the worker lives for.
  enum class Serves : std::uint8_t {
    target,   // ends with the interface; SIGTERM and SIGINT, which are blocked, end run() as well
    command,  // goes on without the interface; signals are the caller's of create(), who calls stop()
  };

  // Takes over the interface and the monitor.
  static sys::Result<std::unique_ptr<Worker>> create(const Options& options, GuestPort port,
                                                     netns::Monitor monitor, sys::Log& log,
                                                     Serves serves = Serves::target);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  // Takes requests at this socket as well, once run() runs. Its file is the monitor's to remove: we are
  // going to be sealed off from the file system.
  sys::Result<void> serve_api(netns::UnixListener listener);
  // Serves until something ends it. The exit status of the process.
  [[nodiscard]] int run();
  // Makes run() return `status`.
  void stop(int status) noexcept;
  [[nodiscard]] sys::EventLoop& loop() noexcept { return *loop_; }

 private:
  Worker(std::unique_ptr<sys::EventLoop> loop, const Options& options, GuestPort port, netns::Monitor monitor,
         sys::Log& log, Serves serves);
  sys::Result<void> watch_all(const Options& options);
  sys::Result<void> watch_signals();
  void on_signal();
  void on_exit_fd();
  void on_monitor();
  void on_message(const netns::MonitorMessage& message);
  void set_outbound(bool is_v4, nat::OutboundFamily outbound);
  void on_port_closed();
  [[nodiscard]] StatsSnapshot take_stats() const;

  sys::Log& log_;
  Serves serves_;
  std::unique_ptr<sys::EventLoop> loop_;
  netns::Monitor monitor_;
  GuestPort port_;
  nat::HostSockets host_;
  const unsigned most_descriptors_;
  nat::Gateway gateway_;
  sys::HeapTrimmer heap_trimmer_;
  sys::Fd signals_;
  sys::Fd exit_fd_;
  sys::MemberEvent<Worker> signal_watch_{*this, &Worker::on_signal};
  sys::MemberEvent<Worker> exit_watch_{*this, &Worker::on_exit_fd};
  sys::MemberEvent<Worker> monitor_watch_{*this, &Worker::on_monitor};
  sys::Ipv4Address recommended_guest_;
  std::optional<sys::Ipv6Address> recommended_guest6_;
  std::optional<ApiServer> api_;
  bool has_resolvers_ = false;  // the host has named some
  int status_ = 0;
};

}  // namespace l4n::cli
