#include "cli/api_socket.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <utility>

namespace l4n::cli {

sys::Result<std::optional<netns::UnixListener>> listen_for_api(const Options& options) {
  if (!options.api_socket) {
    return std::optional<netns::UnixListener>();
  }
  auto listener = netns::UnixListener::listen(*options.api_socket, SOCK_STREAM);
  if (!listener) {
    return sys::Error{listener.error().code, fmt::format("API socket: {}", listener.error().what)};
  }
  return std::optional<netns::UnixListener>(*std::move(listener));
}

}  // namespace l4n::cli
