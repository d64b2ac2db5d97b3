// A plain TCP relay between two networks: `bench_relay LISTEN-ADDRESS TARGET-ADDRESS PORT...`.
//
// It accepts on LISTEN-ADDRESS:PORT, connects to TARGET-ADDRESS:PORT, and copies both ways with recv() and
// send(). No TAP, no stack of its own: the kernel's TCP on either side. What it reaches is the practical
// limit of every program that carries TCP through user space by copying, hence the yardstick for lwip4netns.
//
// One thread, edge-triggered epoll. A stream that may have something to do is in a list; each turn of the
// loop moves at most one buffer per stream, so that no stream starves another.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t kBufferSize = 256 * 1024;
constexpr int kEventsPerTurn = 256;

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  Fd& operator=(Fd&&) = delete;
  ~Fd() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

using Buffer = std::array<std::byte, kBufferSize>;

// Buffers are lent to streams that hold data, so that idle connections cost none and the busy ones stay in
// the processor's cache.
class BufferPool {
 public:
  std::unique_ptr<Buffer> take() {
    if (free_.empty()) {
      return std::make_unique_for_overwrite<Buffer>();
    }
    auto buffer = std::move(free_.back());
    free_.pop_back();
    return buffer;
  }
  void give_back(std::unique_ptr<Buffer> buffer) { free_.push_back(std::move(buffer)); }

 private:
  std::vector<std::unique_ptr<Buffer>> free_;
};

enum class Progress { blocked, more, finished, failed };

// One direction of a connection.
class Stream {
 public:
  // The end of the stream is on its way: from now on a short read does not mean that nothing is left.
  void expect_end() { end_expected_ = true; }

  // Moves at most one buffer from socket to socket.
  Progress pump(int from, int to, BufferPool& pool) {
    if (finished_) {
      return Progress::finished;
    }
    if (buffer_) {
      return drain(to, pool);
    }
    const Progress read = fill(from, to, pool);
    if (read != Progress::more) {
      return read;
    }
    // A short read has emptied the socket, so more data will make an event of its own.
    const bool emptied = end_ < kBufferSize && !end_expected_;
    const Progress written = drain(to, pool);
    return written == Progress::more && emptied && !buffer_ ? Progress::blocked : written;
  }

 private:
  Progress fill(int from, int to, BufferPool& pool) {
    auto buffer = pool.take();
    const ssize_t got = ::recv(from, buffer->data(), buffer->size(), 0);
    if (got <= 0) {
      const int error = errno;
      pool.give_back(std::move(buffer));
      if (got == 0) {
        finished_ = true;
        ::shutdown(to, SHUT_WR);
        return Progress::finished;
      }
      return error == EAGAIN ? Progress::blocked : Progress::failed;
    }
    buffer_ = std::move(buffer);
    begin_ = 0;
    end_ = static_cast<std::size_t>(got);
    return Progress::more;
  }

  Progress drain(int to, BufferPool& pool) {
    const ssize_t sent = ::send(to, buffer_->data() + begin_, end_ - begin_, MSG_NOSIGNAL);
    if (sent < 0) {
      return errno == EAGAIN ? Progress::blocked : Progress::failed;
    }
    begin_ += static_cast<std::size_t>(sent);
    if (begin_ == end_) {
      pool.give_back(std::move(buffer_));
    }
    return Progress::more;
  }

  std::unique_ptr<Buffer> buffer_;  // held while it has unsent data
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool end_expected_ = false;
  bool finished_ = false;
};

// What an epoll event points to.
struct Source {
  enum class Kind { listener, connection };
  explicit Source(Kind k) : kind(k) {}
  Kind kind;
};

struct Listener : Source {
  Listener(Fd s, std::uint16_t p) : Source(Kind::listener), socket(std::move(s)), port(p) {}
  Fd socket;
  std::uint16_t port;
};

struct Connection : Source {
  Connection(Fd c, Fd s, std::size_t i)
      : Source(Kind::connection), client(std::move(c)), server(std::move(s)), index(i) {}
  Fd client;
  Fd server;
  Stream up;
  Stream down;
  std::size_t index;       // of its owner in Relay::connections_
  bool connected = false;  // before that nothing is read from the client
  bool listed = false;     // is in the loop's list of connections to pump
};

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "bench_relay: %s: %s\n", what, std::strerror(errno));
  std::exit(EXIT_FAILURE);
}

sockaddr_in endpoint(in_addr address, std::uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(port);
  result.sin_addr = address;
  return result;
}

const sockaddr* as_sockaddr(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

void enable(int socket, int level, int option) {
  const int on = 1;
  ::setsockopt(socket, level, option, &on, sizeof on);
}

class Relay {
 public:
  Relay(in_addr listen_address, in_addr target) : listen_address_(listen_address), target_(target) {
    if (epoll_.get() < 0) {
      die("epoll_create1");
    }
  }

  void listen_on(std::uint16_t port) {
    Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    enable(socket.get(), SOL_SOCKET, SO_REUSEADDR);
    const sockaddr_in local = endpoint(listen_address_, port);
    if (::bind(socket.get(), as_sockaddr(local), sizeof local) != 0 ||
        ::listen(socket.get(), SOMAXCONN) != 0) {
      die("cannot listen");
    }
    auto listener = std::make_unique<Listener>(std::move(socket), port);
    watch(listener->socket.get(), EPOLLIN, listener.get());
    listeners_.push_back(std::move(listener));
  }

  [[noreturn]] void run() {
    std::array<epoll_event, kEventsPerTurn> events{};
    for (;;) {
      const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsPerTurn, busy_.empty() ? -1 : 0);
      for (const epoll_event& event :
           std::span(events).first(static_cast<std::size_t>(count > 0 ? count : 0))) {
        dispatch(event);
      }
      pump_all();
    }
  }

 private:
  void watch(int fd, std::uint32_t events, Source* source) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = source;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      die("epoll_ctl");
    }
  }

  void dispatch(const epoll_event& event) {
    auto* source = static_cast<Source*>(event.data.ptr);
    if (source->kind == Source::Kind::listener) {
      accept_all(static_cast<Listener&>(*source));
      return;
    }
    auto& connection = static_cast<Connection&>(*source);
    if ((event.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
      connection.up.expect_end();
      connection.down.expect_end();
    }
    if (!connection.listed) {
      connection.listed = true;
      busy_.push_back(&connection);
    }
  }

  void accept_all(const Listener& listener) {
    for (;;) {
      Fd client(::accept4(listener.socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (client.get() < 0) {
        return;
      }
      Fd server(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      const sockaddr_in remote = endpoint(target_, listener.port);
      if (server.get() < 0 ||
          (::connect(server.get(), as_sockaddr(remote), sizeof remote) != 0 && errno != EINPROGRESS)) {
        continue;
      }
      enable(client.get(), IPPROTO_TCP, TCP_NODELAY);
      enable(server.get(), IPPROTO_TCP, TCP_NODELAY);
      auto connection =
          std::make_unique<Connection>(std::move(client), std::move(server), connections_.size());
      constexpr std::uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
      watch(connection->client.get(), kEvents, connection.get());
      watch(connection->server.get(), kEvents, connection.get());
      connections_.push_back(std::move(connection));
    }
  }

  // One turn for every connection in the list; those that could go on stay in it.
  void pump_all() {
    std::size_t kept = 0;
    for (Connection* connection : busy_) {
      switch (pump(*connection)) {
        case Progress::more:
          busy_[kept++] = connection;
          break;
        case Progress::blocked:
          connection->listed = false;
          break;
        case Progress::finished:
        case Progress::failed:
          release(*connection);
          break;
      }
    }
    busy_.resize(kept);
  }

  Progress pump(Connection& connection) {
    if (!connection.connected) {
      const Progress state = check_connected(connection);
      if (state != Progress::more) {
        return state;
      }
    }
    const Progress up = connection.up.pump(connection.client.get(), connection.server.get(), pool_);
    const Progress down = connection.down.pump(connection.server.get(), connection.client.get(), pool_);
    if (up == Progress::failed || down == Progress::failed) {
      return Progress::failed;
    }
    if (up == Progress::more || down == Progress::more) {
      return Progress::more;
    }
    return up == Progress::finished && down == Progress::finished ? Progress::finished : Progress::blocked;
  }

  static Progress check_connected(Connection& connection) {
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(connection.server.get(), reinterpret_cast<sockaddr*>(&peer), &size) == 0) {
      connection.connected = true;
      return Progress::more;
    }
    int error = 0;
    size = sizeof error;
    ::getsockopt(connection.server.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    return error == 0 ? Progress::blocked : Progress::failed;
  }

  // Called when all events of the turn have been dispatched, so none still points to the connection.
  void release(const Connection& connection) {
    const std::size_t index = connection.index;
    std::swap(connections_[index], connections_.back());
    connections_[index]->index = index;
    connections_.pop_back();
  }

  in_addr listen_address_;
  in_addr target_;
  Fd epoll_{::epoll_create1(EPOLL_CLOEXEC)};
  BufferPool pool_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> busy_;
};

bool parse_port(std::string_view text, std::uint16_t& port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port != 0;
}

}  // namespace

int main(int argc, char** argv) {
  in_addr listen_address{};
  in_addr target{};
  if (argc < 4 || ::inet_pton(AF_INET, argv[1], &listen_address) != 1 ||
      ::inet_pton(AF_INET, argv[2], &target) != 1) {
    std::fprintf(stderr, "usage: %s LISTEN-ADDRESS TARGET-ADDRESS PORT...\n", argv[0]);
    return EXIT_FAILURE;
  }
  Relay relay(listen_address, target);
  for (const char* text : std::span(argv, static_cast<std::size_t>(argc)).subspan(3)) {
    std::uint16_t port = 0;
    if (!parse_port(text, port)) {
      std::fprintf(stderr, "bench_relay: not a port: %s\n", text);
      return EXIT_FAILURE;
    }
    relay.listen_on(port);
  }
  relay.run();
}
