// The API's protocol: every request gets one reply that is JSON, whatever it says and in what pieces it
// comes.
//
// Input: to_requests() in fuzz/support/api_checks.hpp. The server around it is the harness api_server.
#include "cli/json_extent.hpp"
#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/support/api_checks.hpp"
#include "fuzz/support/fault.hpp"
#include "fuzz/support/text.hpp"

namespace l4n::fuzz {
namespace {

// What of a request the server has when it answers: all of it, or the pieces up to that in which it ends.
std::string_view heard(const ApiRequest& request) {
  const std::string_view text = request.text;
  cli::JsonExtent extent;
  std::size_t size = 0;
  while (size < text.size() && !extent.complete()) {
    extent.feed(text.substr(size, request.piece));
    size = std::min(size + request.piece, text.size());
  }
  return text.substr(0, size);
}

void run(sys::Bytes input) {
  ApiAnswerer whole;
  ApiAnswerer in_pieces;
  std::vector<std::string> replies;
  for (const ApiRequest& request : to_requests(input)) {
    replies.push_back(whole.answer(request.text));
    const std::string reply = fault("api: pieces matter") ? "{}" : in_pieces.answer(heard(request));
    FUZZ_REQUIRE(reply == replies.back(), "in pieces the reply is {} instead of {}", printable(reply),
                 printable(replies.back()));
  }
  if (fault("api: no JSON") && !replies.empty()) {
    replies.back() += "}";
  }
  check_ids(replies);
  check_forwards(whole);
}

}  // namespace

const Harness kHarness{run, print_requests, mutate_requests};

}  // namespace l4n::fuzz
