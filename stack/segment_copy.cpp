#include "stack/segment_copy.hpp"

#include <cstring>
#include <memory>
#include <new>

#include "lwip/pbuf.h"

namespace l4n::stack {
namespace {

// lwIP's tcp_seg and the allocator's headers.
constexpr std::size_t kBesides = 96;

struct Copy {
  pbuf_custom custom;  // first: lwIP gives us its address
  MemoryAccount* account;
  std::size_t cost;
  std::unique_ptr<std::byte[]> data;
};

void free_copy(pbuf* p) noexcept {
  const std::unique_ptr<Copy> copy(reinterpret_cast<Copy*>(p));
  copy->account->release(copy->cost);
}

}  // namespace

std::size_t copy_cost(std::size_t size) noexcept { return sizeof(Copy) + kBesides + size; }

pbuf* copy_to_pbuf(sys::Bytes bytes, MemoryAccount& account) noexcept {
  std::unique_ptr<Copy> copy(new (std::nothrow) Copy{});
  std::unique_ptr<std::byte[]> data(new (std::nothrow) std::byte[bytes.size()]);
  if (!copy || !data) {
    return nullptr;
  }
  std::memcpy(data.get(), bytes.data(), bytes.size());
  const auto length = static_cast<u16_t>(bytes.size());
  copy->custom.custom_free_function = free_copy;
  copy->account = &account;
  copy->cost = copy_cost(bytes.size());
  copy->data = std::move(data);
  account.charge(copy->cost);
  Copy* owned_by_pbuf = copy.release();
  return pbuf_alloced_custom(PBUF_RAW, length, PBUF_REF, &owned_by_pbuf->custom, owned_by_pbuf->data.get(),
                             length);
}

}  // namespace l4n::stack
