// The API socket's server: many clients at once, each with one request, none of which can hold up the loop.
//
// A request is complete when its JSON object is, when the client has half-closed, when it has reached the
// size limit, or when its time is over; whatever is there then gets a reply. After the reply we go on
// reading (and forgetting) until the client closes: closing before would reset the connection of a client
// that is still writing, and it would lose the reply.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "netns/sys/clock.hpp"
#include "netns/sys/event_loop.hpp"
#include "netns/sys/member_handler.hpp"
#include "netns/sys/result.hpp"
#include "netns/sys/timers.hpp"
#include "netns/unix_listener.hpp"

namespace l4n::cli {

class ApiServer {
 public:
  // Reply to a request; must not wait.
  using Answer = std::function<std::string(std::string_view request)>;

  static constexpr std::size_t kMaxClients = 64;
  static constexpr sys::Duration kRequestTime = std::chrono::seconds(2);  // for the client to say it all
  static constexpr sys::Duration kReplyTime = std::chrono::seconds(5);    // to take the reply and close
  // With all places taken the oldest client makes room for the next, but not before this. Programs that start
  // a hundred clients at once find all of them served, only later.
  static constexpr sys::Duration kUndisturbed = std::chrono::milliseconds(200);

  // `loop` outlives the server. The listener's socket file goes with the server.
  ApiServer(sys::EventLoop& loop, netns::UnixListener listener, Answer answer);
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;
  ~ApiServer();

  // Errors only when the listener cannot be watched.
  sys::Result<void> start();
  [[nodiscard]] std::size_t clients() const noexcept { return clients_.size(); }

 private:
  class Client;

  void on_connections();
  [[nodiscard]] bool full() const noexcept { return clients_.size() >= kMaxClients; }
  [[nodiscard]] sys::Duration wait_for_room() const noexcept;
  void pause(sys::Duration time) noexcept;
  void resume() noexcept;
  void on_closed(Client& client) noexcept;

  sys::EventLoop& loop_;
  netns::UnixListener listener_;
  Answer answer_;
  sys::MemberEvent<ApiServer> listener_watch_{*this, &ApiServer::on_connections};
  sys::MemberTimer<ApiServer> pause_end_{*this, &ApiServer::resume};
  sys::Timer pause_timer_;
  bool paused_ = false;
  std::list<std::unique_ptr<Client>> clients_;  // the oldest first
};

}  // namespace l4n::cli
