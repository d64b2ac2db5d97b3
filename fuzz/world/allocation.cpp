#include "fuzz/world/allocation.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <vector>

#include "stack/frame_poison.hpp"

namespace l4n::fuzz {
namespace {

struct Allocations {
  std::uint64_t failing = 0;
  unsigned step = 0;
  std::size_t held = 0;
  std::size_t mapped = 0;
  std::uint64_t failed = 0;
  // Buffers that were given back, for the next who asks: most of a bulk session's time would go into faulting
  // pages in. What an earlier input has left in them also shows when bytes go out that nobody has written.
  std::vector<void*> kept;
};

constexpr std::size_t kMostKept = 512;
constexpr std::size_t kBufferSize = sizeof(stack::FrameBuffer);

Allocations& allocations() noexcept {
  static Allocations state;
  return state;
}

bool fails_now() noexcept {
  Allocations& a = allocations();
  const bool fails = (a.failing >> (a.step++ % 64U) & 1U) != 0;
  a.failed += fails ? 1 : 0;
  return fails;
}

// Null when there is none.
void* take_kept(std::size_t length) noexcept {
  std::vector<void*>& kept = allocations().kept;
  if (length != kBufferSize || kept.empty()) {
    return nullptr;
  }
  void* memory = kept.back();
  kept.pop_back();
  stack::unpoison(*static_cast<stack::FrameBuffer*>(memory));
  return memory;
}

// False when it is to be unmapped.
bool keep(void* memory, std::size_t length) noexcept {
  std::vector<void*>& kept = allocations().kept;
  if (length != kBufferSize || kept.size() >= kMostKept) {
    return false;
  }
  stack::poison(*static_cast<stack::FrameBuffer*>(memory));
  kept.push_back(memory);
  return true;
}

}  // namespace

void set_allocation_failures(std::uint64_t pattern) noexcept {
  allocations().failing = pattern;
  allocations().step = 0;
}

std::size_t lwip_allocations() noexcept { return allocations().held; }

void hold_lwip_memory() noexcept { ++allocations().held; }

std::size_t mapped_buffers() noexcept { return allocations().mapped; }

std::uint64_t failed_allocations() noexcept { return allocations().failed; }

}  // namespace l4n::fuzz

// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker chose these names
extern "C" {

// lwIP's mem_size_t is a size_t with MEM_LIBC_MALLOC.
void* __real_mem_malloc(std::size_t size);
void __real_mem_free(void* memory);
void* __real_mmap(void* address, std::size_t length, int protection, int flags, int fd, off_t offset);
int __real_munmap(void* address, std::size_t length);

void* __wrap_mem_malloc(std::size_t size) {
  if (l4n::fuzz::fails_now()) {
    return nullptr;
  }
  void* memory = __real_mem_malloc(size);
  l4n::fuzz::allocations().held += memory != nullptr ? 1 : 0;
  return memory;
}

void __wrap_mem_free(void* memory) {
  l4n::fuzz::allocations().held -= memory != nullptr ? 1 : 0;
  __real_mem_free(memory);
}

void* __wrap_mmap(void* address, std::size_t length, int protection, int flags, int fd, off_t offset) {
  if (l4n::fuzz::fails_now()) {
    errno = ENOMEM;
    return MAP_FAILED;  // NOLINT(performance-no-int-to-ptr): the kernel's own macro
  }
  ++l4n::fuzz::allocations().mapped;
  if (void* kept = l4n::fuzz::take_kept(length); kept != nullptr) {
    return kept;
  }
  return __real_mmap(address, length, protection, flags, fd, offset);
}

int __wrap_munmap(void* address, std::size_t length) {
  --l4n::fuzz::allocations().mapped;
  return l4n::fuzz::keep(address, length) ? 0 : __real_munmap(address, length);
}
}
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
