// Proves the oracles: for each of them a fault of the world is switched on, a session runs in a child, and
// the child has to abort with the oracle's words. Without a fault it has to end well.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/engine/determinism.hpp"
#include "fuzz/world/injected_fault.hpp"
#include "fuzz/world/session.hpp"
#include "netns/sys/fd.hpp"

namespace l4n::fuzz {
namespace {

using Kind = OperationKind;

struct Proof {
  InjectedFault fault;
  std::string_view says;
};

constexpr std::array kProofs{
    Proof{InjectedFault::corrupt_frame, "a bad frame is sent"},
    Proof{InjectedFault::corrupt_payload_to_guest, "the guest gets another byte than the host has written"},
    Proof{InjectedFault::corrupt_payload_to_host, "a host gets another byte than the guest has sent"},
    Proof{InjectedFault::swallow_host_byte, "of a host that has written"},
    Proof{InjectedFault::move_window_back, "the right edge of the window moves back"},
    Proof{InjectedFault::acknowledge_too_much, "what was never sent is acknowledged"},
    Proof{InjectedFault::deny_loopback, "a connection to a denied destination"},
    Proof{InjectedFault::no_flow_limit, "more TCP flows than the limit"},
    Proof{InjectedFault::hold_timer, "timers are left"},
    Proof{InjectedFault::hold_socket, "host sockets are left"},
    Proof{InjectedFault::hold_lwip_memory, "memory of lwIP is left"},
    Proof{InjectedFault::hold_frame_buffer, "frame buffers are left"},
    Proof{InjectedFault::finish_early, "the guest gets a FIN that the host has not sent"},
    Proof{InjectedFault::carry_state_over, "one input gives two outputs"},
    Proof{InjectedFault::read_fresh_memory, "one input gives two outputs"},
};

// A connection with data both ways and an orderly end, and one to the host's loopback.
std::vector<std::byte> program() {
  const std::array operations{
      Operation{Kind::syn, false, 0, 0, 0, 0},         Operation{Kind::data, false, 0, 700, 0, 0},
      Operation{Kind::write, false, 0, 5000, 0, 0},    Operation{Kind::syn, false, 1, 0, 2, 0},
      Operation{Kind::advance, false, 0, 1, 2, 0},     Operation{Kind::host_finish, false, 0, 0, 0, 0},
      Operation{Kind::finish, false, 0, 0, 0, 0},      Operation{Kind::udp, false, 0, 0, 100, 0},
      Operation{Kind::udp_answer, false, 0, 0, 10, 0}, Operation{Kind::advance, false, 0, 2, 2, 0},
  };
  std::vector<std::byte> bytes(kSessionHeader + operations.size() * Operation::kSize);
  for (std::size_t i = 0; i < operations.size(); ++i) {
    operations.at(i).put(
        sys::MutableBytes(bytes).subspan(kSessionHeader + i * Operation::kSize, Operation::kSize));
  }
  return bytes;
}

struct Outcome {
  int status = 0;
  std::string errors;
};

Outcome run_with(InjectedFault fault) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) {
    std::abort();
  }
  const sys::Fd read_end(ends[0]);
  sys::Fd write_end(ends[1]);
  std::fflush(stdout);  // or the child would write it too
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(write_end.get(), STDERR_FILENO);
    inject_fault(fault);
    const std::vector<std::byte> input = program();
    run_again(input, run_once(input));
    ::_exit(0);
  }
  write_end.reset();
  Outcome outcome;
  std::array<char, 4096> piece{};
  for (ssize_t n = 1; n > 0;) {
    n = ::read(read_end.get(), piece.data(), piece.size());
    outcome.errors.append(piece.data(), static_cast<std::size_t>(n > 0 ? n : 0));
  }
  ::waitpid(child, &outcome.status, 0);
  return outcome;
}

bool proves(const Proof& proof) {
  const Outcome outcome = run_with(proof.fault);
  const bool noticed = WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGABRT &&
                       outcome.errors.find(proof.says) != std::string::npos;
  fmt::print("{} \"{}\"\n{}", noticed ? "ok    " : "FAILED", proof.says, noticed ? "" : outcome.errors);
  return noticed;
}

int prove_all() {
  const Outcome innocent = run_with(InjectedFault::none);
  int failures = WIFEXITED(innocent.status) && WEXITSTATUS(innocent.status) == 0 ? 0 : 1;
  fmt::print("{} without a fault nothing is noticed\n{}", failures == 0 ? "ok    " : "FAILED",
             innocent.errors);
  for (const Proof& proof : kProofs) {
    failures += proves(proof) ? 0 : 1;
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace l4n::fuzz

int main() { return l4n::fuzz::prove_all(); }
