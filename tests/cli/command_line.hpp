// Makes the argv of a command line written as one string; words are separated by single spaces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/options.hpp"

namespace l4n::cli::test {

inline std::vector<std::string> split(std::string_view line) {
  std::vector<std::string> words;
  for (std::size_t end = line.find(' '); end != std::string_view::npos; end = line.find(' ')) {
    words.emplace_back(line.substr(0, end));
    line.remove_prefix(end + 1);
  }
  words.emplace_back(line);
  return words;
}

inline ParseOutcome parse_words(const std::vector<std::string>& words) {
  std::vector<const char*> argv;
  argv.reserve(words.size());
  for (const std::string& word : words) {
    argv.push_back(word.c_str());
  }
  return parse_options(argv);
}

inline ParseOutcome parse_line(std::string_view line) { return parse_words(split(line)); }

}  // namespace l4n::cli::test
