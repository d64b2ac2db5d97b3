// Text among a fuzzer's bytes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "netns/sys/bytes.hpp"

namespace l4n::fuzz {

[[nodiscard]] std::string text(sys::Bytes bytes);

// Pieces between newlines (or other separators). A text without any is one piece, an empty one is one too.
[[nodiscard]] std::vector<std::string> pieces(std::string_view whole, char separator);
[[nodiscard]] std::vector<std::string> lines(sys::Bytes bytes);

// Bytes that are not printable ASCII as \xNN, but for those of `kept`.
[[nodiscard]] std::string printable(std::string_view text, std::string_view kept = {});

}  // namespace l4n::fuzz
