// The server over real Unix sockets and a real loop, on a clock that the test turns.
#include "cli/api_server.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/api_protocol.hpp"
#include "netns/sys/fd.hpp"
#include "tests/netns/temporary_directory.hpp"

namespace l4n::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kEpsilon = 1ms;

// A client whose calls never wait.
class Peer {
 public:
  explicit Peer(const std::string& path)
      : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    connected_ = ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  [[nodiscard]] bool connected() const { return connected_; }
  // What the socket takes of it.
  std::size_t write(std::string_view text) const {
    const ssize_t n = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
    return n < 0 ? 0 : static_cast<std::size_t>(n);
  }
  void finish() const { ::shutdown(fd_.get(), SHUT_WR); }
  void close() { fd_.reset(); }

  // Reads what has come; then whether it is the end.
  const std::string& read() {
    std::array<char, 65536> buffer{};
    ssize_t n = 0;
    while ((n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0)) > 0) {
      text_.append(buffer.data(), static_cast<std::size_t>(n));
    }
    ended_ = n == 0;
    error_ = n < 0 && errno != EAGAIN ? errno : 0;
    return text_;
  }
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] int error() const { return error_; }  // errno of a connection that was reset

 private:
  sys::Fd fd_;
  bool connected_ = false;
  std::string text_;
  bool ended_ = false;
  int error_ = 0;
};

struct Fixture {
  netns::testing::TemporaryDirectory directory;
  std::string path = directory.file("api");
  sys::ManualClock clock;
  std::unique_ptr<sys::EventLoop> loop;
  std::vector<std::string> requests;
  std::string reply;  // empty: "re: " and the request
  std::unique_ptr<ApiServer> server;

  Fixture() {
    auto made = sys::EventLoop::create(clock);
    REQUIRE(made);
    loop = *std::move(made);
    auto listener = netns::UnixListener::listen(path, SOCK_STREAM);
    REQUIRE(listener);
    server = std::make_unique<ApiServer>(*loop, *std::move(listener), [this](std::string_view request) {
      requests.emplace_back(request);
      return reply.empty() ? "re: " + requests.back() : reply;
    });
    REQUIRE(server->start());
  }

  void turns(int count = 4) const {
    for (int i = 0; i < count; ++i) {
      REQUIRE(loop->turn(sys::Duration::zero()));
    }
  }
  void advance(sys::Duration by) {
    clock.advance(by);
    turns();
  }
  std::vector<Peer> connect(std::size_t count) const {
    std::vector<Peer> peers;
    for (std::size_t i = 0; i < count; ++i) {
      peers.emplace_back(path);
      REQUIRE(peers.back().connected());
      turns(1);
    }
    return peers;
  }
};

std::size_t count_ended(std::vector<Peer>& peers) {
  std::size_t ended = 0;
  for (Peer& peer : peers) {
    peer.read();
    ended += peer.ended() || peer.error() != 0 ? 1U : 0U;
  }
  return ended;
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "API server: request, half-close, reply, end") {
  Peer peer(path);
  peer.write("hello");
  turns();
  CHECK(requests.empty());
  peer.finish();
  turns();
  CHECK(peer.read() == "re: hello");
  CHECK(peer.ended());
  CHECK(server->clients() == 0);
}

TEST_CASE_FIXTURE(Fixture, "API server: a complete object is answered without half-close") {
  Peer peer(path);
  peer.write("{\"a\":{}");
  turns();
  CHECK(requests.empty());
  peer.write("}");
  turns();
  CHECK(peer.read() == "re: {\"a\":{}}");
  CHECK(peer.ended());
  CHECK(server->clients() == 1);  // until the client closes
  peer.close();
  turns();
  CHECK(server->clients() == 0);
}

TEST_CASE_FIXTURE(Fixture, "API server: a request in single bytes") {
  const std::string request = R"({"execute":"list_hostfwd","x":"}\"{"})";
  Peer peer(path);
  for (const char c : request) {
    CHECK(requests.empty());
    peer.write({&c, 1});
    turns(2);
  }
  CHECK(requests == std::vector{request});
  CHECK(peer.read() == "re: " + request);
}

TEST_CASE_FIXTURE(Fixture, "API server: an empty request is answered as well") {
  Peer peer(path);
  peer.finish();
  turns();
  CHECK(peer.read() == "re: ");
  CHECK(peer.ended());
}

TEST_CASE_FIXTURE(Fixture, "API server: what is there when the time is over is answered") {
  Peer slow(path);
  slow.write("{\"exec");
  turns();
  advance(ApiServer::kRequestTime - kEpsilon);
  slow.write("u");  // a trickle does not prolong it
  turns();
  CHECK(slow.read().empty());
  advance(kEpsilon);
  CHECK(slow.read() == "re: {\"execu");
  CHECK(slow.ended());
}

TEST_CASE_FIXTURE(Fixture, "API server: a client that does not close after the reply is closed") {
  Peer peer(path);
  peer.write("{}");
  turns();
  CHECK(server->clients() == 1);
  advance(ApiServer::kReplyTime - kEpsilon);
  CHECK(server->clients() == 1);
  advance(kEpsilon);
  CHECK(server->clients() == 0);
  CHECK(peer.read() == "re: {}");
}

TEST_CASE_FIXTURE(Fixture, "API server: a client that leaves early") {
  Peer before(path);
  before.close();
  Peer during(path);
  during.write("{\"exec");
  turns();
  during.close();
  turns();
  Peer after(path);
  after.write("{}");
  after.close();
  turns();
  CHECK(server->clients() == 0);
  CHECK(requests == std::vector<std::string>{"", "{\"exec", "{}"});
}

TEST_CASE_FIXTURE(Fixture, "API server: 10 MiB are answered after the limit, and the writer hears it") {
  const std::string part(64 * 1024, 'x');
  constexpr std::size_t kTotal = 10 << 20;
  Peer peer(path);
  std::size_t written = 0;
  for (int i = 0; i < 20'000 && written < kTotal; ++i) {
    written += peer.write(std::string_view(part).substr(0, std::min(part.size(), kTotal - written)));
    turns(1);
  }
  CHECK(written == kTotal);
  peer.finish();
  turns(1000);
  REQUIRE(requests.size() == 1);
  CHECK(requests[0] == std::string(kApiRequestLimit, 'x'));
  CHECK(peer.read() == "re: " + requests[0]);
  CHECK(peer.ended());
  CHECK(server->clients() == 0);
}

TEST_CASE_FIXTURE(Fixture, "API server: one client that never stops writing gets one read a turn") {
  Peer greedy(path);
  Peer modest(path);
  const std::string part(64 * 1024, 'x');
  greedy.write(part);
  modest.write("{}");
  turns(2);
  CHECK(modest.read() == "re: {}");
  greedy.write(part);
  turns(1);
  CHECK(greedy.write(std::string(1 << 20, 'x')) < (1U << 20U));  // its socket's buffer is not emptied
}

TEST_CASE_FIXTURE(Fixture, "API server: a reply larger than the socket's buffer") {
  reply.resize(4 << 20);
  for (std::size_t i = 0; i < reply.size(); ++i) {
    reply[i] = static_cast<char>('a' + i % 23);
  }
  Peer peer(path);
  peer.write("{}");
  turns();
  for (int i = 0; i < 1000 && !peer.ended(); ++i) {
    peer.read();
    turns(1);
  }
  CHECK(peer.ended());
  CHECK(peer.read() == reply);
}

TEST_CASE_FIXTURE(Fixture, "API server: a reader that never reads is closed") {
  reply.assign(4 << 20, 'r');
  Peer peer(path);
  peer.write("{}");
  turns();
  CHECK(server->clients() == 1);
  advance(ApiServer::kReplyTime - kEpsilon);
  CHECK(server->clients() == 1);
  advance(kEpsilon);
  CHECK(server->clients() == 0);
  CHECK(peer.read().size() < reply.size());
}

TEST_CASE_FIXTURE(Fixture, "API server: 200 idle clients: the newest are served, the oldest make room") {
  std::vector<Peer> idle;
  for (int i = 0; i < 200; ++i) {
    idle.emplace_back(path);
    REQUIRE(idle.back().connected());
    advance(ApiServer::kUndisturbed / 32);
    CHECK(server->clients() <= ApiServer::kMaxClients);
  }
  Peer late(path);
  late.write("{}");
  turns();
  CHECK(late.read() == "re: {}");
  CHECK(server->clients() == ApiServer::kMaxClients);
  idle.front().read();
  CHECK(idle.front().ended());
  idle.back().read();
  CHECK_FALSE(idle.back().ended());
}

TEST_CASE_FIXTURE(Fixture, "API server: many at once are all served, none is thrown out for the next") {
  std::vector<Peer> peers = connect(ApiServer::kMaxClients + 50);
  turns();
  CHECK(server->clients() == ApiServer::kMaxClients);
  CHECK(count_ended(peers) == 0);
  // They all write only now.
  for (std::size_t i = 0; i < peers.size(); ++i) {
    peers[i].write("{\"n\":" + std::to_string(i) + "}");
    peers[i].finish();
  }
  turns(20);
  for (std::size_t i = 0; i < peers.size(); ++i) {
    CHECK(peers[i].read() == "re: {\"n\":" + std::to_string(i) + "}");
    CHECK(peers[i].ended());
  }
  CHECK(server->clients() == 0);
}

TEST_CASE_FIXTURE(Fixture, "API server: with all places taken the next waits until the oldest may go") {
  std::vector<Peer> idle = connect(ApiServer::kMaxClients);
  turns();
  Peer late(path);
  late.write("{}");
  turns();
  CHECK(late.read().empty());
  CHECK(count_ended(idle) == 0);
  advance(ApiServer::kUndisturbed - kEpsilon);
  CHECK(late.read().empty());
  advance(kEpsilon);
  CHECK(late.read() == "re: {}");
  CHECK(count_ended(idle) == 1);
}

TEST_CASE_FIXTURE(Fixture, "API server: a place that becomes free is taken at once") {
  std::vector<Peer> idle = connect(ApiServer::kMaxClients);
  turns();
  Peer late(path);
  late.write("{}");
  turns();
  idle[10].close();
  turns();
  CHECK(late.read() == "re: {}");
}

TEST_CASE_FIXTURE(Fixture,
                  "API server: without descriptors clients wait, and are served when there are some") {
  Peer peer(path);
  peer.write("{}");
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit none = before;
  none.rlim_cur = 3;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  turns();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(requests.empty());
  turns();
  CHECK(requests.empty());  // it does not try again every turn
  advance(ApiServer::kUndisturbed);
  CHECK(peer.read() == "re: {}");
}

TEST_CASE_FIXTURE(Fixture, "API server: its end closes the clients and removes the socket") {
  std::vector<Peer> peers = connect(3);
  peers[0].write("{}");
  turns();
  server.reset();
  turns();
  CHECK(count_ended(peers) == 3);
  CHECK_FALSE(Peer(path).connected());
  CHECK_FALSE(std::filesystem::exists(path));
}

}  // namespace l4n::cli
