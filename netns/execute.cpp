#include "netns/execute.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "netns/sys/result.hpp"

namespace l4n::netns {
namespace {

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// As execvp() searches, which says EACCES also where it was only kept from looking into some directory.
bool exists_in_path(const std::string& name) {
  const char* const path = ::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/bin:/usr/bin";
  for (bool more = true; more;) {
    const std::size_t colon = rest.find(':');
    const std::string directory(rest.substr(0, colon));
    if (exists((directory.empty() ? "." : directory) + '/' + name)) {
      return true;
    }
    more = colon != std::string_view::npos;
    rest.remove_prefix(more ? colon + 1 : rest.size());
  }
  return false;
}

[[noreturn]] void cannot_run(const std::string& name, int code) {
  const bool is_path = name.find('/') != std::string::npos;
  const bool found = is_path ? exists(name) : !name.empty() && exists_in_path(name);
  std::string reason = sys::errno_text(code);
  if (!found && !is_path) {
    reason = "command not found";
  } else if (found && code == ENOENT) {
    reason = "its interpreter does not exist";
  }
  const std::string line = fmt::format("lwip4netns: cannot run {}: {}\n", name, reason);
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  ::_exit(found || (is_path && code == EACCES) ? kCannotExecute : kNotFound);
}

}  // namespace

[[noreturn]] void execute(const std::vector<std::string>& command) {
  std::vector<std::string> words = command;
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  ::execvp(argv.front(), argv.data());
  cannot_run(words.front(), errno);
}

}  // namespace l4n::netns
