#include "netns/resolv_conf.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "netns/sys/fd.hpp"

namespace l4n::netns {
namespace {

using sys::Fd;
using sys::Result;

constexpr std::size_t kMaxDomainLength = 253;  // RFC 1035 §2.3.4, as text
constexpr std::string_view kBlanks = " \t\r\v\f";

// The next word of `line`, which is shortened by it; empty at the end.
std::string_view take_word(std::string_view& line) {
  const std::size_t begin = line.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) {
    line = {};
    return {};
  }
  const std::size_t end = std::min(line.find_first_of(kBlanks, begin), line.size());
  const std::string_view word = line.substr(begin, end - begin);
  line.remove_prefix(end);
  return word;
}

bool is_comment(std::string_view word) { return word.starts_with('#') || word.starts_with(';'); }

bool is_scope(std::string_view text) {
  return !text.empty() && text.size() < IFNAMSIZ && std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < 127 && c != '/' && c != '%';
  });
}

std::optional<Nameserver> parse_nameserver(std::string_view word) {
  const std::size_t percent = word.find('%');
  const auto address = sys::parse_ip(word.substr(0, percent));
  if (!address) {
    return std::nullopt;
  }
  if (percent == std::string_view::npos) {
    return Nameserver{*address, {}};
  }
  const std::string_view scope = word.substr(percent + 1);
  if (address->is_v4() || !is_scope(scope)) {
    return std::nullopt;
  }
  return Nameserver{*address, std::string(scope)};
}

void add_nameserver(std::vector<Nameserver>& servers, Nameserver server) {
  const bool v4 = server.address.is_v4();
  const auto same_family = [v4](const Nameserver& s) { return s.address.is_v4() == v4; };
  const auto count = static_cast<std::size_t>(std::count_if(servers.begin(), servers.end(), same_family));
  const bool repeated = std::find(servers.begin(), servers.end(), server) != servers.end();
  if (!repeated && count < kMaxNameserversPerFamily) {
    servers.push_back(std::move(server));
  }
}

// A lone dot means the root: nothing to search.
bool is_domain(std::string_view word) {
  return word != "." && word.size() <= kMaxDomainLength &&
         std::all_of(word.begin(), word.end(), [](char c) { return c > ' ' && c < 127; });
}

std::vector<std::string> parse_search(std::string_view words, std::size_t limit) {
  std::vector<std::string> search;
  for (std::string_view word = take_word(words); !word.empty() && !is_comment(word);
       word = take_word(words)) {
    if (is_domain(word) && search.size() < limit) {
      search.emplace_back(word);
    }
  }
  return search;
}

void parse_line(std::string_view line, ResolvConf& conf) {
  const std::string_view keyword = take_word(line);
  if (keyword == "nameserver") {
    if (auto server = parse_nameserver(take_word(line))) {
      add_nameserver(conf.nameservers, std::move(*server));
    }
  } else if (keyword == "search") {
    conf.search = parse_search(line, line.size());
  } else if (keyword == "domain") {
    conf.search = parse_search(line, 1);
  }
}

Result<std::string> read_bounded(int fd, const std::string& path) {
  // The size that fstat tells may change meanwhile: one byte more than allowed is asked for.
  std::string text(kMaxResolvConfSize + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t n = ::read(fd, &text[size], text.size() - size);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return sys::errno_error(fmt::format("cannot read {}", path));
    }
    if (n == 0) {
      break;
    }
    size += static_cast<std::size_t>(n);
  }
  if (size > kMaxResolvConfSize) {
    return sys::errno_error(EFBIG,
                            fmt::format("cannot use {} (more than {} bytes)", path, kMaxResolvConfSize));
  }
  text.resize(size);
  return text;
}

}  // namespace

ResolvConf parse_resolv_conf(std::string_view text) {
  text = text.substr(0, kMaxResolvConfSize);
  ResolvConf conf;
  while (!text.empty()) {
    const std::size_t newline = std::min(text.find('\n'), text.size());
    parse_line(text.substr(0, newline), conf);
    text.remove_prefix(std::min(newline + 1, text.size()));
  }
  return conf;
}

std::string with_nameservers(std::string_view text, std::span<const sys::IpAddress> nameservers) {
  std::string result;
  for (const sys::IpAddress& nameserver : nameservers) {
    result += fmt::format("nameserver {}\n", to_string(nameserver));
  }
  while (!text.empty()) {
    const std::size_t newline = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, newline);
    text.remove_prefix(std::min(newline + 1, text.size()));
    std::string_view rest = line;
    if (take_word(rest) != "nameserver") {
      result.append(line).append("\n");
    }
  }
  return result;
}

Result<std::string> read_resolv_conf(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) {
    return sys::errno_error(fmt::format("cannot open {}", path));
  }
  struct stat s {};
  if (::fstat(fd.get(), &s) != 0) {
    return sys::errno_error(fmt::format("cannot examine {}", path));
  }
  if (!S_ISREG(s.st_mode)) {
    return sys::plain_error(fmt::format("cannot use {} (not a regular file)", path));
  }
  return read_bounded(fd.get(), path);
}

Result<ResolvConf> load_resolv_conf(const std::string& path) {
  auto text = read_resolv_conf(path);
  if (!text) {
    return text.error();
  }
  return parse_resolv_conf(*text);
}

std::uint32_t resolve_scope(const std::string& scope) noexcept {
  if (const unsigned index = ::if_nametoindex(scope.c_str()); index != 0) {
    return index;
  }
  std::uint32_t number = 0;
  const char* end = scope.data() + scope.size();
  const auto [stop, error] = std::from_chars(scope.data(), end, number);
  return error == std::errc() && stop == end ? number : 0;
}

}  // namespace l4n::netns
