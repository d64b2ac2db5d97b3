// The API socket's server: every connection gets the reply that its request gets, and is closed, whatever
// the pieces in which it comes and whether the client half-closes behind it or only falls silent.
//
// Input: to_requests() in fuzz/support/api_checks.hpp. Real sockets make this one slow; what requests mean is
// for the harness api.
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "cli/api_server.hpp"
#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/support/api_checks.hpp"
#include "fuzz/support/fault.hpp"
#include "fuzz/support/text.hpp"
#include "netns/sys/fd.hpp"
#include "netns/unix_listener.hpp"
#include "tests/netns/temporary_directory.hpp"

namespace l4n::fuzz {
namespace {

const std::string& socket_path() {
  static const netns::testing::TemporaryDirectory directory;
  static const std::string path = directory.file("api");
  return path;
}

// A client whose calls never wait.
class Client {
 public:
  Client() : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, socket_path().c_str(), socket_path().size());
    FUZZ_REQUIRE(::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
                 "cannot connect to the API socket: {}", sys::errno_text(errno));
  }

  // A server that has answered may not want the rest.
  void write(std::string_view text) const {
    static_cast<void>(::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL));
  }
  void finish() const { ::shutdown(fd_.get(), SHUT_WR); }

  // What has come so far; true when the other side has closed.
  bool read(std::string& into) const {
    std::array<char, 8192> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): recv fills it
    ssize_t n = 0;
    while ((n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0)) > 0) {
      into.append(buffer.data(), static_cast<std::size_t>(n));
    }
    return n == 0;
  }

 private:
  sys::Fd fd_;
};

// The server in its loop, on a clock that stands still.
class World {
 public:
  World() {
    auto loop = sys::EventLoop::create(clock_);
    auto listener = netns::UnixListener::listen(socket_path(), SOCK_STREAM);
    FUZZ_REQUIRE(loop && listener, "cannot make the API server");
    loop_ = *std::move(loop);
    server_ = std::make_unique<cli::ApiServer>(
        *loop_, *std::move(listener), [this](std::string_view request) { return answerer_.answer(request); });
    FUZZ_REQUIRE(server_->start(), "cannot start the API server");
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() = default;

  // What a connection with this request gets back before it is closed.
  [[nodiscard]] std::string ask(const ApiRequest& request) {
    const Client client;
    turn();
    for (std::string_view rest = request.text; !rest.empty();
         rest.remove_prefix(std::min(request.piece, rest.size()))) {
      client.write(rest.substr(0, request.piece));
      turn();
    }
    if (request.half_close) {
      client.finish();
      turn();
    }
    std::string reply;
    const bool ended = client.read(reply) || wait_and_read(client, request, reply);
    FUZZ_REQUIRE(ended != fault("api_server: no end"), "a connection that is not closed when its time is up");
    return reply;
  }

  // Clients that have left are forgotten.
  void check_left() {
    turn();
    FUZZ_REQUIRE(server_->clients() == 0, "{} clients are left", server_->clients());
  }

 private:
  void turn() { FUZZ_REQUIRE(loop_->turn(sys::Duration::zero()), "the loop has failed"); }

  // A client that is silent for too long has said all that it will say.
  [[nodiscard]] bool wait_and_read(const Client& client, const ApiRequest& request, std::string& reply) {
    FUZZ_REQUIRE(!request.half_close, "a complete request that is not answered");
    clock_.advance(cli::ApiServer::kRequestTime);
    turn();
    return client.read(reply);
  }

  sys::ManualClock clock_;
  ApiAnswerer answerer_;
  std::unique_ptr<sys::EventLoop> loop_;
  std::unique_ptr<cli::ApiServer> server_;
};

void run(sys::Bytes input) {
  World world;
  ApiAnswerer answerer;
  for (const ApiRequest& request : to_requests(input)) {
    const std::string expected = answerer.answer(request.text);
    std::string reply = world.ask(request);
    if (fault("api_server: reply cut")) {
      reply.pop_back();
    }
    FUZZ_REQUIRE(reply == expected, "the connection gets {} instead of {}", printable(reply),
                 printable(expected));
  }
  world.check_left();
}

}  // namespace

const Harness kHarness{run, print_requests, mutate_requests};

}  // namespace l4n::fuzz
