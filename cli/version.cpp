#include "cli/version.hpp"

#include <fmt/format.h>
#include <seccomp.h>

#ifndef LWIP4NETNS_VERSION
#error "LWIP4NETNS_VERSION must be defined by the build"
#endif
#ifndef LWIP4NETNS_COMMIT
#define LWIP4NETNS_COMMIT "unknown"
#endif

namespace l4n::cli {
namespace {

constexpr std::string_view kLwipVersion = "2.2.1";

std::string_view base_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// Both identities: the one asked for first, as "NAME version X".
std::string identity_lines(std::string_view argv0) {
  if (base_name(argv0) == "slirp4netns") {
    return fmt::format("slirp4netns version {}\nlwip4netns: {}\n", kSlirp4netnsVersion, program_version());
  }
  return fmt::format("lwip4netns version {}\nslirp4netns: {}\n", program_version(), kSlirp4netnsVersion);
}

// Of the library that is loaded, not of the headers. Null only when libseccomp has not found out.
std::string libseccomp_version() {
  const scmp_version* const version = ::seccomp_version();
  if (version == nullptr) {
    return "unknown";
  }
  return fmt::format("{}.{}.{}", version->major, version->minor, version->micro);
}

}  // namespace

std::string_view program_version() noexcept { return LWIP4NETNS_VERSION; }

std::string_view program_commit() noexcept { return LWIP4NETNS_COMMIT; }

std::string version_text(std::string_view argv0) {
  return fmt::format("{}commit: {}\nlwip: {}\nSLIRP_CONFIG_VERSION_MAX: {}\nlibseccomp: {}\n",
                     identity_lines(argv0), program_commit(), kLwipVersion, kSlirpConfigVersionMax,
                     libseccomp_version());
}

}  // namespace l4n::cli
