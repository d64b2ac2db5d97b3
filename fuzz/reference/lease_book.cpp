#include "fuzz/reference/lease_book.hpp"

#include "fuzz/engine/oracle.hpp"

namespace l4n::fuzz {

void LeaseBook::check_free_for(const sys::IpAddress& address, const std::string& client) const {
  const auto found = leases_.find(address);
  if (found == leases_.end() || found->second.end <= clock_.now()) {
    return;
  }
  FUZZ_REQUIRE(!found->second.client.empty(), "{} is given, which somebody has found in use",
               sys::to_string(address));
  FUZZ_REQUIRE(found->second.client == client, "{} is given, which another client has",
               sys::to_string(address));
}

void LeaseBook::granted(const sys::IpAddress& address, const std::string& client, sys::Duration time) {
  check_free_for(address, client);
  leases_[address] = {client, clock_.now() + time};
}

bool LeaseBook::holds(const sys::IpAddress& address, const std::string& client) const {
  const auto found = leases_.find(address);
  return found != leases_.end() && found->second.client == client && found->second.end > clock_.now();
}

void LeaseBook::released(const sys::IpAddress& address, const std::string& client) {
  if (holds(address, client)) {
    leases_.erase(address);
  }
}

void LeaseBook::declined(const sys::IpAddress& address, const std::string& client, sys::Duration time) {
  if (holds(address, client)) {
    leases_[address] = {"", clock_.now() + time};
  }
}

}  // namespace l4n::fuzz
