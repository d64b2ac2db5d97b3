// What is said on the API socket: the text of one request in, the text of the reply out.
//
//   {"execute":"add_hostfwd","arguments":{"proto":"tcp","host_addr":"0.0.0.0","host_port":8080,
//                                         "guest_addr":"10.0.2.100","guest_port":80}}
//     -> {"return":{"id":1}}. "proto" may also be tcp4, tcp6, udp4 or udp6; with tcp and udp host_addr tells
//     the family. Addresses may be absent or empty: any of the host's, and the guest's recommended one, of
//     that family where the guest has it. Both ends may be of different families. "host_port" may be 0: any
//     free port, which the reply then carries as "host_port"; or a range "8000-8010", with "guest_port" the
//     first port of as many, or a range of the same length.
//   {"execute":"list_hostfwd"}
//     -> {"return":{"entries":[...]},"entries":[...]}: callers expect the one form or the other.
//   {"execute":"remove_hostfwd","arguments":{"id":1}}
//     -> {"return":{}}
//   {"execute":"stats"}
//     -> {"return":{...}}: see stats_json.hpp.
//   -> {"error":{"desc":"bad request: ..."}}, with texts that callers know.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "cli/stats_json.hpp"
#include "nat/forward.hpp"
#include "netns/sys/ip_address.hpp"
#include "netns/sys/log.hpp"

namespace l4n::cli {

// Bytes. A request of this size or more is not looked at.
inline constexpr std::size_t kApiRequestLimit = 4096;

// What requests work with.
struct ApiContext {
  nat::ForwardControl& forwards;
  // To which a forward leads that names no guest; the second one for IPv6, nothing: the guest has none.
  sys::Ipv4Address guest;
  std::optional<sys::Ipv6Address> guest6;
  sys::Log& log;  // why a forward could not be made: the reply's text is fixed
  std::function<StatsSnapshot()> stats = [] { return StatsSnapshot(); };
};

// Every request gets an answer. Bytes after the end of the request's object are ignored. Does not throw.
[[nodiscard]] std::string answer_api_request(std::string_view request, const ApiContext& context) noexcept;

}  // namespace l4n::cli
