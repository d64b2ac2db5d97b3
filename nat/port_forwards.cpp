#include "nat/port_forwards.hpp"

#include <algorithm>
#include <cerrno>

namespace l4n::nat {
namespace {

// Clients that one port may accept in one turn, so that the others have theirs.
constexpr int kClientsPerTurn = 64;
// How long accepting rests when descriptors or memory have run out: epoll would tell of the clients without
// end.
constexpr sys::Duration kRest = std::chrono::milliseconds(100);

bool is_exhaustion(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

sys::Endpoint nth(const sys::Endpoint& first, std::uint16_t n) noexcept {
  return {first.address, static_cast<std::uint16_t>(first.port + n)};
}

// 0 when the rule can be tried.
int refusal(const ForwardRule& rule, const PolicyConfig& policy) noexcept {
  const unsigned last = rule.count - 1U;
  const bool chosen = rule.host.port == 0;
  if (rule.count == 0 || rule.guest.port == 0 || (chosen && rule.count > 1) ||
      rule.host.port + last > 65535 || rule.guest.port + last > 65535) {
    return EINVAL;
  }
  return rule.guest.address.is_v4() || policy.network6 ? 0 : EAFNOSUPPORT;
}

}  // namespace

// One listening TCP port.
class PortForwards::TcpPort final : private HostListenerObserver, private sys::TimerHandler {
 public:
  TcpPort(const Environment& e, const sys::Endpoint& guest) noexcept
      : environment_(e), guest_(guest), rest_(e.timers, *this) {}

  sys::Result<void> start(const sys::Endpoint& host) {
    auto listener = environment_.host.listen(host, *this);
    if (!listener) {
      return listener.error();
    }
    listener_ = *std::move(listener);
    return {};
  }
  [[nodiscard]] std::uint16_t port() const noexcept { return listener_->address().port; }

 private:
  void on_clients() noexcept override {
    for (int i = 0; i < kClientsPerTurn; ++i) {
      auto client = listener_->accept();
      if (client) {
        environment_.tcp.on_client(std::move(client->stream),
                                   forward_source(environment_.policy, client->address, guest_.address),
                                   guest_);
      } else if (is_exhaustion(client.error().code)) {
        environment_.log.warning(sys::LogClass::host, "{} on port {}", client.error().message(), port());
        listener_->set_listening(false);
        rest_.arm(kRest);
        return;
      } else if (client.error().code == EAGAIN) {
        return;
      }
    }
  }

  void on_timer() noexcept override { listener_->set_listening(true); }

  const Environment& environment_;
  const sys::Endpoint guest_;
  std::unique_ptr<HostListener> listener_;
  sys::Timer rest_;
};

struct PortForwards::Active {
  Forward forward;
  std::vector<std::unique_ptr<TcpPort>> tcp;
  std::vector<std::unique_ptr<UdpForwards::Port>> udp;
};

PortForwards::PortForwards(const Environment& environment) noexcept : environment_(environment) {}
PortForwards::~PortForwards() = default;

sys::Result<Forward> PortForwards::add(const ForwardRule& rule) {
  if (const int error = refusal(rule, environment_.policy); error != 0) {
    return sys::errno_error(error, "cannot forward " + sys::to_string(rule.host));
  }
  if (ports_ + rule.count > kMostPorts) {
    return sys::errno_error(ENOSPC, "cannot forward more ports");
  }
  auto active = std::make_unique<Active>();
  active->forward.rule = rule;
  for (std::uint16_t i = 0; i < rule.count; ++i) {
    if (auto opened = open(*active, nth(rule.host, i), nth(rule.guest, i)); !opened) {
      return opened.error();
    }
  }
  // The first client should not have to wait for the answer.
  static_cast<void>(environment_.neighbours.find(rule.guest.address));
  active->forward.id = ++last_id_;
  ports_ += rule.count;
  active_.push_back(std::move(active));
  return active_.back()->forward;
}

sys::Result<void> PortForwards::open(Active& active, const sys::Endpoint& host, const sys::Endpoint& guest) {
  ForwardRule& rule = active.forward.rule;
  std::uint16_t chosen = 0;
  if (rule.protocol == ForwardProtocol::tcp) {
    auto port = std::make_unique<TcpPort>(environment_, guest);
    if (auto started = port->start(host); !started) {
      return started;
    }
    chosen = port->port();
    active.tcp.push_back(std::move(port));
  } else {
    auto port = environment_.udp.open(host, guest);
    if (!port) {
      return port.error();
    }
    chosen = (*port)->address().port;
    active.udp.push_back(*std::move(port));
  }
  if (rule.host.port == 0) {
    rule.host.port = chosen;
  }
  return {};
}

bool PortForwards::remove(std::uint32_t id) noexcept {
  const auto found =
      std::find_if(active_.begin(), active_.end(), [id](const auto& a) { return a->forward.id == id; });
  if (found == active_.end()) {
    return false;
  }
  ports_ -= (*found)->forward.rule.count;
  active_.erase(found);
  return true;
}

std::vector<Forward> PortForwards::list() const {
  std::vector<Forward> all;
  all.reserve(active_.size());
  for (const auto& active : active_) {
    all.push_back(active->forward);
  }
  return all;
}

}  // namespace l4n::nat
