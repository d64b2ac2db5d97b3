// The addresses of one family in this network namespace as seen from one interface: what
// --outbound-addr=IFNAME and --outbound-addr6=IFNAME mean now, and how it changes.
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

// All addresses are of the family that `is_v4` tells.
struct InterfaceAddresses {
  bool is_v4 = true;
  std::uint32_t index = 0;  // 0: there is no such interface
  // The one to send from; unspecified: it has none. Of IPv4 addresses the first one of the widest scope. Of
  // IPv6 addresses (RFC 6724 5, as far as it is not about the destination) neither a link-local one nor one
  // that is tentative; if possible none that is deprecated or temporary; then as for IPv4.
  sys::IpAddress address{};
  std::vector<sys::IpAddress> own{};  // those of all interfaces, at most kMaxOwnAddresses

  friend bool operator==(const InterfaceAddresses&, const InterfaceAddresses&) = default;
};

// Waits for the kernel's answer, which comes at once. Errors: netlink itself fails.
[[nodiscard]] sys::Result<InterfaceAddresses> read_interface_addresses(const std::string& interface,
                                                                       bool is_v4);

// Tells whenever the answer has changed.
class AddressWatch final : private sys::EventHandler {
 public:
  // `loop` must outlive the watch.
  AddressWatch(sys::EventLoop& loop, std::string interface, bool is_v4,
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
  bool is_v4_;
  std::function<void(const InterfaceAddresses&)> changed_;
  NetlinkSocket socket_;
  std::optional<InterfaceAddresses> told_;
};

}  // namespace l4n::netns
