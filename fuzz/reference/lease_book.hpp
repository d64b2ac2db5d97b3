// Who was told that it has which address: what must hold of any DHCP server, however it chooses.
#pragma once

#include <map>
#include <string>

#include "netns/sys/clock.hpp"
#include "netns/sys/ip_address.hpp"

namespace l4n::fuzz {

class LeaseBook {
 public:
  explicit LeaseBook(const sys::Clock& clock) noexcept : clock_(clock) {}

  // The server grants an address. An oracle: nobody else has it.
  void granted(const sys::IpAddress& address, const std::string& client, sys::Duration time);
  // It may offer only what nobody else has, and what nobody has found in use lately.
  void check_free_for(const sys::IpAddress& address, const std::string& client) const;
  // The client gives back what it has.
  void released(const sys::IpAddress& address, const std::string& client);
  // It has found its address in use.
  void declined(const sys::IpAddress& address, const std::string& client, sys::Duration time);

 private:
  struct Lease {
    std::string client;  // empty: declined
    sys::Time end{};
  };

  [[nodiscard]] bool holds(const sys::IpAddress& address, const std::string& client) const;

  const sys::Clock& clock_;
  std::map<sys::IpAddress, Lease> leases_;
};

}  // namespace l4n::fuzz
