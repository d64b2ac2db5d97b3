#include "netns/monitor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <system_error>
#include <utility>

#include "netns/close_descriptors.hpp"
#include "netns/resolv_watch.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/target_watch.hpp"
#include "netns/worker_end.hpp"

namespace l4n::netns {
namespace {

using sys::Fd;
using sys::Result;

using std::chrono::milliseconds;

// A name server may name an interface (fe80::1%eth0) that is not there yet.
constexpr sys::Duration kScopeRetry = std::chrono::seconds(5);
// How long the worker waits for the monitor's last work. It is a matter of milliseconds, unless a file system
// hangs or the machine does.
constexpr sys::Duration kMonitorEnd = std::chrono::seconds(2);

Nameservers to_message(const ResolvConf& conf) {
  Nameservers message;
  for (const Nameserver& server : conf.nameservers) {
    const std::uint32_t scope_id = server.scope.empty() ? 0 : resolve_scope(server.scope);
    if (server.scope.empty() || scope_id != 0) {
      message.servers.push_back({server.address, scope_id});
    }
  }
  for (const std::string& domain : conf.search) {
    const bool fits = !domain.empty() && domain.size() <= 255 && message.search.size() < kMaxSearchDomains;
    if (fits) {
      message.search.push_back(domain);
    }
  }
  return message;
}

// Sends without waiting. A worker that does not read finds the latest state when it does.
class Outbox final : private sys::EventHandler {
 public:
  Outbox(sys::EventLoop& loop, int channel) : loop_(loop), channel_(channel) {}

  Result<void> start() { return loop_.add(channel_, EPOLLIN | EPOLLRDHUP, *this); }

  void put(Nameservers message) {
    nameservers_ = std::move(message);
    flush();
  }
  void put(TargetGone message) {
    gone_ = message;
    flush();
  }
  void put(InterfaceAddresses message) {
    (message.is_v4 ? addresses_ : addresses6_) = std::move(message);
    flush();
  }

 private:
  void on_event(std::uint32_t events) noexcept override {
    if ((events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0) {
      loop_.stop();
      return;
    }
    if ((events & EPOLLIN) != 0) {
      discard_input();
    }
    if ((events & EPOLLOUT) != 0) {
      flush();
    }
  }

  // Nothing is expected; what comes must not keep the loop turning.
  void discard_input() noexcept {
    std::array<std::byte, 64> unused{};
    static_cast<void>(::recv(channel_, unused.data(), unused.size(), MSG_DONTWAIT));
  }

  void flush() noexcept {
    if (nameservers_ && send(*nameservers_)) {
      nameservers_.reset();
    }
    if (!nameservers_ && addresses_ && send(*addresses_)) {
      addresses_.reset();
    }
    if (!nameservers_ && !addresses_ && addresses6_ && send(*addresses6_)) {
      addresses6_.reset();
    }
    if (!nameservers_ && !addresses_ && !addresses6_ && gone_ && send(*gone_)) {
      gone_.reset();
    }
    const bool waiting = nameservers_ || addresses_ || addresses6_ || gone_;
    if (waiting != waiting_) {
      waiting_ = waiting;
      static_cast<void>(loop_.modify(channel_, EPOLLIN | EPOLLRDHUP | (waiting ? EPOLLOUT : 0U)));
    }
  }

  // False: not now. A closed channel shows as an event.
  [[nodiscard]] bool send(const MonitorMessage& message) const noexcept {
    std::array<std::byte, kMaxMonitorMessage> buffer{};
    const std::size_t size = encode(message, buffer);
    return ::send(channel_, buffer.data(), size, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 ||
           (errno != EAGAIN && errno != EINTR && errno != ENOBUFS);
  }

  sys::EventLoop& loop_;
  int channel_;
  std::optional<Nameservers> nameservers_;
  std::optional<InterfaceAddresses> addresses_;
  std::optional<InterfaceAddresses> addresses6_;
  std::optional<TargetGone> gone_;
  bool waiting_ = false;
};

// Tells the worker the name servers whenever what they mean has changed.
class NameserverReporter final : private sys::TimerHandler {
 public:
  NameserverReporter(sys::EventLoop& loop, Outbox& outbox, std::string path)
      : outbox_(outbox),
        watch_(loop, std::move(path), [this](const ResolvConf&) { report(); }),
        scope_timer_(loop.timers(), *this) {}

  void start() {
    watch_.start();
    report();
  }

 private:
  void on_timer() noexcept override { report(); }

  void report() {
    Nameservers message = to_message(watch_.current());
    if (message.servers.size() < watch_.current().nameservers.size()) {
      scope_timer_.arm(kScopeRetry);
    } else {
      scope_timer_.cancel();
    }
    if (!told_ || *told_ != message) {
      told_ = message;
      outbox_.put(std::move(message));
    }
  }

  Outbox& outbox_;
  ResolvWatch watch_;
  sys::Timer scope_timer_;
  std::optional<Nameservers> told_;
};

// A terminal's or a service manager's signal goes to both of us: the worker ends in good order and takes us
// with it by closing the channel. Stop signals do not stop us, because the worker may decide to go on.
constexpr auto kIgnored =
    std::to_array<int>({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU});

void set_up_signals() {
  for (int signal = 1; signal < NSIG; ++signal) {
    const bool ignored = std::find(kIgnored.begin(), kIgnored.end(), signal) != kIgnored.end();
    struct sigaction action {};
    action.sa_handler = ignored ? SIG_IGN : SIG_DFL;
    ::sigaction(signal, &action, nullptr);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// 0, 1 and 2 are about to become /dev/null. A caller may have started us without them.
void move_above_stdio(Fd& fd) {
  if (fd.valid() && fd.get() <= 2) {
    fd.reset(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  }
}

void leave_worker_behind(MonitorRequest& request, Fd& channel, const WorkerEnd& worker_end) {
  move_above_stdio(channel);
  if (request.target) {
    move_above_stdio(request.target->pidfd);
  }
  set_up_signals();
  ::prctl(PR_SET_NAME, "lwip4netns-mon", 0, 0, 0);
  const std::array<int, 4> keep = {channel.get(), request.target ? request.target->pidfd.get() : -1,
                                   worker_end.pidfd(), worker_end.report_fd()};
  close_descriptors_except(keep);
  detach_stdio();
  if (::chdir("/") != 0) {
    // The caller's directory stays busy then, which is no reason to give up.
  }
}

Result<void> run_monitor(MonitorRequest request, int channel) {
  const sys::SystemClock clock;
  auto loop = sys::EventLoop::create(clock);
  if (!loop) {
    return loop.error();
  }
  Outbox outbox(**loop, channel);
  if (auto started = outbox.start(); !started) {
    return started;
  }
  NameserverReporter nameservers(**loop, outbox, std::move(request.resolv_conf_path));
  nameservers.start();
  std::optional<TargetWatch> target;
  if (request.target) {
    target.emplace(**loop, std::move(*request.target), [&outbox] { outbox.put(TargetGone{}); });
    target->start();
  }
  std::array<std::optional<AddressWatch>, 2> addresses;
  for (const bool is_v4 : {true, false}) {
    std::string& interface = is_v4 ? request.outbound_interface : request.outbound_interface6;
    if (interface.empty()) {
      continue;
    }
    AddressWatch& watch = addresses.at(is_v4 ? 0 : 1)
                              .emplace(**loop, std::move(interface), is_v4,
                                       [&outbox](const InterfaceAddresses& now) { outbox.put(now); });
    if (auto started = watch.start(); !started) {
      return started.error();
    }
  }
  return (*loop)->run();
}

// A worker that was killed closes its descriptors one by one: the channel's end may come before the
// listener's, and a socket with a listener is not removed.
void remove_left_behind(const SocketFile& file) noexcept {
  constexpr int kTries = 20;
  constexpr timespec kPause{0, 10'000'000};
  remove_socket_file(file);
  for (int i = 0; i < kTries && ::access(file.path.c_str(), F_OK) == 0; ++i) {
    ::nanosleep(&kPause, nullptr);
    remove_socket_file(file);
  }
}

[[noreturn]] void be_monitor(MonitorRequest request, Fd channel, pid_t worker) {
  const WorkerEnd worker_end(worker);
  leave_worker_behind(request, channel, worker_end);
  const auto socket_files = request.socket_files;
  const auto ended = run_monitor(std::move(request), channel.get());
  for (const SocketFile& file : socket_files) {
    remove_left_behind(file);
  }
  worker_end.report_seccomp();
  ::_exit(ended ? 0 : 1);  // not exit(): what is buffered belongs to the worker
}

// True once the child is gone (or is nobody's to wait for).
bool reap_within(pid_t pid, sys::Duration limit) {
  const sys::SystemClock clock;
  const sys::Time deadline = clock.now() + limit;
  for (;;) {
    const pid_t reaped = ::waitpid(pid, nullptr, WNOHANG);
    if (reaped == pid || (reaped < 0 && errno == ECHILD)) {
      return true;
    }
    if (clock.now() >= deadline) {
      return false;
    }
    const timespec pause{0, 1'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

}  // namespace

Monitor::Monitor(Monitor&& other) noexcept
    : channel_(std::move(other.channel_)), pid_(std::exchange(other.pid_, -1)) {}

Monitor& Monitor::operator=(Monitor&& other) noexcept {
  if (this != &other) {
    stop();
    channel_ = std::move(other.channel_);
    pid_ = std::exchange(other.pid_, -1);
  }
  return *this;
}

Monitor::~Monitor() { stop(); }

Monitor::ReadResult Monitor::read() {
  std::array<std::byte, kMaxMonitorMessage> buffer{};
  // MSG_TRUNC: the true length of a message that is too long, which is therefore malformed.
  const ssize_t size = ::recv(channel_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
    return {ReadStatus::empty, std::nullopt};
  }
  if (size <= 0 || static_cast<std::size_t>(size) > buffer.size()) {
    return {ReadStatus::closed, std::nullopt};
  }
  auto message = decode_monitor_message(std::span(buffer).first(static_cast<std::size_t>(size)));
  if (!message) {
    return {ReadStatus::closed, std::nullopt};
  }
  return {ReadStatus::message, std::move(message)};
}

Monitor::ReadResult Monitor::wait(sys::Duration limit) {
  const auto ms = std::clamp<std::int64_t>(std::chrono::ceil<milliseconds>(limit).count(), 0, 1'000'000);
  pollfd p{channel_.get(), POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&p, 1, static_cast<int>(ms));
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) {
    return {ReadStatus::empty, std::nullopt};
  }
  return read();
}

void Monitor::stop() noexcept {
  channel_.reset();
  const pid_t pid = std::exchange(pid_, -1);
  if (pid <= 0 || reap_within(pid, kMonitorEnd)) {
    return;
  }
  // It hangs in a file system, say. If even this does not help, init will reap it.
  ::kill(pid, SIGKILL);
  static_cast<void>(reap_within(pid, milliseconds(500)));
}

Result<Monitor> start_monitor(MonitorRequest request) {
  std::error_code no_directory;  // then the path stays as it is
  if (auto absolute = std::filesystem::absolute(request.resolv_conf_path, no_directory); !no_directory) {
    request.resolv_conf_path = absolute.string();
  }
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()) != 0) {
    return sys::errno_error("cannot make a socket pair for the monitor");
  }
  Fd workers(pair[0]);
  Fd monitors(pair[1]);
  const pid_t worker = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) {
    return sys::errno_error("cannot fork the monitor");
  }
  if (pid == 0) {
    workers.reset();
    be_monitor(std::move(request), std::move(monitors), worker);
  }
  return Monitor(std::move(workers), pid);
}

}  // namespace l4n::netns
