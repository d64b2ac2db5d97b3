// lwip4netns: network for an unprivileged network namespace.
//
// The start-up is the list of steps in serve(). Up to seal() things are opened; after it, only sockets are.

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <exception>
#include <optional>
#include <span>
#include <string>

#include "cli/api_socket.hpp"
#include "cli/guest.hpp"
#include "cli/options.hpp"
#include "cli/outbound.hpp"
#include "cli/run.hpp"
#include "cli/run_options.hpp"
#include "cli/seal_request.hpp"
#include "cli/startup_text.hpp"
#include "cli/worker.hpp"
#include "netns/close_descriptors.hpp"
#include "netns/monitor.hpp"
#include "netns/sys/log.hpp"

#ifdef __SANITIZE_ADDRESS__
// A leak check at the end traces the process from a thread: the filter of system calls knows neither.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }
#endif

namespace {

using namespace l4n;

int fail(const sys::Error& error) {
  std::fprintf(stderr, "%s\n", error.message().c_str());
  return 1;
}

void print(std::FILE* stream, const std::string& text) {
  std::fputs(text.c_str(), stream);
  std::fflush(stream);
}

// The descriptors of the caller are ours alone: a process that we start must not keep them open.
void keep_to_ourselves(const cli::Options& options) {
  for (const auto& fd : {options.exit_fd, options.ready_fd}) {
    if (fd) {
      ::fcntl(*fd, F_SETFD, FD_CLOEXEC);
    }
  }
}

// A directory that somebody has left open to us would be a way out of the sandbox. Only when all that the
// arguments name is open: they may name a descriptor (/proc/self/fd/N).
void close_inherited(const cli::Options& options, const cli::Guest& guest,
                     const std::optional<netns::UnixListener>& api) {
  const std::array<int, 9> keep = {STDIN_FILENO,
                                   STDOUT_FILENO,
                                   STDERR_FILENO,
                                   options.exit_fd.value_or(-1),
                                   options.ready_fd.value_or(-1),
                                   guest.port.frames->fd(),
                                   guest.target ? guest.target->pidfd.get() : -1,
                                   guest.socket ? guest.socket->fd() : -1,
                                   api ? api->fd() : -1};
  netns::close_descriptors_except(keep);
}

sys::Result<void> announce_ready(const cli::Options& options) {
  if (!options.ready_fd) {
    return {};
  }
  const sys::Fd ready(*options.ready_fd);
  if (::write(ready.get(), "1", 1) != 1) {
    return sys::errno_error("cannot write to the ready descriptor");
  }
  return {};
}

int serve(const cli::Options& options) {
  keep_to_ourselves(options);

  // 1. What carries the guest's frames: a child joins the guest and brings its interface back, say.
  auto guest = cli::open_guest(options);
  if (!guest) {
    return fail(guest.error());
  }
  if (!guest->port.frames) {
    return 0;
  }

  // 2. The API socket: it listens before anybody reads of it.
  auto api = cli::listen_for_api(options);
  if (!api) {
    return fail(api.error());
  }
  close_inherited(options, *guest, *api);
  print(stdout, cli::startup_text(options));

  // 3. The monitor: it follows resolv.conf and the target for us.
  netns::MonitorRequest monitor_request;
  monitor_request.outbound_interface = cli::outbound_interface(options, true);
  monitor_request.outbound_interface6 = cli::outbound_interface(options, false);
  monitor_request.target = std::move(guest->target);
  if (guest->socket) {
    monitor_request.socket_files.push_back(guest->socket->file());
  }
  if (*api) {
    monitor_request.socket_files.push_back((*api)->file());
  }
  auto monitor = netns::start_monitor(std::move(monitor_request));
  if (!monitor) {
    return fail(monitor.error());
  }
  const netns::SealRequest seal_request = cli::seal_request(options, *monitor);
  if (guest->socket) {
    guest->socket->leave_file();
  }

  // 4. The loop, the gateway, and what can end them.
  sys::Log log(STDERR_FILENO);
  auto worker = cli::Worker::create(options, std::move(guest->port), *std::move(monitor), log);
  if (!worker) {
    return fail(worker.error());
  }
  if (*api) {
    if (auto served = (*worker)->serve_api(**std::move(api)); !served) {
      return fail(served.error());
    }
  }

  // 5. From here on nothing is opened but sockets.
  if (auto sealed = cli::seal_or_warn(seal_request, log); !sealed) {
    return fail(sealed.error());
  }

  // 6. Everything works from this byte on.
  if (auto announced = announce_ready(options); !announced) {
    return fail(announced.error());
  }
  return (*worker)->run();
}

int serve_or_explain(std::span<const char* const> argv) {
  const cli::ParseOutcome outcome = cli::parse_options(argv);
  print(stdout, outcome.out);
  print(stderr, outcome.err);
  if (!outcome.options) {
    return outcome.exit_code;
  }
  return serve(*outcome.options);
}

int run_or_explain(std::span<const char* const> argv) {
  const cli::RunParseOutcome outcome = cli::parse_run_options(argv);
  print(stdout, outcome.out);
  print(stderr, outcome.err);
  return outcome.options ? cli::run(*outcome.options) : outcome.exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::span<const char* const> words(argv, static_cast<std::size_t>(argc));
    return cli::is_run(words) ? run_or_explain(words) : serve_or_explain(words);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "lwip4netns: %s\n", e.what());
    return 1;
  }
}
