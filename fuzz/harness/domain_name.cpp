// Domain names on their way into DHCP and DHCPv6: encoded, read back by other code, and compared.
//
// Input: the room for the list, and names, one per line.
#include "stack/domain_name.hpp"

#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/input.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/reference/dns_name.hpp"
#include "fuzz/support/fault.hpp"
#include "fuzz/support/text.hpp"

namespace l4n::fuzz {
namespace {

void check_name(const std::string& text) {
  std::vector<std::byte> encoded = stack::encode_domain_name(text);
  if (fault("domain_name: label") && encoded.size() > 1) {
    encoded[1] ^= std::byte{1};
  }
  FUZZ_REQUIRE(encoded.empty() != is_host_name(text), "the name \"{}\" is {}", printable(text),
               encoded.empty() ? "refused" : "taken");
  if (encoded.empty()) {
    return;
  }
  std::size_t end = 0;
  const auto read = read_name(encoded, end);
  FUZZ_REQUIRE(read == with_dot(text) && end == encoded.size(), "the name \"{}\" is read back as \"{}\"",
               printable(text), printable(read.value_or("?")));
}

// The list holds the good names up to the first for which there is no room.
void check_list(const std::vector<std::string>& names, std::size_t limit) {
  std::vector<std::byte> list = stack::encode_search_list(names, limit);
  if (fault("domain_name: list too long")) {
    list.resize(limit + 1);
  }
  FUZZ_REQUIRE(list.size() <= limit, "a search list of {} bytes where {} are allowed", list.size(), limit);
  std::vector<std::string> expected;
  std::size_t size = 0;
  for (const std::string& name : names) {
    if (!is_host_name(name)) {
      continue;
    }
    size += with_dot(name).size() + 1;
    if (size > limit) {
      break;
    }
    expected.push_back(with_dot(name));
  }
  FUZZ_REQUIRE(read_names(list) == expected, "a search list of {} bytes that is not the first {} names",
               list.size(), expected.size());
}

void run(sys::Bytes input) {
  Input in(input);
  const std::size_t limit = in.u16();
  const std::vector<std::string> names = lines(in.rest());
  for (const std::string& name : names) {
    check_name(name);
  }
  check_list(names, limit);
}

std::string print(sys::Bytes input) {
  Input in(input);
  const std::size_t limit = in.u16();
  return fmt::format("limit {}\n{}\n", limit, printable(text(in.rest()), "\n"));
}

}  // namespace

const Harness kHarness{run, print, mutate_bytes};

}  // namespace l4n::fuzz
