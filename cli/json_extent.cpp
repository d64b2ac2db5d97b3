#include "cli/json_extent.hpp"

namespace l4n::cli {

void JsonExtent::feed(std::string_view piece) noexcept {
  for (const char c : piece) {
    if (complete_) {
      return;
    }
    ++size_;
    if (in_string_) {
      feed_string(c);
    } else {
      feed_structure(c);
    }
  }
}

void JsonExtent::feed_string(char c) noexcept {
  if (escaped_) {
    escaped_ = false;
  } else if (c == '\\') {
    escaped_ = true;
  } else if (c == '"') {
    in_string_ = false;
  }
}

void JsonExtent::feed_structure(char c) noexcept {
  if (c == '"') {
    in_string_ = true;
  } else if (c == '{' || c == '[') {
    ++depth_;
  } else if (c == '}' || c == ']') {
    // A closing bracket too many ends the text as well: no more bytes can make it right.
    depth_ -= depth_ == 0 ? 0U : 1U;
    complete_ = depth_ == 0;
  }
}

}  // namespace l4n::cli
