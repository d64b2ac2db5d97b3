// Sends frames on an interface, faster than a script could. Run in the guest's network namespace.
//
//     stress_flood INTERFACE RATE COUNT SECONDS vary [VARIATION]...
//     stress_flood INTERFACE RATE COUNT SECONDS mutate LONGEST
//
// stdin: frames, each behind its length in two bytes (big-endian). They go out in turn with some fields
// changed, or as mutations. RATE in frames per second, or 0: as fast as they are taken. None is lost: one for
// which the interface has no room is tried again. It ends after COUNT frames or, unless that is 0, SECONDS,
// whatever comes first; then it prints a line of JSON: the frames sent, and the seconds that took.
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "netns/sys/bytes.hpp"
#include "netns/sys/fd.hpp"
#include "tests/stress/frame_changes.hpp"

namespace l4n::stress {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kBatch = 64;
constexpr std::chrono::microseconds kFullPause(100);

struct Plan {
  std::string interface;
  std::uint64_t rate = 0;  // frames per second; 0: as they are taken
  std::uint64_t count = 0;
  std::chrono::seconds limit{};  // 0: none
  std::vector<Variation> variations;
  std::optional<std::size_t> longest;  // of mutations; null: no mutations
};

std::uint64_t number_of(const char* text) { return std::strtoull(text, nullptr, 10); }

std::optional<Plan> parse_plan(std::span<char*> words) {
  if (words.size() < 6) {
    return std::nullopt;
  }
  Plan plan{words[1], number_of(words[2]), number_of(words[3]), std::chrono::seconds(number_of(words[4])), {},
            {}};
  const std::string_view kind = words[5];
  if (kind == "mutate" && words.size() == 7) {
    plan.longest = number_of(words[6]);
    return *plan.longest >= kShortest ? std::optional(plan) : std::nullopt;
  }
  for (const char* word : words.subspan(6)) {
    const auto variation = parse_variation(word);
    if (!variation) {
      return std::nullopt;
    }
    plan.variations.push_back(*variation);
  }
  return kind == "vary" ? std::optional(plan) : std::nullopt;
}

std::vector<Frame> read_frames(std::FILE* in) {
  std::vector<Frame> frames;
  std::array<std::byte, 2> length{};
  while (std::fread(length.data(), 1, length.size(), in) == length.size()) {
    Frame frame(sys::load_be16(length.data()));
    if (std::fread(frame.data(), 1, frame.size(), in) != frame.size()) {
      return {};
    }
    frames.push_back(std::move(frame));
  }
  return frames;
}

// Past the queueing discipline, so that a full TAP is told at once.
sys::Fd open_interface(const std::string& name) {
  sys::Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(::if_nametoindex(name.c_str()));
  const int on = 1;
  const bool done = fd.valid() && address.sll_ifindex != 0 &&
                    ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                    ::setsockopt(fd.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) == 0;
  return done ? std::move(fd) : sys::Fd();
}

class Flood {
 public:
  Flood(Plan plan, std::vector<Frame> frames, sys::Fd fd)
      : plan_(std::move(plan)), frames_(std::move(frames)), fd_(std::move(fd)) {}

  // Returns how many frames were sent.
  std::uint64_t run() {
    const Clock::time_point begin = Clock::now();
    std::uint64_t number = 0;
    while (number < plan_.count && (plan_.limit.count() == 0 || Clock::now() - begin < plan_.limit)) {
      if (plan_.rate != 0) {
        std::this_thread::sleep_until(begin + std::chrono::nanoseconds(number * 1'000'000'000 / plan_.rate));
      }
      const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(kBatch, plan_.count - number));
      for (std::size_t i = 0; i < size; ++i) {
        batch_[i] = make(number + i);
      }
      send(std::span(batch_).first(size));
      number += size;
    }
    return number;
  }

 private:
  Frame make(std::uint64_t number) {
    if (plan_.longest) {
      return mutate(frames_, *plan_.longest, random_);
    }
    Frame frame = frames_[number % frames_.size()];
    for (const Variation& variation : plan_.variations) {
      vary(frame, variation, static_cast<std::uint32_t>(number / frames_.size()), random_);
    }
    repair_checksums(frame);
    return frame;
  }

  void send(std::span<Frame> frames) {
    std::array<iovec, kBatch> parts{};
    std::array<mmsghdr, kBatch> messages{};
    for (std::size_t i = 0; i < frames.size(); ++i) {
      parts[i] = {frames[i].data(), frames[i].size()};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    std::size_t done = 0;
    while (done < frames.size()) {
      const int sent = ::sendmmsg(fd_.get(), &messages[done], static_cast<unsigned>(frames.size() - done), 0);
      if (sent > 0) {
        done += static_cast<std::size_t>(sent);
      } else if (errno == ENOBUFS) {
        std::this_thread::sleep_for(kFullPause);
      } else {
        std::perror("cannot send");
        std::exit(1);
      }
    }
  }

  const Plan plan_;
  const std::vector<Frame> frames_;
  const sys::Fd fd_;
  Random random_;  // always the same: a run can be had again
  std::array<Frame, kBatch> batch_;
};

int run(std::span<char*> words) {
  auto plan = parse_plan(words);
  if (!plan) {
    std::fputs("usage: stress_flood INTERFACE RATE COUNT SECONDS vary [VARIATION]... | mutate LONGEST\n",
               stderr);
    return 2;
  }
  auto frames = read_frames(stdin);
  sys::Fd fd = open_interface(plan->interface);
  if (frames.empty() || !fd.valid()) {
    std::fputs("stress_flood: no frames on stdin, or no such interface\n", stderr);
    return 1;
  }
  const Clock::time_point begin = Clock::now();
  const std::uint64_t sent = Flood(*std::move(plan), std::move(frames), std::move(fd)).run();
  const std::chrono::duration<double> took = Clock::now() - begin;
  std::printf("{\"sent\": %llu, \"seconds\": %.3f}\n", static_cast<unsigned long long>(sent), took.count());
  return 0;
}

}  // namespace
}  // namespace l4n::stress

int main(int argc, char** argv) { return l4n::stress::run({argv, static_cast<std::size_t>(argc)}); }
