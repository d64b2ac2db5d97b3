#include "netns/close_descriptors.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <vector>

namespace l4n::netns {
namespace {

// close_range(2) came with Linux 5.9.
bool close_range_of(unsigned first, unsigned last) noexcept {
  if (first > last) {
    return true;
  }
#ifdef SYS_close_range
  return ::syscall(SYS_close_range, first, last, 0U) == 0;
#else
  errno = ENOSYS;
  return false;
#endif
}

std::vector<int> open_descriptors() {
  std::vector<int> found;
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) {
    return found;
  }
  while (const dirent* entry = ::readdir(directory)) {
    if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') {
      found.push_back(static_cast<int>(std::strtol(entry->d_name, nullptr, 10)));
    }
  }
  ::closedir(directory);  // its own descriptor was among those found: closing it again does no harm
  return found;
}

// Without /proc as well: whatever the limit allows.
std::vector<int> possible_descriptors() {
  constexpr rlim_t kMost = 65536;
  rlimit limit{};
  const bool known = ::getrlimit(RLIMIT_NOFILE, &limit) == 0;
  std::vector<int> all(static_cast<std::size_t>(known ? std::min(limit.rlim_cur, kMost) : kMost));
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = static_cast<int>(i);
  }
  return all;
}

void close_one_by_one(const std::vector<int>& keep) {
  std::vector<int> all = open_descriptors();
  if (all.empty()) {
    all = possible_descriptors();
  }
  for (const int fd : all) {
    if (!std::binary_search(keep.begin(), keep.end(), fd)) {
      ::close(fd);
    }
  }
}

}  // namespace

void close_descriptors_except(std::span<const int> keep) noexcept {
  std::vector<int> sorted(keep.begin(), keep.end());
  std::sort(sorted.begin(), sorted.end());
  unsigned first = 0;
  bool closed = true;
  for (const int fd : sorted) {
    const auto kept = static_cast<unsigned>(fd);
    if (fd < 0 || kept < first) {
      continue;
    }
    closed = closed && (kept == 0 || close_range_of(first, kept - 1));
    first = kept + 1;
  }
  closed = closed && close_range_of(first, UINT_MAX);
  if (!closed) {
    close_one_by_one(sorted);
  }
}

void detach_stdio() noexcept {
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd <= 2; ++fd) {
    if (null < 0) {
      ::close(fd);
    } else if (null != fd) {
      ::dup2(null, fd);
    }
  }
  if (null > 2) {
    ::close(null);
  }
}

}  // namespace l4n::netns
