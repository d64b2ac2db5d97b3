#include "netns/resource_limits.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>

namespace l4n::netns {
namespace {

struct Limit {
  decltype(RLIMIT_CORE) resource;  // an enumeration with glibc, an int with musl
  rlim_t most;
  const char* what;
};

}  // namespace

unsigned raise_descriptor_limit(unsigned most) noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return most;  // cannot be; whatever the limit is, reaching it is an ordinary error of every socket
  }
  rlimit wanted = limit;
  wanted.rlim_cur = std::max<rlim_t>(limit.rlim_cur, std::min<rlim_t>(limit.rlim_max, most));
  if (::setrlimit(RLIMIT_NOFILE, &wanted) == 0) {
    limit = wanted;
  }
  return static_cast<unsigned>(std::min<rlim_t>(limit.rlim_cur, most));
}

sys::Result<void> limit_resources(unsigned descriptors) {
  const auto limits = std::to_array<Limit>({
      {RLIMIT_CORE, 0, "core files"},
      {RLIMIT_NPROC, 0, "processes"},
      {RLIMIT_MEMLOCK, 0, "locked memory"},
      {RLIMIT_NOFILE, descriptors, "descriptors"},
  });
  for (const Limit& limit : limits) {
    rlimit value{};
    bool done = ::getrlimit(limit.resource, &value) == 0;
    value.rlim_cur = std::min(value.rlim_cur, limit.most);
    value.rlim_max = value.rlim_cur;
    done = done && ::setrlimit(limit.resource, &value) == 0;
    if (!done) {
      return sys::errno_error(fmt::format("cannot limit {}", limit.what));
    }
  }
  return {};
}

}  // namespace l4n::netns
