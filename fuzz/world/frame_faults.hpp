// Those of the injected faults that happen to a frame on its way to the guest.
#pragma once

#include "tests/integration/support/wire.hpp"

namespace l4n::fuzz {

// `bytes`: virtio header and frame.
void apply_frame_fault(integration::Data& bytes);

}  // namespace l4n::fuzz
