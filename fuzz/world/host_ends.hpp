// The connections as their ends outside know them: what was written there, and what must be true of what
// arrives there.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "fuzz/world/guest_life.hpp"
#include "tests/integration/support/fake_host.hpp"

namespace l4n::fuzz {

class HostEnds {
 public:
  explicit HostEnds(integration::FakeHost& host) noexcept : host_(host) {}

  // Sockets are numbered as FakeHost does. Writes continue the socket's stream.
  void write(std::size_t socket, std::size_t size);
  void finish(std::size_t socket);
  [[nodiscard]] bool can_write(std::size_t socket);

  // Of a segment that goes to the guest.
  [[nodiscard]] std::size_t sender_of(std::byte first) const;
  void check_written(std::size_t socket, std::size_t offset, sys::Bytes data);
  void check_finished(std::optional<std::size_t> socket, std::size_t offset);

  // Oracles: what a socket has received is the beginning of one guest's stream and nothing that the guest
  // has not sent, and it comes where the guest has addressed it; a socket is shut down only behind the
  // guest's FIN.
  void check_received(std::deque<GuestLife>& lives,
                      const std::function<bool(const GuestLife&, const nat::HostTarget&)>& belong_together);
  // Oracle, for when everybody has had time: on connections that live what was acknowledged to the guest has
  // reached the host, and what the host has written the guest.
  void check_arrived(const std::deque<GuestLife>& lives);

 private:
  struct End {
    std::size_t written = 0;
    bool finished = false;
    std::size_t checked = 0;
    std::optional<std::size_t> life;
  };

  [[nodiscard]] End& end(std::size_t socket);
  [[nodiscard]] bool lives_on(std::size_t socket, const GuestLife& life) const;

  integration::FakeHost& host_;
  std::vector<End> ends_;
};

}  // namespace l4n::fuzz
