// The DHCP server's pool: which client has which of the addresses x.15 to x.30.
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
#include "netns/sys/ip_address.hpp"

namespace l4n::nat {

class DhcpLeases {
 public:
  static constexpr std::uint32_t kFirst = 15;  // x.15
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

  DhcpLeases(const sys::Ipv4Network& network, const sys::Clock& clock) noexcept
      : first_(network.host(kFirst)), clock_(clock) {}

  // `client` identifies a client by its bytes, which are not empty.
  //
  // Reserves an address for a short time: the one that the client has or had, else `wanted` when it is
  // free, else the one that was not used for the longest time. Nothing when all are in use.
  [[nodiscard]] std::optional<sys::Ipv4Address> offer(sys::Bytes client,
                                                      const std::optional<sys::Ipv4Address>& wanted);
  // Starts a lease or prolongs it.
  [[nodiscard]] Binding bind(sys::Bytes client, sys::Ipv4Address address);
  // The client has chosen another server's offer.
  void withdraw_offer(sys::Bytes client) noexcept;
  // The next two do nothing when the address is not the client's.
  void release(sys::Bytes client, sys::Ipv4Address address) noexcept;
  void decline(sys::Bytes client, sys::Ipv4Address address) noexcept;

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

  [[nodiscard]] bool available(const Entry& entry) const noexcept;
  [[nodiscard]] Entry* entry_of(sys::Bytes client) noexcept;
  [[nodiscard]] Entry* entry_at(sys::Ipv4Address address) noexcept;
  [[nodiscard]] Entry* least_recently_used() noexcept;
  [[nodiscard]] sys::Ipv4Address address_of(const Entry& entry) const noexcept;
  void enter(Entry& entry, State state, sys::Duration time) noexcept;
  void give(Entry& entry, sys::Bytes client, State state, sys::Duration time);

  sys::Ipv4Address first_;
  const sys::Clock& clock_;
  std::array<Entry, kSize> entries_;
};

}  // namespace l4n::nat
