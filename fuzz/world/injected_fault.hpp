// Faults of the world, one for each oracle: switched on, they make the product look as if it were at fault,
// and the oracle has to notice. fuzz/world/oracles_main.cpp proves that each does.
#pragma once

#include <cstdint>

namespace l4n::fuzz {

enum class InjectedFault : std::uint8_t {
  none,
  corrupt_frame,             // a byte of an IP header changes on the way to the guest
  corrupt_fragment,          // the last byte of a fragment does
  lose_fragment,             // the first fragment never gets there
  corrupt_payload_to_guest,  // a byte of a payload changes, and the checksum fits
  rename_host,               // the first byte, which names the sender, names none
  corrupt_payload_to_host,   // the guest sends another byte than its stream has
  rename_guest,              // the guest names an end that there is not
  confuse_guests,            // the guest names another of its ends
  swallow_host_byte,         // the host writes a byte that its record does not have
  swallow_guest_byte,        // the guest sends one that its record does not have, and the host sees it first
  swallow_guest_fin,         // the same with a FIN
  move_window_back,
  acknowledge_too_much,
  drop_acknowledgment,  // the flag
  lose_byte_to_guest,   // the oracle believes that the host has written one byte more
  lose_byte_to_host,    // the oracle believes that one byte more was acknowledged
  never_rest,           // the loop says that there is more to do
  deny_loopback,        // the oracle's policy denies what the gateway's allows
  deny_everything,
  // The oracle's limit is 0.
  no_flows,
  no_attempts,
  no_udp_flows,
  no_questions,
  no_pings,
  no_memory,
  no_reassembly,
  no_reassembled_bytes,
  miscount,     // the oracle's own books are wrong
  no_patience,  // what has its time does not get it
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
