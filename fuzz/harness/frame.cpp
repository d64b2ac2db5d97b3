// Raw frames, several per input: two bytes of options, then each frame with its length and what time passes
// before it. The mutator changes what is in them and repairs lengths and checksums most of the time, so that
// what lies behind the front end is reached.
#include <algorithm>

#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/input.hpp"
#include "fuzz/world/frame_repair.hpp"
#include "fuzz/world/places.hpp"
#include "fuzz/world/world.hpp"
#include "stack/vnet_header.hpp"

namespace l4n::fuzz {
namespace {

using ByteString = std::vector<std::byte>;

constexpr std::size_t kHeader = 2;
constexpr std::size_t kFrameHeader = 3;
constexpr std::size_t kLargestFrame = 2048;

struct Frame {
  std::uint8_t delay = 0;  // in steps of 20 ms
  ByteString bytes;        // from the virtio header on, where the world's port has one
};

std::vector<Frame> take_frames(Input& in) {
  std::vector<Frame> frames;
  while (!in.empty()) {
    Frame frame;
    frame.delay = in.u8();
    const std::size_t size = std::min<std::size_t>(in.u16(), kLargestFrame);
    const sys::Bytes bytes = in.bytes(size);
    frame.bytes.assign(bytes.begin(), bytes.end());
    frames.push_back(std::move(frame));
  }
  return frames;
}

// What the world answers to the host's side of things is fixed: connects succeed, one UDP and one TCP port
// are forwarded, and whoever is connected gets a little data.
void run(sys::Bytes input) {
  Input in(input);
  World world(WorldOptions::take(in));
  for (const auto protocol : {nat::ForwardProtocol::tcp, nat::ForwardProtocol::udp}) {
    nat::ForwardRule rule;
    rule.protocol = protocol;
    rule.host = {sys::make_ipv4(0, 0, 0, 0), 8000};
    rule.guest = {guest_address(rule.host.address), 80};
    world.forward(rule);
  }
  for (const Frame& frame : take_frames(in)) {
    world.port().send_raw(frame.bytes);
    world.advance(frame.delay * std::chrono::milliseconds(20));
    static_cast<void>(world.take_packets());
  }
  world.finish(input.size() % 16 == 0);
}

std::string print(sys::Bytes input) {
  Input in(input);
  const WorldOptions options = WorldOptions::take(in);
  std::string text = options.text();
  for (const Frame& frame : take_frames(in)) {
    const std::size_t skip = options.port.vnet ? stack::VnetHeader::kSize : 0;
    const sys::Bytes bytes = frame.bytes;
    const auto packet =
        bytes.size() < skip ? std::nullopt : integration::parse_frame({}, bytes.subspan(skip));
    text += fmt::format("after {} ms, {} bytes: {}\n{}\n", frame.delay * 20, bytes.size(),
                        packet ? packet->text() : "not understood", print_hex(bytes));
  }
  return text;
}

// --- mutation ---

void mutate_frame(Frame& frame, bool vnet, Random& random) {
  const std::size_t size = std::min(frame.bytes.size(), kLargestFrame);
  frame.bytes.resize(kLargestFrame);
  frame.bytes.resize(mutate_bytes(frame.bytes, size, kLargestFrame, random));
  if (!random.one_in(5)) {
    repair_frame(frame.bytes, vnet);
  }
}

void mutate_frames(std::vector<Frame>& frames, bool vnet, Random& random) {
  if (frames.empty()) {
    frames.emplace_back();
  }
  const std::size_t at = random.below(frames.size());
  const auto place = frames.begin() + static_cast<std::ptrdiff_t>(at);
  switch (random.below(8)) {
    case 0:
      frames.insert(place, Frame(frames[random.below(frames.size())]));
      break;
    case 1:
      frames.erase(place);
      break;
    case 2:
      std::swap(frames[at], frames[random.below(frames.size())]);
      break;
    case 3:
      frames[at].delay = static_cast<std::uint8_t>(random.one_in(2) ? 0 : random.next());
      break;
    default:
      mutate_frame(frames[at], vnet, random);
  }
}

std::size_t put(const std::vector<Frame>& frames, sys::MutableBytes out) {
  std::size_t at = 0;
  for (const Frame& frame : frames) {
    if (at + kFrameHeader + frame.bytes.size() > out.size()) {
      break;
    }
    out[at] = static_cast<std::byte>(frame.delay);
    sys::store_be16(&out[at + 1], static_cast<std::uint16_t>(frame.bytes.size()));
    std::copy(frame.bytes.begin(), frame.bytes.end(),
              out.begin() + static_cast<std::ptrdiff_t>(at + kFrameHeader));
    at += kFrameHeader + frame.bytes.size();
  }
  return at;
}

std::size_t mutate(sys::MutableBytes data, std::size_t size, std::size_t max_size, Random& random) {
  if (size < kHeader || max_size < kHeader + kFrameHeader) {
    return mutate_bytes(data, size, max_size, random);
  }
  if (random.one_in(30)) {
    data[random.below(kHeader)] = random.byte();
  }
  Input in(data.first(size));
  const bool vnet = WorldOptions::take(in).port.vnet;
  std::vector<Frame> frames = take_frames(in);
  for (std::size_t rounds = 1 + random.below(2); rounds > 0; --rounds) {
    mutate_frames(frames, vnet, random);
  }
  return kHeader + put(frames, data.first(max_size).subspan(kHeader));
}

}  // namespace

const Harness kHarness{run, print, mutate};

}  // namespace l4n::fuzz
