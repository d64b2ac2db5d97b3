// A DHCP server's pool of addresses: which client has which. Addresses are told by their number in the pool,
// so that DHCPv4 and DHCPv6 keep the same books.
//
// An entry belongs to one address for ever, so nothing that a guest does makes the table grow. It remembers
// its last client after the lease has ended, until the address is needed for another: a client gets the
// address that it had (RFC 2131 4.3.1).
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "netns/sys/bytes.hpp"
#include "netns/sys/clock.hpp"

namespace l4n::nat {

class DhcpLeases {
 public:
  static constexpr std::size_t kSize = 16;
  static constexpr std::chrono::seconds kLeaseTime{86400};
  // An offer that is not taken up by then is forgotten.
  static constexpr std::chrono::seconds kOfferTime{30};
  // An address that a client found in use is left alone for so long.
  static constexpr std::chrono::seconds kDeclinedTime{600};

  enum class Binding {
    granted,
    not_in_pool,
    taken,          // by another client, or declined
    other_address,  // the client has a lease on another one
  };

  explicit DhcpLeases(const sys::Clock& clock) noexcept : clock_(clock) {}

  // `client` identifies a client by its bytes, which are not empty. Numbers from kSize on are those of
  // addresses that are not in the pool.
  //
  // Reserves an address for a short time: the one that the client has or had, else `wanted` when it is
  // free, else the one that was not used for the longest time. Nothing when all are in use.
  [[nodiscard]] std::optional<std::size_t> offer(sys::Bytes client, std::optional<std::size_t> wanted);
  // Starts a lease or prolongs it.
  [[nodiscard]] Binding bind(sys::Bytes client, std::size_t number);
  // Whether the client has a lease on it now.
  [[nodiscard]] bool has_lease(sys::Bytes client, std::size_t number) const noexcept;
  // The client has chosen another server's offer.
  void withdraw_offer(sys::Bytes client) noexcept;
  // The next two do nothing when the address is not the client's.
  void release(sys::Bytes client, std::size_t number) noexcept;
  void decline(sys::Bytes client, std::size_t number) noexcept;

  // Addresses that are offered, leased or declined now.
  [[nodiscard]] std::size_t in_use() const noexcept;

 private:
  enum class State : std::uint8_t { free, offered, leased, declined };

  struct Entry {
    State state = State::free;
    std::vector<std::byte> client;  // the last one; empty: none
    sys::Time until{};              // the end of the state, but for `free`
    sys::Time last_used = sys::Time::min();
  };

  [[nodiscard]] static bool is_of(const Entry& entry, sys::Bytes client) noexcept;
  [[nodiscard]] bool available(const Entry& entry) const noexcept;
  [[nodiscard]] Entry* entry_of(sys::Bytes client) noexcept;
  [[nodiscard]] Entry* entry_at(std::size_t number) noexcept;
  [[nodiscard]] Entry* least_recently_used() noexcept;
  [[nodiscard]] std::size_t number_of(const Entry& entry) const noexcept;
  void enter(Entry& entry, State state, sys::Duration time) noexcept;
  void give(Entry& entry, sys::Bytes client, State state, sys::Duration time);

  const sys::Clock& clock_;
  std::array<Entry, kSize> entries_;
};

}  // namespace l4n::nat
