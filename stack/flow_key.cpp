#include "stack/flow_key.hpp"

#include <fmt/format.h>

namespace l4n::stack {
namespace {

void store(std::array<std::uint8_t, 16>& out, const sys::IpAddress& address) noexcept {
  if (address.is_v4()) {
    std::memcpy(out.data(), &address.v4().value, sizeof address.v4().value);
  } else {
    out = address.v6().bytes;
  }
}

sys::IpAddress load(const std::array<std::uint8_t, 16>& in, bool is_v4) noexcept {
  if (is_v4) {
    sys::Ipv4Address address;
    std::memcpy(&address.value, in.data(), sizeof address.value);
    return address;
  }
  return sys::Ipv6Address{in};
}

}  // namespace

FlowKey::FlowKey(const sys::Endpoint& guest, const sys::Endpoint& remote) noexcept {
  store(raw_.guest_address, guest.address);
  store(raw_.remote_address, remote.address);
  raw_.guest_port = guest.port;
  raw_.remote_port = remote.port;
  raw_.is_v4 = guest.address.is_v4() ? 1 : 0;
}

sys::Endpoint FlowKey::guest() const noexcept {
  return {load(raw_.guest_address, raw_.is_v4 != 0), raw_.guest_port};
}

sys::Endpoint FlowKey::remote() const noexcept {
  return {load(raw_.remote_address, raw_.is_v4 != 0), raw_.remote_port};
}

std::string to_string(const FlowKey& key) {
  return fmt::format("{} -> {}", sys::to_string(key.guest()), sys::to_string(key.remote()));
}

}  // namespace l4n::stack
