#include "cli/api_protocol.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <exception>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "cli/json_extent.hpp"
#include "netns/sys/result.hpp"

namespace l4n::cli {
namespace {

// Members stay in the order in which they were put in: replies are compared as text by some.
using Json = nlohmann::ordered_json;
// A whole reply, or what is wrong with the request.
using Reply = sys::Result<Json>;

// Any text that is not ours is none of ours to check.
std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

sys::Error bad(std::string_view what) { return sys::plain_error(what); }

sys::Error bad_argument(std::string_view verb, std::string_view name) {
  return bad(fmt::format("{}: bad arguments.{}", verb, name));
}

// Reading JSON

// Which of two members of the same name counts is anybody's guess, so a text that has them is refused.
class DuplicateFinder {
 public:
  void see(Json::parse_event_t event, const Json& parsed) {
    if (event == Json::parse_event_t::object_start) {
      open_.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      open_.pop_back();
    } else if (event == Json::parse_event_t::key) {
      found_ = !open_.back().insert(parsed.get<std::string>()).second || found_;
    }
  }
  [[nodiscard]] bool found() const noexcept { return found_; }

 private:
  std::vector<std::set<std::string>> open_;  // the names in each object that is still open
  bool found_ = false;
};

std::optional<Json> parse(std::string_view text) {
  DuplicateFinder duplicates;
  const auto see = [&duplicates](int /*depth*/, Json::parse_event_t event, Json& parsed) {
    duplicates.see(event, parsed);
    return true;
  };
  Json json = Json::parse(text.begin(), text.end(), see, /*allow_exceptions=*/false);
  if (json.is_discarded() || duplicates.found()) {
    return std::nullopt;
  }
  return json;
}

// Nothing when there is no such member, or null in its place.
const Json* member(const Json* object, std::string_view name) {
  if (object == nullptr || !object->is_object()) {
    return nullptr;
  }
  const auto found = object->find(std::string(name));
  return found == object->end() || found->is_null() ? nullptr : &*found;
}

const std::string* text_member(const Json* object, std::string_view name) {
  const Json* value = member(object, name);
  return value == nullptr ? nullptr : value->get_ptr<const Json::string_t*>();
}

// However it is written: 80, 80.0 and 8e1 are one number to many a language.
std::optional<std::uint32_t> whole_number(const Json* value) {
  constexpr double kMost = UINT32_MAX;
  if (value == nullptr || !value->is_number()) {
    return std::nullopt;
  }
  const auto number = value->get<double>();
  if (!(number >= 0 && number <= kMost) || std::floor(number) != number) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(number);
}

// Arguments of add_hostfwd

// Which family the host's address has to be of.
enum class Family : std::uint8_t { either, v4, v6 };

struct ProtocolName {
  std::string_view name;
  nat::ForwardProtocol protocol;
  Family family;
};
constexpr auto kProtocols = std::to_array<ProtocolName>({
    {"tcp", nat::ForwardProtocol::tcp, Family::either},
    {"udp", nat::ForwardProtocol::udp, Family::either},
    {"tcp4", nat::ForwardProtocol::tcp, Family::v4},
    {"udp4", nat::ForwardProtocol::udp, Family::v4},
    {"tcp6", nat::ForwardProtocol::tcp, Family::v6},
    {"udp6", nat::ForwardProtocol::udp, Family::v6},
});

const ProtocolName* to_protocol(const std::string* name) {
  for (const ProtocolName& row : kProtocols) {
    if (name != nullptr && *name == row.name) {
      return &row;
    }
  }
  return nullptr;
}

// As it was asked for.
std::string_view protocol_of(const nat::ForwardRule& rule) {
  const Family of_host = rule.host.address.is_v4() ? Family::v4 : Family::v6;
  const Family family = rule.names_family ? of_host : Family::either;
  for (const ProtocolName& row : kProtocols) {
    if (row.protocol == rule.protocol && row.family == family) {
      return row.name;
    }
  }
  return "?";
}

bool fits(const sys::IpAddress& address, Family family) {
  return family == Family::either || address.is_v4() == (family == Family::v4);
}

// An IPv4 address in the clothes of IPv6, which would be taken for what it is not.
bool is_v4_mapped(const sys::IpAddress& address) {
  constexpr sys::Ipv6Network kMapped{{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}}, 96};
  return !address.is_v4() && kMapped.contains(address.v6());
}

// Callers send an empty text where they mean the default.
std::optional<sys::IpAddress> to_address(const Json* value, const sys::IpAddress& fallback) {
  if (value == nullptr) {
    return fallback;
  }
  const auto* text = value->get_ptr<const Json::string_t*>();
  if (text == nullptr) {
    return std::nullopt;
  }
  const auto address = text->empty() ? fallback : sys::parse_ip(*text);
  return address && !is_v4_mapped(*address) ? address : std::nullopt;
}

sys::IpAddress any_address(Family family) {
  return family == Family::v6 ? sys::IpAddress(sys::Ipv6Address{}) : sys::IpAddress(sys::Ipv4Address{});
}

// Of the host's family, where the guest has it.
sys::IpAddress default_guest(const ApiContext& context, const sys::IpAddress& host) {
  return host.is_v4() || !context.guest6 ? sys::IpAddress(context.guest) : sys::IpAddress(*context.guest6);
}

struct Ports {
  std::uint16_t first = 0;
  std::uint16_t count = 1;
};

std::optional<std::uint16_t> to_port(std::string_view digits) {
  std::uint16_t port = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, port);
  return error == std::errc() && stop == end && port != 0 ? std::optional(port) : std::nullopt;
}

// "8000-8010"
std::optional<Ports> to_range(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) {
    return std::nullopt;
  }
  const auto first = to_port(text.substr(0, dash));
  const auto last = to_port(text.substr(dash + 1));
  if (!first || !last || *last < *first) {
    return std::nullopt;
  }
  return Ports{*first, static_cast<std::uint16_t>(*last - *first + 1)};
}

// A number may be 0 here.
std::optional<Ports> to_ports(const Json* value) {
  if (value != nullptr && value->is_string()) {
    return to_range(value->get_ref<const Json::string_t&>());
  }
  const auto number = whole_number(value);
  if (!number || *number > UINT16_MAX) {
    return std::nullopt;
  }
  return Ports{static_cast<std::uint16_t>(*number), 1};
}

// As many as `wanted`: a range of that length, or the first port of it.
std::optional<std::uint16_t> to_first_port(const Json* value, unsigned wanted) {
  const auto ports = to_ports(value);
  if (!ports || ports->first == 0 || ports->first + wanted - 1 > UINT16_MAX) {
    return std::nullopt;
  }
  const bool fits = value->is_number() || ports->count == wanted;
  return fits ? std::optional(ports->first) : std::nullopt;
}

// The order of the checks is part of the contract.
sys::Result<nat::ForwardRule> to_rule(const Json* arguments, const ApiContext& context) {
  constexpr std::string_view kVerb = "add_hostfwd";
  const ProtocolName* protocol = to_protocol(text_member(arguments, "proto"));
  if (protocol == nullptr) {
    return bad_argument(kVerb, "proto");
  }
  const auto host_addr = to_address(member(arguments, "host_addr"), any_address(protocol->family));
  if (!host_addr || !fits(*host_addr, protocol->family)) {
    return bad_argument(kVerb, "host_addr");
  }
  const auto host_ports = to_ports(member(arguments, "host_port"));
  if (!host_ports) {
    return bad_argument(kVerb, "host_port");
  }
  const auto guest_addr = to_address(member(arguments, "guest_addr"), default_guest(context, *host_addr));
  if (!guest_addr || !(guest_addr->is_v4() || context.guest6)) {
    return bad_argument(kVerb, "guest_addr");
  }
  const auto guest_port = to_first_port(member(arguments, "guest_port"), host_ports->count);
  if (!guest_port) {
    return bad_argument(kVerb, "guest_port");
  }
  return nat::ForwardRule{protocol->protocol,
                          {*host_addr, host_ports->first},
                          {*guest_addr, *guest_port},
                          host_ports->count,
                          protocol->family != Family::either};
}

// Verbs

Json port_json(std::uint16_t first, std::uint16_t count) {
  if (count == 1) {
    return first;
  }
  return fmt::format("{}-{}", first, first + count - 1);
}

Json entry(const nat::Forward& forward) {
  const nat::ForwardRule& rule = forward.rule;
  Json json;
  json["id"] = forward.id;
  json["proto"] = protocol_of(rule);
  json["host_addr"] = sys::to_string(rule.host.address);
  json["host_port"] = port_json(rule.host.port, rule.count);
  json["guest_addr"] = sys::to_string(rule.guest.address);
  json["guest_port"] = port_json(rule.guest.port, rule.count);
  return json;
}

Reply add_hostfwd(const Json* arguments, const ApiContext& context) {
  const auto rule = to_rule(arguments, context);
  if (!rule) {
    return rule.error();
  }
  const auto added = context.forwards.add(*rule);
  if (!added) {
    context.log.warning(sys::LogClass::host, "cannot forward {} {} to {}: {}", protocol_of(*rule),
                        sys::to_string(rule->host), sys::to_string(rule->guest), added.error().message());
    return bad("add_hostfwd: slirp_add_hostfwd failed");
  }
  Json reply;
  reply["return"]["id"] = added->id;
  if (rule->host.port == 0) {
    reply["return"]["host_port"] = added->rule.host.port;
  }
  return reply;
}

Reply list_hostfwd(const Json* /*arguments*/, const ApiContext& context) {
  Json entries = Json::array();
  for (const nat::Forward& forward : context.forwards.list()) {
    entries.push_back(entry(forward));
  }
  Json reply;
  reply["return"]["entries"] = entries;
  reply["entries"] = std::move(entries);
  return reply;
}

Reply remove_hostfwd(const Json* arguments, const ApiContext& context) {
  const auto id = whole_number(member(arguments, "id"));
  if (!id || !context.forwards.remove(*id)) {
    return bad_argument("remove_hostfwd", "id");
  }
  Json reply;
  reply["return"] = Json::object();
  return reply;
}

Reply stats(const Json* /*arguments*/, const ApiContext& context) {
  Json reply;
  reply["return"] = to_json(context.stats());
  return reply;
}

struct Verb {
  std::string_view name;
  Reply (*execute)(const Json* arguments, const ApiContext& context);
};
constexpr auto kVerbs = std::to_array<Verb>({
    {"add_hostfwd", add_hostfwd},
    {"list_hostfwd", list_hostfwd},
    {"remove_hostfwd", remove_hostfwd},
    {"stats", stats},
});

std::string_view first_value(std::string_view text) {
  JsonExtent extent;
  extent.feed(text);
  return text.substr(0, extent.size());
}

Reply execute(std::string_view text, const ApiContext& context) {
  if (text.size() >= kApiRequestLimit) {
    return bad("too large message");
  }
  const auto request = parse(first_value(text));
  if (!request) {
    return bad("cannot parse JSON");
  }
  if (!request->is_object()) {
    return bad("json_object() failed");
  }
  const std::string* name = text_member(&*request, "execute");
  if (name == nullptr) {
    return bad("no execute found");
  }
  for (const Verb& verb : kVerbs) {
    if (*name == verb.name) {
      return verb.execute(member(&*request, "arguments"), context);
    }
  }
  return bad("unknown execute");
}

std::string reply_text(const Reply& reply) {
  if (reply) {
    return dump(*reply);
  }
  Json error;
  error["error"]["desc"] = fmt::format("bad request: {}", reply.error().what);
  return dump(error);
}

}  // namespace

std::string answer_api_request(std::string_view request, const ApiContext& context) noexcept {
  try {
    return reply_text(execute(request, context));
  } catch (const std::exception& e) {
    // Nothing above is known to throw but for lack of memory; the library may surprise us.
    context.log.error(sys::LogClass::general, "an API request failed: {}", e.what());
    return R"({"error":{"desc":"bad request: cannot parse JSON"}})";
  }
}

}  // namespace l4n::cli
