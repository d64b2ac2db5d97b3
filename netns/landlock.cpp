#include "netns/landlock.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "netns/sys/fd.hpp"

namespace l4n::netns {
namespace {

// <linux/landlock.h>, which the headers that we are built with may lack, or have in an old version.
#ifdef SYS_landlock_create_ruleset
constexpr long kCreateRuleset = SYS_landlock_create_ruleset;
constexpr long kRestrictSelf = SYS_landlock_restrict_self;
#else
constexpr long kCreateRuleset = 444;
constexpr long kRestrictSelf = 446;
#endif
constexpr unsigned kAskVersion = 1;

// Its first version. Later ones have more fields, for networks and signals, which we leave alone.
struct RulesetAttributes {
  std::uint64_t handled_access_fs;
};

// How many rights to files there are with versions 1 to 5: one bit each, from the lowest.
constexpr auto kRights = std::to_array<unsigned>({13, 14, 15, 15, 16});

}  // namespace

std::uint64_t file_rights(long version) noexcept {
  if (version < 1) {
    return 0;
  }
  const auto known = std::min(static_cast<std::size_t>(version), kRights.size());
  return (std::uint64_t{1} << kRights.at(known - 1)) - 1;
}

sys::Result<void> deny_files() {
  const RulesetAttributes attributes = {
      file_rights(::syscall(kCreateRuleset, nullptr, std::size_t{0}, kAskVersion))};
  if (attributes.handled_access_fs == 0) {
    return {};
  }
  // Rights that are handled and that no rule grants are denied.
  const sys::Fd ruleset(static_cast<int>(::syscall(kCreateRuleset, &attributes, sizeof attributes, 0U)));
  if (!ruleset.valid()) {
    return sys::errno_error("sandbox: cannot make a Landlock ruleset");
  }
  if (::syscall(kRestrictSelf, ruleset.get(), 0U) != 0) {
    return sys::errno_error("sandbox: cannot give up the file system");
  }
  return {};
}

}  // namespace l4n::netns
