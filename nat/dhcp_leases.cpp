#include "nat/dhcp_leases.hpp"

#include <algorithm>

namespace l4n::nat {

std::optional<std::size_t> DhcpLeases::offer(sys::Bytes client, std::optional<std::size_t> wanted) {
  Entry* entry = entry_of(client);
  if (entry != nullptr && entry->state == State::leased && !available(*entry)) {
    return number_of(*entry);  // the lease goes on as it is
  }
  if (entry == nullptr && wanted) {
    entry = entry_at(*wanted);
    entry = entry != nullptr && available(*entry) ? entry : nullptr;
  }
  if (entry == nullptr) {
    entry = least_recently_used();
  }
  if (entry == nullptr) {
    return std::nullopt;
  }
  give(*entry, client, State::offered, kOfferTime);
  return number_of(*entry);
}

DhcpLeases::Binding DhcpLeases::bind(sys::Bytes client, std::size_t number) {
  Entry* const entry = entry_at(number);
  if (entry == nullptr) {
    return Binding::not_in_pool;
  }
  Entry* const own = entry_of(client);
  if (own != entry) {
    if (!available(*entry)) {
      return Binding::taken;
    }
    if (own != nullptr && own->state == State::leased && !available(*own)) {
      return Binding::other_address;
    }
    if (own != nullptr) {
      *own = Entry{State::free, {}, {}, own->last_used};
    }
  }
  give(*entry, client, State::leased, kLeaseTime);
  return Binding::granted;
}

bool DhcpLeases::has_lease(sys::Bytes client, std::size_t number) const noexcept {
  if (number >= kSize) {
    return false;
  }
  const Entry& entry = entries_[number];
  return entry.state == State::leased && !available(entry) && is_of(entry, client);
}

void DhcpLeases::withdraw_offer(sys::Bytes client) noexcept {
  Entry* const entry = entry_of(client);
  if (entry != nullptr && entry->state == State::offered) {
    enter(*entry, State::free, {});
  }
}

void DhcpLeases::release(sys::Bytes client, std::size_t number) noexcept {
  Entry* const entry = entry_of(client);
  if (entry != nullptr && entry == entry_at(number)) {
    enter(*entry, State::free, {});
  }
}

void DhcpLeases::decline(sys::Bytes client, std::size_t number) noexcept {
  Entry* const entry = entry_of(client);
  // Only what the client holds: otherwise one that remembers old addresses could put all of them aside.
  if (entry != nullptr && entry == entry_at(number) && !available(*entry)) {
    entry->client.clear();
    enter(*entry, State::declined, kDeclinedTime);
  }
}

std::size_t DhcpLeases::in_use() const noexcept {
  return static_cast<std::size_t>(std::count_if(entries_.begin(), entries_.end(),
                                                [this](const Entry& entry) { return !available(entry); }));
}

bool DhcpLeases::is_of(const Entry& entry, sys::Bytes client) noexcept {
  return std::equal(entry.client.begin(), entry.client.end(), client.begin(), client.end());
}

bool DhcpLeases::available(const Entry& entry) const noexcept {
  return entry.state == State::free || entry.until <= clock_.now();
}

DhcpLeases::Entry* DhcpLeases::entry_of(sys::Bytes client) noexcept {
  auto* const found = std::find_if(entries_.begin(), entries_.end(),
                                   [client](const Entry& entry) { return is_of(entry, client); });
  return found == entries_.end() ? nullptr : found;
}

DhcpLeases::Entry* DhcpLeases::entry_at(std::size_t number) noexcept {
  return number < kSize ? &entries_[number] : nullptr;
}

DhcpLeases::Entry* DhcpLeases::least_recently_used() noexcept {
  Entry* oldest = nullptr;
  for (Entry& entry : entries_) {
    if (available(entry) && (oldest == nullptr || entry.last_used < oldest->last_used)) {
      oldest = &entry;
    }
  }
  return oldest;
}

std::size_t DhcpLeases::number_of(const Entry& entry) const noexcept {
  return static_cast<std::size_t>(&entry - entries_.data());
}

void DhcpLeases::enter(Entry& entry, State state, sys::Duration time) noexcept {
  entry.state = state;
  entry.last_used = clock_.now();
  entry.until = entry.last_used + time;
}

void DhcpLeases::give(Entry& entry, sys::Bytes client, State state, sys::Duration time) {
  entry.client.assign(client.begin(), client.end());
  enter(entry, state, time);
}

}  // namespace l4n::nat
