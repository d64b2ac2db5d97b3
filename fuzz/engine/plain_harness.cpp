// What harnesses without a structure of their own use.
#include <fmt/format.h>

#include "fuzz/engine/harness.hpp"

namespace l4n::fuzz {

std::string print_hex(sys::Bytes input) {
  std::string text;
  for (std::size_t i = 0; i < input.size(); ++i) {
    text += fmt::format("{:02x}{}", sys::load_u8(&input[i]), i % 16 == 15 ? '\n' : ' ');
  }
  return text;
}

}  // namespace l4n::fuzz
