#include "fuzz/support/api_checks.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <set>

#include "cli/json_extent.hpp"
#include "fuzz/engine/input.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/structure/records.hpp"
#include "fuzz/support/fault.hpp"
#include "fuzz/support/text.hpp"

namespace l4n::fuzz {
namespace {

using nlohmann::json;

// So many requests are enough to see what one does to the next.
constexpr std::size_t kMostRequests = 8;
// Pieces of a long request are never so small that there would be more than this.
constexpr std::size_t kMostPieces = 32;

bool overlap(const nat::ForwardRule& a, const nat::ForwardRule& b) {
  const bool same = a.protocol == b.protocol && a.host.address == b.host.address;
  return same && a.host.port < b.host.port + b.count && b.host.port < a.host.port + a.count;
}

ApiRequest to_request(const Record& record) {
  constexpr std::array<std::size_t, 8> kPieces{1, 2, 3, 5, 8, 17, 100, 4096};
  Input in(record);
  const std::uint8_t flags = in.u8();
  ApiRequest request;
  request.text = text(in.rest());
  request.piece = std::max(kPieces.at(flags & 7U), request.text.size() / kMostPieces + 1);
  request.half_close = (flags & 8U) == 0;
  return request;
}

bool depends_on_pieces(const ApiRequest& request) {
  cli::JsonExtent extent;
  extent.feed(request.text);
  return request.text.size() >= cli::kApiRequestLimit && extent.size() < cli::kApiRequestLimit;
}

void check_rule(const nat::ForwardRule& rule) {
  FUZZ_REQUIRE(rule.count > 0 && rule.host.port + rule.count - 1 <= 0xffff &&
                   rule.guest.port + rule.count - 1 <= 0xffff && rule.guest.port != 0,
               "a forward of {} ports from {} on to {}", rule.count, rule.host.port, rule.guest.port);
}

void check_entry(const json& entry, const nat::Forward& forward) {
  const nat::ForwardRule& rule = forward.rule;
  const bool udp = rule.protocol == nat::ForwardProtocol::udp;
  FUZZ_REQUIRE(entry["id"] == forward.id, "a forward is listed under another number");
  FUZZ_REQUIRE(entry["proto"].get<std::string>().starts_with(udp ? "udp" : "tcp"),
               "a forward is listed with another protocol");
  FUZZ_REQUIRE(entry["host_addr"] == sys::to_string(rule.host.address) &&
                   entry["guest_addr"] == sys::to_string(rule.guest.address),
               "a forward is listed with other addresses");
  FUZZ_REQUIRE(
      rule.count > 1 || (entry["host_port"] == rule.host.port && entry["guest_port"] == rule.guest.port),
      "a forward is listed with other ports");
}

}  // namespace

sys::Result<nat::Forward> ListedForwards::add(const nat::ForwardRule& rule) {
  constexpr std::uint16_t kChosenPort = 40000;
  nat::Forward forward{last_id_ + 1, rule};
  if (rule.host.port == 0) {
    forward.rule.host.port = kChosenPort;
  }
  for (const nat::Forward& other : forwards_) {
    if (overlap(other.rule, forward.rule)) {
      return sys::errno_error(EADDRINUSE, "cannot listen");
    }
  }
  ++last_id_;
  forwards_.push_back(forward);
  return forward;
}

bool ListedForwards::remove(std::uint32_t id) noexcept {
  return std::erase_if(forwards_, [id](const nat::Forward& f) { return f.id == id; }) > 0;
}

std::string ApiAnswerer::answer(std::string_view request) {
  constexpr sys::Ipv6Address kGuest6{{0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  return cli::answer_api_request(request, {forwards_, sys::make_ipv4(10, 0, 2, 100), kGuest6, log_});
}

std::vector<ApiRequest> to_requests(sys::Bytes input) {
  std::vector<Record> records = split_records(input);
  records.resize(std::min(records.size(), kMostRequests));
  std::vector<ApiRequest> requests;
  std::transform(records.begin(), records.end(), std::back_inserter(requests), to_request);
  std::erase_if(requests, depends_on_pieces);
  return requests;
}

std::string print_requests(sys::Bytes input) {
  std::string out;
  for (const ApiRequest& request : to_requests(input)) {
    out += fmt::format("pieces of {}{}: {}\n", request.piece, request.half_close ? ", half-close" : "",
                       printable(request.text));
  }
  return out;
}

std::size_t mutate_requests(sys::MutableBytes data, std::size_t size, std::size_t max_size, Random& random) {
  return mutate_records(data, size, max_size, random, mutate_record_bytes);
}

json check_reply(const std::string& text) {
  json reply = json::parse(text, nullptr, /*allow_exceptions=*/false);
  FUZZ_REQUIRE(reply.is_object(), "a reply that is no JSON object: {}", printable(text));
  FUZZ_REQUIRE(reply.contains("return") != reply.contains("error"), "neither done nor refused: {}",
               printable(text));
  if (reply.contains("error")) {
    const json desc = reply["error"].value("desc", json());
    FUZZ_REQUIRE(desc.is_string() && desc.get<std::string>().starts_with("bad request: "),
                 "an error of another form: {}", printable(text));
  }
  return reply;
}

void check_ids(const std::vector<std::string>& replies) {
  std::set<json> ids;
  for (const std::string& text : replies) {
    const json reply = check_reply(text);
    if (reply.contains("return") && reply["return"].contains("id")) {
      const json id = fault("api: id again") ? json(1) : reply["return"]["id"];
      FUZZ_REQUIRE(ids.insert(id).second, "the number {} is given twice", id.dump());
    }
  }
}

void check_forwards(ApiAnswerer& answerer) {
  std::vector<nat::Forward> forwards = answerer.forwards().list();
  if (fault("api: unlisted")) {
    forwards.emplace_back();
  }
  const json reply = check_reply(answerer.answer(R"({"execute":"list_hostfwd"})"));
  FUZZ_REQUIRE(reply["entries"] == reply["return"]["entries"], "the two lists in one reply differ");
  FUZZ_REQUIRE(reply["entries"].size() == forwards.size(), "{} forwards are listed, {} are there",
               reply["entries"].size(), forwards.size());
  for (std::size_t i = 0; i < forwards.size(); ++i) {
    check_rule(forwards[i].rule);
    check_entry(reply["entries"][i], forwards[i]);
  }
}

}  // namespace l4n::fuzz
