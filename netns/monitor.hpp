// The monitor: a child of the worker that stays outside the packet path and outside the sandbox.
//
// It follows resolv.conf, the target's end and the outbound interfaces' addresses, and tells the worker over
// a socketpair. It holds none of the descriptors it inherited (but for a stderr that is no pipe, where it has
// something to say), so nobody who waits for the end of the worker's stdio, ready or exit descriptor waits
// for the monitor. Each of the two ends when the other does, SIGKILL included: the socketpair tells. Last of
// all it removes the worker's sockets in the file system: a worker that was killed, or that sees none any
// more, could not. And it says on stderr when seccomp has killed the worker (see WorkerEnd).
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "netns/monitor_messages.hpp"
#include "netns/sys/clock.hpp"
#include "netns/sys/fd.hpp"
#include "netns/sys/result.hpp"
#include "netns/target.hpp"
#include "netns/unix_listener.hpp"

namespace l4n::netns {

struct MonitorRequest {
  std::string resolv_conf_path = "/etc/resolv.conf";
  std::optional<WatchedTarget> target;   // nothing to watch where the TAP or a socket was handed to us
  std::vector<SocketFile> socket_files;  // removed when the worker has ended, however it did
  // For IPv4 and IPv6: told by InterfaceAddresses, now and when it changes; empty: none.
  std::string outbound_interface;
  std::string outbound_interface6;
};

// The worker's end.
class Monitor {
 public:
  enum class ReadStatus {
    message,  // `message` is set
    empty,    // nothing to read now
    closed,   // the monitor has ended, or sent nonsense: the worker must end too
  };
  struct ReadResult {
    ReadStatus status = ReadStatus::closed;
    std::optional<MonitorMessage> message;
  };

  Monitor(sys::Fd channel, pid_t pid) noexcept : channel_(std::move(channel)), pid_(pid) {}
  Monitor(Monitor&& other) noexcept;
  Monitor& operator=(Monitor&& other) noexcept;
  // As stop().
  ~Monitor();

  // For EventLoop::add with EPOLLIN; non-blocking.
  [[nodiscard]] int fd() const noexcept { return channel_.get(); }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  // The next message, without waiting. Call until `empty`.
  [[nodiscard]] ReadResult read();
  // Waits for the next message; `empty` when `limit` passes. For start-up only: the first message is
  // Nameservers and is sent at once.
  [[nodiscard]] ReadResult wait(sys::Duration limit);

  // Closes the channel, which ends the monitor, and reaps it.
  void stop() noexcept;

 private:
  sys::Fd channel_;
  pid_t pid_ = -1;
};

// Forks the monitor. To be called while the process has one thread.
[[nodiscard]] sys::Result<Monitor> start_monitor(MonitorRequest request);

}  // namespace l4n::netns
