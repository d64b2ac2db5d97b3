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

using Program = std::vector<Operation>;

constexpr std::uint16_t kToServer = 0;
constexpr std::uint16_t kToLoopback = 2;
constexpr std::uint16_t kWithFin = 2;
constexpr std::uint16_t kNoAnswer = 1;  // what connects

// A connection with data both ways and an orderly end, and one to the host's loopback.
const Program& connections() {
  static const Program program{
      {Kind::syn, false, 0, 0, kToServer, 0}, {Kind::data, false, 0, 700, 0, 0},
      {Kind::write, false, 0, 5000, 0, 0},    {Kind::syn, false, 1, 0, kToLoopback, 0},
      {Kind::advance, false, 0, 1, 2, 0},     {Kind::host_finish, false, 0, 0, 0, 0},
      {Kind::finish, false, 0, 0, 0, 0},      {Kind::udp, false, 0, 0, 100, 0},
      {Kind::udp_answer, false, 0, 0, 10, 0}, {Kind::advance, false, 0, 2, 2, 0},
  };
  return program;
}

// What is not over when the program ends.
Program open_connection() {
  return {{Kind::syn, false, 0, 0, kToServer, 0},
          {Kind::data, false, 0, 700, 0, 0},
          {Kind::write, false, 0, 5000, 0, 0}};
}
Program two_talkers() {
  return {{Kind::syn, false, 0, 0, kToServer, 0},
          {Kind::syn, false, 1, 0, kToLoopback, 0},
          {Kind::data, false, 0, 700, 0, 0}};
}
Program finished() {
  return {{Kind::syn, false, 0, 0, kToServer, 0}, {Kind::data, false, 0, 700, 0, kWithFin}};
}
Program attempt() {
  return {{Kind::connects, false, 0, kNoAnswer, 0, 0}, {Kind::syn, false, 0, 0, kToServer, 0}};
}
// What the guest does not acknowledge waits in the gateway.
Program unacknowledged() {
  return {{Kind::syn, false, 0, 0, kToServer, 0},
          {Kind::automatic, false, 0, 0, 0, 0},
          {Kind::write, false, 0, 60'000, 0, 0}};
}
Program datagram() { return {{Kind::udp, false, 0, kToServer, 100, 0}}; }
Program large_answer() {
  return {{Kind::udp, false, 0, kToServer, 100, 0}, {Kind::udp_answer, false, 0, kToServer, 3000, 0}};
}
Program ping() { return {{Kind::ping, false, 0, kToServer, 100, 0}}; }
Program question() { return {{Kind::dns, false, 0, 7, 0, 0}}; }
Program first_fragment() { return {{Kind::fragment, false, 0, 0, 104, 1}}; }
Program end_of_interface() { return {{Kind::port_ends, false, 0, 0, 0, 0}}; }

struct Proof {
  InjectedFault fault;
  std::string_view says;
  Program program = connections();
};

const std::vector<Proof>& proofs() {
  using F = InjectedFault;
  static const std::vector<Proof> all{
      {F::corrupt_frame, "a bad frame is sent"},
      {F::corrupt_fragment, "a bad packet is sent in fragments", large_answer()},
      {F::lose_fragment, "a packet was sent without one of its fragments", large_answer()},
      {F::corrupt_payload_to_guest, "the guest gets another byte than the host has written"},
      {F::rename_host, "the guest gets bytes that no host has written"},
      {F::corrupt_payload_to_host, "a host gets another byte than the guest has sent"},
      {F::rename_guest, "a host gets bytes that no guest has sent"},
      {F::confuse_guests, "a host gets what was for another", two_talkers()},
      {F::swallow_host_byte, "of a host that has written"},
      {F::swallow_guest_byte, "a host gets more than the guest has sent"},
      {F::swallow_guest_fin, "a host gets a FIN that the guest has not sent", finished()},
      {F::move_window_back, "the right edge of the window moves back"},
      {F::acknowledge_too_much, "what was never sent is acknowledged"},
      {F::drop_acknowledgment, "a segment without an acknowledgment is sent"},
      {F::lose_byte_to_guest, "bytes of 5001 that the host has written", open_connection()},
      {F::lose_byte_to_host, "bytes of 701 that were acknowledged", open_connection()},
      {F::never_rest, "the loop never comes to rest"},
      {F::deny_loopback, "a connection to a denied destination"},
      {F::deny_everything, "a datagram to a denied destination", datagram()},
      {F::deny_everything, "a ping to a denied destination", ping()},
      {F::deny_everything, "a question to somebody who is no resolver", question()},
      {F::miscount, "the end of the interface is told 1 times of 2", end_of_interface()},
      {F::miscount, "1 ports are listed, 0 counted", ping()},
      {F::no_flows, "more TCP flows than the limit"},
      {F::no_attempts, "more TCP attempts than the limit", attempt()},
      {F::no_udp_flows, "more UDP flows than the limit", datagram()},
      {F::no_questions, "more questions than the limit", question()},
      {F::no_pings, "more pings than the limit", ping()},
      {F::no_memory, "connections hold more memory than the limit", unacknowledged()},
      {F::no_reassembly, "more datagrams in reassembly than the limit", first_fragment()},
      {F::no_reassembled_bytes, "more bytes in reassembly than the limit", first_fragment()},
      {F::no_patience, "UDP flows are left after their time", datagram()},
      {F::no_patience, "pings are left after their time", ping()},
      {F::no_patience, "fragments are left after their time", first_fragment()},
      {F::no_patience, "questions are left after their time", question()},
      {F::no_patience, "TCP attempts are left after their time", attempt()},
      {F::no_patience, "TCP flows are left after their time", open_connection()},
      {F::hold_timer, "timers are left"},
      {F::hold_socket, "host sockets are left"},
      {F::hold_lwip_memory, "memory of lwIP is left"},
      {F::hold_frame_buffer, "frame buffers are left"},
      {F::finish_early, "the guest gets a FIN that the host has not sent"},
      {F::carry_state_over, "one input gives two outputs"},
#ifndef __SANITIZE_ADDRESS__  // its allocator has bytes of its own for fresh memory
      {F::read_fresh_memory, "one input gives two outputs"},
#endif
  };
  return all;
}

std::vector<std::byte> bytes_of(const Program& operations) {
  std::vector<std::byte> bytes(kSessionHeader + operations.size() * Operation::kSize);
  bytes[kEndingAt] = std::byte{kEndsPatiently};
  for (std::size_t i = 0; i < operations.size(); ++i) {
    operations[i].put(
        sys::MutableBytes(bytes).subspan(kSessionHeader + i * Operation::kSize, Operation::kSize));
  }
  return bytes;
}

struct Outcome {
  int status = 0;
  std::string errors;
};

Outcome run_with(InjectedFault fault, const Program& program) {
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
    const std::vector<std::byte> input = bytes_of(program);
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
  const Outcome outcome = run_with(proof.fault, proof.program);
  const bool noticed = WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGABRT &&
                       outcome.errors.find(proof.says) != std::string::npos;
  fmt::print("{} \"{}\"\n{}", noticed ? "ok    " : "FAILED", proof.says, noticed ? "" : outcome.errors);
  return noticed;
}

// Without a fault nothing is noticed.
bool is_innocent(const Program& program) {
  const Outcome outcome = run_with(InjectedFault::none, program);
  const bool innocent = WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0;
  fmt::print("{}", innocent ? "" : "FAILED without a fault\n" + outcome.errors);
  return innocent;
}

int prove_all() {
  int failures = 0;
  for (const Proof& proof : proofs()) {
    failures += proves(proof) && is_innocent(proof.program) ? 0 : 1;
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace l4n::fuzz

int main() { return l4n::fuzz::prove_all(); }
