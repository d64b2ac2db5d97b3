#include "netns/sys/heap_trimmer.hpp"

#include <cstdlib>  // defines __GLIBC__ where it applies

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace l4n::sys {

void trim_heap() noexcept {
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

bool HeapTrimmer::on_turn_end() noexcept {
  if (!timer_.armed() && graveyard_.buried() != seen_) {
    seen_ = graveyard_.buried();
    timer_.arm(kCalm);
  }
  return false;
}

void HeapTrimmer::on_timer() noexcept {
  const bool burst = graveyard_.buried() - seen_ >= kBurst;
  seen_ = graveyard_.buried();
  if (burst) {
    timer_.arm(kCalm);
  } else {
    trim_();
  }
}

}  // namespace l4n::sys
