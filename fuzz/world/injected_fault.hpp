// Faults of the world, one for each oracle: switched on, they make the product look as if it were at fault,
// and the oracle has to notice. fuzz/world/oracles_main.cpp proves that each does.
#pragma once

#include <cstdint>

namespace l4n::fuzz {

enum class InjectedFault : std::uint8_t {
  none,
  corrupt_frame,             // a byte of an IP header changes on the way to the guest
  corrupt_payload_to_guest,  // a byte of a payload does, and the checksum fits
  corrupt_payload_to_host,   // the guest sends another byte than its stream has
  swallow_host_byte,         // the host writes a byte that its record does not have
  move_window_back,
  acknowledge_too_much,
  deny_loopback,  // the oracle's policy denies what the gateway's allows
  no_flow_limit,  // the oracle's limits are none at all
  hold_timer,
  hold_socket,
  hold_lwip_memory,
  hold_frame_buffer,
  finish_early,       // the guest sees a FIN that the host has not sent
  carry_state_over,   // the output depends on what ran before
  read_fresh_memory,  // the output depends on memory that nobody wrote
};

void inject_fault(InjectedFault fault) noexcept;
[[nodiscard]] InjectedFault injected_fault() noexcept;
[[nodiscard]] inline bool injected(InjectedFault fault) noexcept { return injected_fault() == fault; }

}  // namespace l4n::fuzz
