// The IPv4 addresses of this network namespace as seen from one interface: what --outbound-addr=IFNAME means
// now, and how it changes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "netns/netlink.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/sys/ip_address.hpp"
#include "netns/sys/result.hpp"

namespace l4n::netns {

inline constexpr std::size_t kMaxOwnAddresses = 255;

struct InterfaceAddresses {
  std::uint32_t index = 0;              // 0: there is no such interface
  sys::Ipv4Address address{};           // its first one of the widest scope; 0.0.0.0: it has none
  std::vector<sys::Ipv4Address> own{};  // those of all interfaces, at most kMaxOwnAddresses

  friend bool operator==(const InterfaceAddresses&, const InterfaceAddresses&) = default;
};

// Waits for the kernel's answer, which comes at once. Errors: netlink itself fails.
[[nodiscard]] sys::Result<InterfaceAddresses> read_interface_addresses(const std::string& interface);

// Tells whenever the answer has changed.
class AddressWatch final : private sys::EventHandler {
 public:
  // `loop` must outlive the watch.
  AddressWatch(sys::EventLoop& loop, std::string interface,
               std::function<void(const InterfaceAddresses&)> changed);
  AddressWatch(const AddressWatch&) = delete;
  AddressWatch& operator=(const AddressWatch&) = delete;
  ~AddressWatch();

  // Tells the present state as well.
  sys::Result<void> start();

 private:
  void on_event(std::uint32_t events) noexcept override;
  void report();

  sys::EventLoop& loop_;
  std::string interface_;
  std::function<void(const InterfaceAddresses&)> changed_;
  NetlinkSocket socket_;
  std::optional<InterfaceAddresses> told_;
};

}  // namespace l4n::netns
