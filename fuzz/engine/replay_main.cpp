// The runner for every compiler: replays files, prints one, or mutates them by itself.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/engine/crash_file.hpp"
#include "fuzz/engine/determinism.hpp"
#include "fuzz/engine/harness.hpp"

namespace l4n::fuzz {
namespace {

using ByteString = std::vector<std::byte>;
using SteadyClock = std::chrono::steady_clock;

constexpr std::string_view kUsage =
    "usage: {} [--runs N | --seconds N] [--seed S] FILE|DIRECTORY...\n"
    "       {} --print FILE\n"
    "\n"
    "Runs every file twice, the second time in the opposite order, and compares what came out.\n"
    "--runs N     then runs N mutations of them\n"
    "--seconds N  then runs mutations of them for so long\n"
    "--print      shows an input in readable form\n"
    "\n"
    "An input that ends the process is left in ./crash-input.\n";
// As libFuzzer's default.
constexpr std::size_t kLargestInput = 4096;

struct Options {
  std::vector<std::string> paths;
  std::uint64_t runs = 0;
  std::uint64_t seconds = 0;
  std::uint64_t seed = 1;
  bool print = false;
};

[[noreturn]] void usage(const char* program) {
  fmt::print(stderr, fmt::runtime(kUsage), program, program);
  std::exit(2);
}

std::uint64_t number(const char* program, std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    usage(program);
  }
  return value;
}

Options parse(const char* program, const std::vector<std::string>& arguments) {
  Options options;
  for (auto at = arguments.begin(); at != arguments.end(); ++at) {
    if (*at == "--print") {
      options.print = true;
    } else if (*at == "--runs" && at + 1 != arguments.end()) {
      options.runs = number(program, *++at);
    } else if (*at == "--seconds" && at + 1 != arguments.end()) {
      options.seconds = number(program, *++at);
    } else if (*at == "--seed" && at + 1 != arguments.end()) {
      options.seed = number(program, *++at);
    } else if (at->starts_with("-")) {
      usage(program);
    } else {
      options.paths.push_back(*at);
    }
  }
  if (options.paths.empty()) {
    usage(program);
  }
  return options;
}

// The files, and those in the directories, in the order of their names.
std::vector<std::string> files_of(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) {
        files.push_back(entry.path().string());
      }
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

ByteString read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) {
    fmt::print(stderr, "cannot read {}\n", path);
    std::exit(2);
  }
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// An input in a place of its own, of exactly its size: a read beyond it does not find the next one.
struct Seed {
  ByteString bytes;
  std::uint64_t digest = 0;
  SteadyClock::duration took{};
};

void run_all(std::vector<Seed>& seeds) {
  for (Seed& seed : seeds) {
    set_current_input(seed.bytes);
    const auto start = SteadyClock::now();
    seed.digest = run_once(seed.bytes);
    seed.took = SteadyClock::now() - start;
  }
}

void run_all_backwards(const std::vector<Seed>& seeds) {
  for (std::size_t i = seeds.size(); i-- > 0;) {
    set_current_input(seeds[i].bytes);
    run_again(seeds[i].bytes, seeds[i].digest);
  }
}

ByteString mutation_of(const ByteString& from, Random& random) {
  ByteString data(kLargestInput);
  std::size_t size = std::min(from.size(), data.size());
  std::copy_n(from.begin(), size, data.begin());
  for (std::size_t rounds = 1 + random.below(4); rounds > 0; --rounds) {
    size = kHarness.mutate(data, size, data.size(), random);
  }
  return {data.begin(), data.begin() + static_cast<std::ptrdiff_t>(size)};
}

// Chooses seeds so that each gets about as much time as another, however long one run of it takes: a few slow
// ones would take most of it otherwise.
class Chooser {
 public:
  explicit Chooser(const std::vector<Seed>& seeds) : seeds_(seeds) {
    std::vector<double> weights;
    std::transform(seeds.begin(), seeds.end(), std::back_inserter(weights), [](const Seed& seed) {
      constexpr std::chrono::duration<double> kAlwaysCheap = std::chrono::microseconds(200);
      return 1 / (kAlwaysCheap + seed.took).count();
    });
    std::partial_sum(weights.begin(), weights.end(), std::back_inserter(sums_));
  }

  [[nodiscard]] const ByteString& next(Random& random) const {
    constexpr std::size_t kParts = 1U << 20U;
    const double at = sums_.back() * static_cast<double>(random.below(kParts)) / kParts;
    const auto chosen = std::upper_bound(sums_.begin(), sums_.end(), at) - sums_.begin();
    return seeds_[static_cast<std::size_t>(chosen)].bytes;
  }

 private:
  const std::vector<Seed>& seeds_;
  std::vector<double> sums_;
};

// Returns how many.
std::uint64_t run_mutations(const Options& options, const std::vector<Seed>& seeds) {
  const auto end = SteadyClock::now() + std::chrono::seconds(options.seconds);
  const Chooser chooser(seeds);
  Random random(options.seed);
  std::uint64_t runs = 0;
  while (runs < options.runs || SteadyClock::now() < end) {
    const ByteString input = mutation_of(chooser.next(random), random);
    set_current_input(input);
    run_sometimes_twice(input);
    ++runs;
  }
  return runs;
}

void report(std::string_view what, std::uint64_t executions, SteadyClock::time_point since) {
  const std::chrono::duration<double> took = SteadyClock::now() - since;
  fmt::print("{}: {} executions, {:.0f}/s\n", what, executions,
             static_cast<double>(executions) / std::max(took.count(), 1e-9));
}

int replay(const Options& options) {
  const std::vector<std::string> files = files_of(options.paths);
  if (files.empty()) {
    fmt::print(stderr, "nothing to run\n");
    return 2;
  }
  std::vector<Seed> seeds;
  std::transform(files.begin(), files.end(), std::back_inserter(seeds),
                 [](const std::string& path) { return Seed{read_file(path)}; });
  if (options.print) {
    fmt::print("{}", kHarness.print(seeds.front().bytes));
    return 0;
  }
  keep_crash_input();
  const auto start = SteadyClock::now();
  run_all(seeds);
  run_all_backwards(seeds);
  report("replayed", 2 * seeds.size(), start);
  if (options.runs > 0 || options.seconds > 0) {
    const auto mutations_start = SteadyClock::now();
    report("mutated", run_mutations(options, seeds), mutations_start);
  }
  return 0;
}

}  // namespace
}  // namespace l4n::fuzz

int main(int argc, char** argv) {
  return l4n::fuzz::replay(l4n::fuzz::parse(argv[0], {argv + 1, argv + argc}));
}
