// The start-up is the list of steps in run(). The process that the user started is worker and supervisor in
// one: it holds the network and waits for the command, so whoever signals, stops or waits for it deals with
// both. A step that fails returns, and the destructors of what was made until then undo it.
#include "cli/run.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>

#include "cli/api_socket.hpp"
#include "cli/attach_request.hpp"
#include "cli/guest.hpp"
#include "cli/outbound.hpp"
#include "cli/seal_request.hpp"
#include "cli/supervisor.hpp"
#include "cli/terminal.hpp"
#include "cli/worker.hpp"
#include "netns/attach.hpp"
#include "netns/close_descriptors.hpp"
#include "netns/init.hpp"
#include "netns/monitor.hpp"
#include "netns/sys/log.hpp"
#include "netns/user_namespace.hpp"

namespace l4n::cli {
namespace {

constexpr std::uint16_t kDns = 3;  // x.3

int fail(const std::string& text) {
  std::fprintf(stderr, "lwip4netns: %s\n", text.c_str());
  return netns::kStartFailed;
}

int fail(const sys::Error& error) { return fail(error.message()); }

int fail_without_namespaces(const sys::Error& error) {
  const std::string advice = netns::namespace_advice(error.code);
  return fail(error.message() + (advice.empty() ? "" : "\nlwip4netns: " + advice));
}

// What we open must not be taken for the command's input or output.
void fill_stdio() noexcept {
  int fd = 0;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO) {
    ::close(fd);
  }
}

netns::InitRequest init_request(const RunOptions& options, const CommandSignals& signals,
                                const Terminal& terminal) {
  netns::InitRequest request;
  request.command = options.command;
  request.signals = signals.original();
  if (!options.network.disable_dns) {
    request.nameservers.emplace_back(options.network.cidr.host(kDns));
    if (options.network.enable_ipv6) {
      request.nameservers.emplace_back(options.network.cidr6.host(kDns));
    }
  }
  request.terminal = terminal.fd();
  request.own_group = terminal.is_ours_alone();
  return request;
}

// Pipes and files that the command inherits are its own: an end of a pipe that we kept would keep somebody
// waiting. Only stderr stays, for what the worker has to say.
void leave_descriptors_to_command(const netns::Init& init, const Terminal& terminal,
                                  const CommandSignals& signals,
                                  const std::optional<netns::UnixListener>& api) {
  const std::array<int, 7> keep = {STDIN_FILENO,  STDOUT_FILENO, STDERR_FILENO,       init.fd(),
                                   terminal.fd(), signals.fd(),  api ? api->fd() : -1};
  netns::close_descriptors_except(keep);
  const sys::Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null.valid()) {
    ::dup2(null.get(), STDIN_FILENO);
    ::dup2(null.get(), STDOUT_FILENO);
  }
}

}  // namespace

int run(const RunOptions& options) {
  fill_stdio();

  // 1. Signals are for the command from here on, and wait until there is one.
  auto signals = CommandSignals::hold();
  if (!signals) {
    return fail(signals.error());
  }
  const Terminal terminal;

  // 2. The namespaces, with an init process in them, everything in place but the network.
  auto init = netns::start_init(init_request(options, *signals, terminal));
  if (!init) {
    return fail_without_namespaces(init.error());
  }

  // 3. The network, as for any other namespace. Its arguments may name descriptors (/proc/self/fd/N).
  auto api = listen_for_api(options.network);
  if (!api) {
    return fail(api.error());
  }
  leave_descriptors_to_command(*init, terminal, *signals, *api);
  Options network = options.network;
  network.pid = init->pid();
  netns::AttachRequest request = attach_request(network);
  request.announce = false;
  auto attached = netns::attach(request);
  if (!attached) {
    return netns::kStartFailed;  // it has told why
  }
  netns::MonitorRequest monitor_request;
  monitor_request.outbound_interface = outbound_interface(network, true);
  monitor_request.outbound_interface6 = outbound_interface(network, false);
  if (*api) {
    monitor_request.socket_files.push_back((*api)->file());
  }
  auto monitor = netns::start_monitor(std::move(monitor_request));
  if (!monitor) {
    return fail(monitor.error());
  }
  netns::SealRequest to_seal = seal_request(network, *monitor);
  to_seal.init = init->pid();
  sys::Log log(STDERR_FILENO);
  auto worker = Worker::create(network, guest_port(std::move(attached->tap)), *std::move(monitor), log,
                               Worker::Serves::command);
  if (!worker) {
    return fail(worker.error());
  }
  if (*api) {
    if (auto served = (*worker)->serve_api(**std::move(api)); !served) {
      return fail(served.error());
    }
  }

  // 4. From here on nothing is opened but sockets.
  if (auto sealed = seal_or_warn(to_seal, log); !sealed) {
    return fail(sealed.error());
  }

  // 5. The command begins.
  if (const int signal = CommandSignals::asked_to_end(); signal != 0) {
    return 128 + signal;
  }
  Supervisor supervisor((*worker)->loop(), *init, terminal, *signals,
                        [&](int status) { (*worker)->stop(status); });
  if (auto started = supervisor.start(); !started) {
    return fail(started.error());
  }
  const int status = (*worker)->run();
  return supervisor.ended() ? status : netns::kStartFailed;  // else the network has failed
}

}  // namespace l4n::cli
