// Makes a mutated frame pass the front end's first checks again.
#pragma once

#include <vector>

#include "netns/sys/bytes.hpp"

namespace l4n::fuzz {

// Sets the IP version and lengths to what the frame is, and the checksums of IPv4, TCP, UDP, ICMP and ICMPv6
// to what they should be. `vnet`: a virtio header comes first; its flags are cleared, so that checksums are
// looked at, unless it asks for segmentation. A frame that is too short for something is left as it is from
// there on.
void repair_frame(std::vector<std::byte>& frame, bool vnet);

}  // namespace l4n::fuzz
