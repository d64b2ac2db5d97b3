// What a program can do besides TCP: datagrams, pings, DNS questions and fragments of the guest, and what the
// host answers.
#pragma once

#include "fuzz/world/operations.hpp"
#include "fuzz/world/world.hpp"

namespace l4n::fuzz {

class Datagrams {
 public:
  explicit Datagrams(World& world) noexcept : world_(world) {}

  // What `operation` says, when it is one of these.
  void perform(const Operation& operation);

 private:
  void guest(const Operation& operation);
  void host(const Operation& operation);
  void send_udp(const Operation& operation);
  void send_super_datagram(sys::Bytes packet, bool v4);
  void send_ping(const Operation& operation);
  void ask_dns(const Operation& operation);
  void send_fragment(const Operation& operation);
  void answer_udp(const Operation& operation);
  void fail_udp(const Operation& operation);
  void answer_ping(const Operation& operation);
  void answer_dns(const Operation& operation);

  World& world_;
};

}  // namespace l4n::fuzz
