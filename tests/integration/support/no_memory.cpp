#include "tests/integration/support/no_memory.hpp"

#include <sys/mman.h>

#include <cerrno>

namespace l4n::integration {
namespace {

struct Mapping {
  bool fails = false;
  std::size_t refusals = 0;
};

Mapping& mapping() noexcept {
  static Mapping state;
  return state;
}

}  // namespace

NoMemory::NoMemory() noexcept { mapping() = {true, 0}; }
NoMemory::~NoMemory() { mapping() = {}; }
std::size_t NoMemory::refusals() const noexcept { return mapping().refusals; }

}  // namespace l4n::integration

// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker chose these names
extern "C" {

void* __real_mmap(void* address, std::size_t length, int protection, int flags, int fd, off_t offset);

void* __wrap_mmap(void* address, std::size_t length, int protection, int flags, int fd, off_t offset) {
  if (l4n::integration::mapping().fails) {
    ++l4n::integration::mapping().refusals;
    errno = ENOMEM;
    return MAP_FAILED;  // NOLINT(performance-no-int-to-ptr): the kernel's own macro
  }
  return __real_mmap(address, length, protection, flags, fd, offset);
}
}
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
