// Domain names as text and as labels (RFC 1035 3.1), written apart from the product's encoders.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "netns/sys/bytes.hpp"

namespace l4n::fuzz {

// The name that starts at `at`, without compression, with a dot behind every label; `at` moves behind it.
// Nothing when it does not end, has a label longer than 63 bytes, or is longer than 255 bytes.
[[nodiscard]] std::optional<std::string> read_name(sys::Bytes data, std::size_t& at);

// One name after the other up to the end, or to `padding` bytes of zero. Nothing for anything else.
[[nodiscard]] std::optional<std::vector<std::string>> read_names(sys::Bytes data, std::size_t padding = 0);

// Whether a host can be called so. A dot at its end is allowed.
[[nodiscard]] bool is_host_name(std::string_view text);
// Whether it is a name at all: RFC 1035 2.3.4 but not 2.3.1, any bytes in the labels.
[[nodiscard]] bool is_name(std::string_view text);

// With exactly one dot at its end.
[[nodiscard]] std::string with_dot(std::string_view text);

}  // namespace l4n::fuzz
