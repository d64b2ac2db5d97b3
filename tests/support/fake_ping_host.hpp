// The host's ping as a script: keeps what is sent, and lets a test answer.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "nat/host_ping.hpp"
#include "stack/packet.hpp"
#include "tests/support/byte_string.hpp"

namespace l4n::test {

class FakePingHost final : public nat::PingHost {
 public:
  struct Sent {
    nat::EchoRequest request;  // `message` is empty: see below
    ByteString message;        // with the host's identifier
  };

  // One HostPing. Outlives it, so that a test can look at what has become of it.
  struct Ping {
    std::uint16_t id = 0;
    bool is_v4 = true;
    nat::HostPingObserver* observer = nullptr;  // null: closed
    std::vector<Sent> sent;

    [[nodiscard]] bool closed() const noexcept { return observer == nullptr; }
    void reply(const sys::IpAddress& from, sys::Bytes request, std::uint8_t ttl = 57) const {
      ByteString message(request.begin(), request.end());
      message[0] = std::byte{stack::IcmpType::kEchoReply};
      const auto sum = static_cast<std::uint32_t>(sys::load_be16(&message[2])) + 0x0800;
      sys::store_be16(&message[2], static_cast<std::uint16_t>(sum + (sum >> 16U)));
      nat::EchoReply reply;
      reply.source = from;
      reply.ttl = ttl;
      reply.message = message;
      observer->on_echo_reply(reply);
    }
    void fail(const nat::HostError& error, const sys::IpAddress& destination, sys::Bytes request) const {
      observer->on_echo_failure({error, destination, request});
    }
  };

  // 0: pings open; else the errno value with which they do not.
  int open_error = 0;
  // Called when one is opened: for what that takes.
  std::function<void()> on_open;
  // What sends fail with.
  std::optional<nat::HostError> send_error;
  // Called within a send.
  std::function<void(Ping&)> on_send;

  [[nodiscard]] std::size_t opened() const noexcept { return pings_.size(); }
  [[nodiscard]] Ping& ping(std::size_t index) { return *pings_.at(index); }
  [[nodiscard]] Ping& last() { return *pings_.back(); }
  [[nodiscard]] std::size_t open_count() const noexcept {
    std::size_t n = 0;
    for (const auto& ping : pings_) {
      n += ping->closed() ? 0 : 1;
    }
    return n;
  }

  sys::Result<std::unique_ptr<nat::HostPing>> open_ping(bool is_v4,
                                                        nat::HostPingObserver& observer) override {
    if (open_error != 0) {
      return sys::errno_error(open_error, "cannot create a ping socket");
    }
    if (on_open) {
      on_open();
    }
    auto ping = std::make_shared<Ping>();
    ping->id = static_cast<std::uint16_t>(0x4000 + pings_.size());
    ping->is_v4 = is_v4;
    ping->observer = &observer;
    pings_.push_back(ping);
    return std::unique_ptr<nat::HostPing>(std::make_unique<Open>(*this, ping));
  }

 private:
  class Open final : public nat::HostPing {
   public:
    Open(FakePingHost& host, std::shared_ptr<Ping> ping) : host_(host), ping_(std::move(ping)) {}
    ~Open() override { ping_->observer = nullptr; }

    std::optional<nat::HostError> send(const nat::EchoRequest& request) noexcept override {
      Sent sent{request, {request.message.begin(), request.message.end()}};
      sent.request.message = {};
      stack::set_echo_id(sent.message, ping_->id);
      if (host_.on_send) {
        host_.on_send(*ping_);
      }
      if (!host_.send_error) {
        ping_->sent.push_back(std::move(sent));
      }
      return host_.send_error;
    }

   private:
    FakePingHost& host_;
    std::shared_ptr<Ping> ping_;
  };

  std::vector<std::shared_ptr<Ping>> pings_;
};

}  // namespace l4n::test
