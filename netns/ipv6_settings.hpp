// What has to be set for IPv6 on an interface and cannot be over rtnetlink: /proc/sys/net/ipv6/conf, which is
// that of the current network namespace.
#pragma once

#include <string>

#include "netns/sys/result.hpp"

namespace l4n::netns {

// Switches IPv6 on where the namespace has switched it off. Errors: the kernel has no IPv6, or the interface
// is without and may not be changed.
[[nodiscard]] sys::Result<void> enable_ipv6(const std::string& interface);

// For an interface that is still down: no duplicate address detection (RFC 4862 5.4) of the addresses that
// the kernel will give itself, so that they are usable at once. Where it may not be set they become so a
// second or two later.
void skip_duplicate_detection(const std::string& interface) noexcept;

// For an interface that is still down and will be given its address: router advertisements are to add none
// (RFC 4862 5.5). A second address a moment later would change the source of what is sent, and an endpoint
// that is not bound would look like another one. Where it may not be set there will be two.
void skip_autoconfiguration(const std::string& interface) noexcept;

}  // namespace l4n::netns
