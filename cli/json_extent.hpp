// Where a JSON object or array ends, found while its bytes arrive. A client that keeps its side of the
// connection open has finished its request nevertheless when the last bracket is there.
#pragma once

#include <cstddef>
#include <string_view>

namespace l4n::cli {

// Counts brackets outside of strings, and checks nothing else: whether the text is well-formed is for the
// parser to say. A text without brackets never becomes complete.
class JsonExtent {
 public:
  // The next piece of the text. What follows the end is ignored.
  void feed(std::string_view piece) noexcept;
  [[nodiscard]] bool complete() const noexcept { return complete_; }
  // Bytes from the beginning of the text to the end of the value (complete), or so far (otherwise).
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  void feed_string(char c) noexcept;
  void feed_structure(char c) noexcept;

  std::size_t size_ = 0;
  std::size_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool complete_ = false;
};

}  // namespace l4n::cli
