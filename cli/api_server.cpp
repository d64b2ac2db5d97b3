#include "cli/api_server.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <utility>

#include "cli/api_protocol.hpp"
#include "cli/json_extent.hpp"
#include "netns/sys/fd.hpp"
#include "netns/sys/io.hpp"

namespace l4n::cli {
namespace {

// Connections per turn of the loop, and bytes per read: a client that has much to say gets one read a turn.
constexpr int kAcceptsPerTurn = 16;
constexpr std::size_t kReadSize = kApiRequestLimit;

using ReadBuffer = std::array<char, kReadSize>;

sys::IoResult receive_some(int fd, ReadBuffer& buffer, std::size_t most) noexcept {
  return sys::read_result(::recv(fd, buffer.data(), most, MSG_DONTWAIT));
}

}  // namespace

// One connection, from its first byte to its end.
class ApiServer::Client final : public sys::Buried, private sys::EventHandler, private sys::TimerHandler {
 public:
  Client(ApiServer& server, sys::Fd fd)
      : server_(server),
        fd_(std::move(fd)),
        accepted_(server.loop_.timers().now()),
        timer_(server.loop_.timers(), *this) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() override {
    if (fd_.valid()) {
      server_.loop_.remove(fd_.get());
    }
  }

  // Most clients have written already: their request is answered at once.
  void start() noexcept {
    timer_.arm(kRequestTime);
    if (server_.loop_.add(fd_.get(), EPOLLIN, *this)) {
      receive();
    } else {
      close();
    }
  }

  // Ends the connection whatever its state. The object lives to the end of the turn.
  void close() noexcept {
    if (state_ == State::closed) {
      return;
    }
    transition(State::closed);
    timer_.cancel();
    server_.loop_.remove(fd_.get());
    fd_.reset();
    server_.on_closed(*this);
  }

  [[nodiscard]] sys::Time accepted() const noexcept { return accepted_; }

 private:
  enum class State {
    receiving,  // the request is not complete
    replying,   // the reply is not sent completely
    draining,   // waits for the client's end
    closed,
  };

  void transition(State next) noexcept {
    assert(next > state_);  // nothing ever goes back
    state_ = next;
  }

  void on_event(std::uint32_t /*events*/) noexcept override {
    switch (state_) {
      case State::receiving:
        return receive();
      case State::replying:
        return send_reply();
      case State::draining:
        return drain();
      case State::closed:
        return;
    }
  }

  void on_timer() noexcept override {
    if (state_ == State::receiving) {
      reply();
    } else {
      close();
    }
  }

  void receive() noexcept {
    ReadBuffer buffer;
    const auto got = receive_some(fd_.get(), buffer, kApiRequestLimit - request_.size());
    switch (got.status) {
      case sys::IoStatus::done:
        return take({buffer.data(), got.bytes});
      case sys::IoStatus::would_block:
        return;
      case sys::IoStatus::end:
        return reply();
      case sys::IoStatus::failed:
        return close();
    }
  }

  void take(std::string_view piece) noexcept {
    request_ += piece;
    extent_.feed(piece);
    if (extent_.complete() || request_.size() >= kApiRequestLimit) {
      reply();
    }
  }

  void reply() noexcept {
    transition(State::replying);
    timer_.arm(kReplyTime);
    reply_ = server_.answer_(request_);
    send_reply();
  }

  void send_reply() noexcept {
    const std::string_view rest = std::string_view(reply_).substr(sent_);
    const auto sent =
        sys::write_result(::send(fd_.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
    if (sent.status == sys::IoStatus::failed) {
      return close();
    }
    sent_ += sent.bytes;
    if (sent_ < reply_.size()) {
      return watch(EPOLLOUT);
    }
    ::shutdown(fd_.get(), SHUT_WR);
    transition(State::draining);
    watch(EPOLLIN);
    drain();
  }

  void drain() noexcept {
    ReadBuffer unused;
    const auto got = receive_some(fd_.get(), unused, unused.size());
    if (got.status == sys::IoStatus::end || got.status == sys::IoStatus::failed) {
      close();
    }
  }

  void watch(std::uint32_t events) noexcept {
    if (state_ != State::closed && !server_.loop_.modify(fd_.get(), events)) {
      close();
    }
  }

  ApiServer& server_;
  sys::Fd fd_;
  const sys::Time accepted_;
  sys::Timer timer_;
  State state_ = State::receiving;
  std::string request_;
  JsonExtent extent_;  // of the request
  std::string reply_;
  std::size_t sent_ = 0;  // bytes of the reply
};

ApiServer::ApiServer(sys::EventLoop& loop, netns::UnixListener listener, Answer answer)
    : loop_(loop),
      listener_(std::move(listener)),
      answer_(std::move(answer)),
      pause_timer_(loop.timers(), pause_end_) {}

ApiServer::~ApiServer() { loop_.remove(listener_.fd()); }

sys::Result<void> ApiServer::start() { return loop_.add(listener_.fd(), EPOLLIN, listener_watch_); }

// How long the oldest client must still be left alone; nothing or less when a place is free.
sys::Duration ApiServer::wait_for_room() const noexcept {
  if (!full()) {
    return sys::Duration::zero();
  }
  return clients_.front()->accepted() + kUndisturbed - loop_.timers().now();
}

void ApiServer::on_connections() {
  for (int i = 0; i < kAcceptsPerTurn && !paused_; ++i) {
    if (const sys::Duration wait = wait_for_room(); wait > sys::Duration::zero()) {
      return pause(wait);
    }
    sys::Fd fd(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.valid()) {
      // Out of descriptors, say: asking again at once would only spin.
      return errno == EAGAIN || errno == EINTR ? void() : pause(kUndisturbed);
    }
    if (full()) {
      clients_.front()->close();
    }
    clients_.push_back(std::make_unique<Client>(*this, std::move(fd)));
    clients_.back()->start();
  }
}

// Those who connect meanwhile wait in the socket's queue.
void ApiServer::pause(sys::Duration time) noexcept {
  paused_ = static_cast<bool>(loop_.modify(listener_.fd(), 0));
  pause_timer_.arm(time);
}

void ApiServer::resume() noexcept {
  paused_ = false;
  static_cast<void>(loop_.modify(listener_.fd(), EPOLLIN));
}

void ApiServer::on_closed(Client& client) noexcept {
  const auto found = std::find_if(clients_.begin(), clients_.end(),
                                  [&client](const auto& other) { return other.get() == &client; });
  loop_.graveyard().bury(std::move(*found));
  clients_.erase(found);
  if (paused_) {
    pause_timer_.cancel();
    resume();
  }
}

}  // namespace l4n::cli
