// Who we are: lwip4netns, or slirp4netns when run under that name, because callers look for it.
#pragma once

#include <string>
#include <string_view>

namespace l4n::cli {

// The version of slirp4netns whose behaviour is kept.
inline constexpr std::string_view kSlirp4netnsVersion = "1.3.3";
// Scripts test this number to learn what the network stack can be configured to do.
inline constexpr unsigned kSlirpConfigVersionMax = 5;

// From the build: X.Y.Z, and the commit or "unknown".
[[nodiscard]] std::string_view program_version() noexcept;
[[nodiscard]] std::string_view program_commit() noexcept;

// The output of --version.
[[nodiscard]] std::string version_text(std::string_view argv0);

}  // namespace l4n::cli
