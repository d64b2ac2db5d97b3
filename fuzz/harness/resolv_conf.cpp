// resolv.conf against a parser of its own, which cuts the text into words first; and the file that is made
// for a guest, read back.
//
// Input: the text.
#include "netns/resolv_conf.hpp"

#include <algorithm>

#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/support/fault.hpp"
#include "fuzz/support/text.hpp"

namespace l4n::fuzz {
namespace {

using netns::Nameserver;
using netns::ResolvConf;

std::vector<std::string> words(const std::string& line) {
  std::vector<std::string> out;
  std::string word;
  for (const char c : line + " ") {
    const bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
    if (!blank) {
      word += c;
    } else if (!word.empty()) {
      out.push_back(word);
      word.clear();
    }
  }
  return out;
}

bool all_graphic(const std::string& word) {
  return std::all_of(word.begin(), word.end(), [](char c) { return c >= '!' && c <= '~'; });
}

std::optional<Nameserver> to_nameserver(const std::string& word) {
  const std::vector<std::string> parts = pieces(word, '%');
  const auto address = sys::parse_ip(parts[0]);
  if (!address || parts.size() > 2) {
    return std::nullopt;
  }
  if (parts.size() == 1) {
    return Nameserver{*address, ""};
  }
  const std::string& scope = parts[1];
  const bool good = !address->is_v4() && !scope.empty() && scope.size() <= 15 && all_graphic(scope) &&
                    scope.find('/') == std::string::npos;
  return good ? std::optional(Nameserver{*address, scope}) : std::nullopt;
}

// Three of each family, no one twice.
void take_nameserver(std::vector<Nameserver>& servers, const Nameserver& server) {
  const auto same = static_cast<std::size_t>(std::count_if(
      servers.begin(), servers.end(),
      [&server](const Nameserver& other) { return other.address.is_v4() == server.address.is_v4(); }));
  if (same < 3 && std::count(servers.begin(), servers.end(), server) == 0) {
    servers.push_back(server);
  }
}

std::vector<std::string> to_search(const std::vector<std::string>& words, std::size_t most) {
  std::vector<std::string> search;
  for (std::size_t i = 1; i < words.size() && words[i][0] != '#' && words[i][0] != ';'; ++i) {
    if (words[i] != "." && words[i].size() <= 253 && all_graphic(words[i]) && search.size() < most) {
      search.push_back(words[i]);
    }
  }
  return search;
}

ResolvConf expected(const std::string& text) {
  ResolvConf conf;
  for (const std::string& line : pieces(text.substr(0, 65536), '\n')) {
    const std::vector<std::string> w = words(line);
    if (w.empty()) {
      continue;
    }
    if (w[0] == "nameserver" && w.size() > 1) {
      if (const auto server = to_nameserver(w[1])) {
        take_nameserver(conf.nameservers, *server);
      }
    } else if (w[0] == "search") {
      conf.search = to_search(w, w.size());
    } else if (w[0] == "domain") {
      conf.search = to_search(w, 1);
    }
  }
  return conf;
}

// The guest's file names our servers only; the rest of the lines is as it was.
void check_for_guest(const std::string& text, const ResolvConf& host) {
  const std::vector<sys::IpAddress> ours{sys::make_ipv4(10, 0, 2, 3), *sys::parse_ip("fd00::3")};
  std::string made = netns::with_nameservers(text, ours);
  if (fault("resolv_conf: nameserver kept")) {
    made += "nameserver 192.0.2.1\n";
  }
  FUZZ_REQUIRE(made.ends_with('\n'), "a file for the guest that does not end its last line");
  const ResolvConf guest = netns::parse_resolv_conf(made);
  const std::vector<Nameserver> servers{{ours[0], ""}, {ours[1], ""}};
  FUZZ_REQUIRE(guest.nameservers == servers, "the guest is given {} name servers", guest.nameservers.size());
  // Our own two lines may push the last ones out of the size that is looked at.
  if (made.size() <= netns::kMaxResolvConfSize) {
    FUZZ_REQUIRE(guest.search == host.search, "the guest is given another search list");
  }
}

void run(sys::Bytes input) {
  const std::string file = text(input);
  ResolvConf conf = netns::parse_resolv_conf(file);
  if (fault("resolv_conf: repeated server") && !conf.nameservers.empty()) {
    conf.nameservers.push_back(conf.nameservers.front());
  }
  const ResolvConf right = expected(file);
  FUZZ_REQUIRE(conf.nameservers == right.nameservers, "{} name servers were read, {} are there",
               conf.nameservers.size(), right.nameservers.size());
  FUZZ_REQUIRE(conf.search == right.search, "{} search domains were read, {} are there", conf.search.size(),
               right.search.size());
  check_for_guest(file, conf);
}

std::string print(sys::Bytes input) { return printable(text(input), "\n\t"); }

}  // namespace

const Harness kHarness{run, print, mutate_bytes};

}  // namespace l4n::fuzz
