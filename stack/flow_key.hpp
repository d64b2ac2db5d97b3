// FlowKey: what names a flow, in a form that hashes and compares as plain memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "netns/sys/bytes.hpp"
#include "netns/sys/ip_address.hpp"

namespace l4n::stack {

class FlowKey {
 public:
  FlowKey() = default;
  // `guest` is the end inside the namespace, `remote` the destination as the guest names it. Both of one
  // family.
  FlowKey(const sys::Endpoint& guest, const sys::Endpoint& remote) noexcept;

  [[nodiscard]] sys::Endpoint guest() const noexcept;
  [[nodiscard]] sys::Endpoint remote() const noexcept;
  [[nodiscard]] sys::Bytes bytes() const noexcept { return std::as_bytes(std::span(&raw_, 1)); }

  friend bool operator==(const FlowKey& a, const FlowKey& b) noexcept {
    return std::memcmp(&a.raw_, &b.raw_, sizeof a.raw_) == 0;
  }

 private:
  struct Raw {
    std::array<std::uint8_t, 16> guest_address{};
    std::array<std::uint8_t, 16> remote_address{};
    std::uint16_t guest_port = 0;
    std::uint16_t remote_port = 0;
    std::uint32_t is_v4 = 0;
  };
  static_assert(sizeof(Raw) == 40, "no padding may take part in comparing");

  Raw raw_;
};

// "10.0.2.100:40000 -> 192.0.2.1:80", for log lines.
[[nodiscard]] std::string to_string(const FlowKey& key);

}  // namespace l4n::stack
