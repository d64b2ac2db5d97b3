#include "fuzz/world/host_ends.hpp"

#include "fuzz/engine/oracle.hpp"
#include "fuzz/world/injected_fault.hpp"

namespace l4n::fuzz {
namespace {

// The numbers of a stream's senders are one byte, and the guest's come first.
constexpr std::size_t kFirstHost = 128;

std::uint8_t number_of(std::size_t socket) { return static_cast<std::uint8_t>(kFirstHost + socket); }

}  // namespace

HostEnds::End& HostEnds::end(std::size_t socket) {
  if (socket >= ends_.size()) {
    ends_.resize(socket + 1);
  }
  return ends_[socket];
}

bool HostEnds::can_write(std::size_t socket) {
  return kFirstHost + socket < 256 && !end(socket).finished && !host_.socket(socket).closed();
}

void HostEnds::write(std::size_t socket, std::size_t size) {
  End& e = end(socket);
  host_.socket(socket).write(stream_bytes(number_of(socket), e.written, size));
  e.written += size;
  if (injected(InjectedFault::swallow_host_byte) && size > 1) {
    e.written -= 1;
  }
}

void HostEnds::finish(std::size_t socket) {
  end(socket).finished = true;
  host_.socket(socket).finish();
}

std::size_t HostEnds::sender_of(std::byte first) const {
  const auto number = std::to_integer<std::size_t>(first);
  FUZZ_REQUIRE(number >= kFirstHost && number - kFirstHost < host_.connects(),
               "the guest gets bytes that no host has written");
  return number - kFirstHost;
}

void HostEnds::check_written(std::size_t socket, std::size_t offset, sys::Bytes data) {
  const std::size_t written = end(socket).written;
  FUZZ_REQUIRE(offset + data.size() <= written, "the guest gets bytes {} to {} of a host that has written {}",
               offset, offset + data.size(), written);
  const std::size_t same = first_difference(number_of(socket), offset, data);
  FUZZ_REQUIRE(same == data.size(), "the guest gets another byte than the host has written, at offset {}",
               offset + same);
}

void HostEnds::check_finished(std::optional<std::size_t> socket, std::size_t offset) {
  if (!socket) {
    return;  // no byte has named the sender
  }
  FUZZ_REQUIRE(end(*socket).finished && offset == end(*socket).written,
               "the guest gets a FIN that the host has not sent");
}

void HostEnds::check_received(
    std::deque<GuestLife>& lives,
    const std::function<bool(const GuestLife&, const nat::HostTarget&)>& belong_together) {
  for (std::size_t socket = 0; socket < host_.connects(); ++socket) {
    const integration::HostSocket& s = host_.socket(socket);
    End& e = end(socket);
    if (e.checked == s.received().size() && !s.shut_down()) {
      continue;
    }
    if (!e.life && !s.received().empty()) {
      const auto number = std::to_integer<std::size_t>(s.received().front());
      FUZZ_REQUIRE(number < lives.size(), "a host gets bytes that no guest has sent");
      FUZZ_REQUIRE(s.is_client() || belong_together(lives[number], s.target()),
                   "a host gets what was for another: {}", sys::to_string(s.target().endpoint));
      e.life = number;
    }
    if (!e.life) {
      continue;
    }
    const GuestLife& life = lives[*e.life];
    const std::size_t sent = life.sent() - (injected(InjectedFault::swallow_guest_byte) ? 1U : 0U);
    FUZZ_REQUIRE(s.received().size() <= sent, "a host gets more than the guest has sent: {} bytes of {}",
                 s.received().size(), sent);
    const std::size_t same =
        first_difference(life.number(), e.checked, sys::Bytes(s.received()).subspan(e.checked));
    FUZZ_REQUIRE(e.checked + same == s.received().size(),
                 "a host gets another byte than the guest has sent, at offset {}", e.checked + same);
    e.checked = s.received().size();
    const bool may_end = life.may_end_at(e.checked) && !injected(InjectedFault::swallow_guest_fin);
    FUZZ_REQUIRE(!s.shut_down() || may_end, "a host gets a FIN that the guest has not sent");
  }
}

bool HostEnds::lives_on(std::size_t socket, const GuestLife& life) const {
  return !host_.socket(socket).closed() && !life.was_reset();
}

void HostEnds::check_arrived(const std::deque<GuestLife>& lives) {
  for (std::size_t socket = 0; socket < host_.connects(); ++socket) {
    const End& e = end(socket);
    if (!e.life || !lives_on(socket, lives[*e.life])) {
      continue;
    }
    const std::size_t due =
        lives[*e.life].acknowledged() + (injected(InjectedFault::lose_byte_to_host) ? 1U : 0U);
    const std::size_t received = host_.socket(socket).received().size();
    FUZZ_REQUIRE(received >= due, "a host has received {} bytes of {} that were acknowledged", received, due);
  }
  for (const GuestLife& life : lives) {
    if (!life.host() || !lives_on(*life.host(), life) || !life.is_orderly()) {
      continue;
    }
    const std::size_t due =
        end(*life.host()).written + (injected(InjectedFault::lose_byte_to_guest) ? 1U : 0U);
    FUZZ_REQUIRE(life.received() >= due, "the guest has received {} bytes of {} that the host has written",
                 life.received(), due);
  }
}

}  // namespace l4n::fuzz
