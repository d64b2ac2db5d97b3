#include "cli/not_built_yet.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>

namespace l4n::cli {
namespace {

struct Feature {
  std::string_view option;
  bool (*wanted)(const Options&);
};

constexpr auto kNotBuiltYet = std::to_array<Feature>({
    {"--outbound-addr6", [](const Options& o) { return o.outbound_addr6.has_value(); }},
});

}  // namespace

std::string not_built_yet(const Options& options) {
  for (const Feature& feature : kNotBuiltYet) {
    if (feature.wanted(options)) {
      return fmt::format("lwip4netns: {} is not supported by this version\n", feature.option);
    }
  }
  return {};
}

}  // namespace l4n::cli
