// Executes a program of operations (operations.hpp) in a World.
#pragma once

#include "fuzz/world/datagrams.hpp"
#include "fuzz/world/guest_ends.hpp"
#include "fuzz/world/host_ends.hpp"
#include "fuzz/world/operations.hpp"
#include "fuzz/world/world.hpp"

namespace l4n::fuzz {

class Session {
 public:
  explicit Session(const WorldOptions& options);

  void perform(const Operation& operation);
  // The end of the program: World::finish().
  void finish(bool patiently);

 private:
  void host_tcp(const Operation& operation);
  void forwards(const Operation& operation);
  void forward(const Operation& operation);
  void lacks(const Operation& operation);
  void administration(const Operation& operation);
  void time_and_wire(const Operation& operation);
  void plan_connects(const Operation& operation);
  [[nodiscard]] std::optional<std::size_t> socket_of(const Operation& operation);
  void settle();
  void receive();
  void wait_for_all();
  void answer_neighbour(const integration::Packet& packet);
  void answer_arp(const integration::Packet& packet);
  void answer_solicitation(const integration::Packet& packet);

  World world_;
  HostEnds hosts_;
  GuestEnds guests_;
  Datagrams datagrams_;
  bool answers_neighbours_ = true;
  std::uint16_t advertisement_form_ = 0;  // bits
};

// The whole of it: options of the world, operations, the end.
void run_session(sys::Bytes program);
[[nodiscard]] std::string session_text(sys::Bytes program);
// Bytes of a program before its operations, and which of them tells how it ends.
inline constexpr std::size_t kSessionHeader = 4;
inline constexpr std::size_t kEndingAt = 2;
inline constexpr std::uint8_t kEndsPatiently = 1;

}  // namespace l4n::fuzz
