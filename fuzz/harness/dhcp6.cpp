// The DHCPv6 server: requests are read as other code reads them, replies are well-formed answers, and no
// address belongs to two clients.
//
// Input: records. The first one configures the server; each of the others begins with a byte that tells how
// many quarter hours pass before the rest of it, a message, arrives, and a byte that says where it was sent.
#include "nat/dhcp6_server.hpp"

#include <algorithm>
#include <array>

#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/input.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/reference/dhcp6_request.hpp"
#include "fuzz/reference/dns_name.hpp"
#include "fuzz/reference/lease_book.hpp"
#include "fuzz/structure/records.hpp"
#include "fuzz/structure/tlv.hpp"
#include "fuzz/support/fault.hpp"
#include "fuzz/support/text.hpp"
#include "nat/policy.hpp"
#include "tests/support/dhcp6_client.hpp"

namespace l4n::fuzz {
namespace {

using nat::Dhcp6Association;
using nat::Dhcp6Request;
using nat::Dhcp6Type;
using sys::Ipv6Address;
using test::Dhcp6View;

constexpr std::chrono::seconds kLease{86400};
constexpr std::chrono::seconds kDeclined{600};
constexpr std::chrono::minutes kStep{15};
constexpr std::size_t kMessageAt = 2;

struct Setup {
  nat::Dhcp6Server::Config config;
  std::vector<std::string> search;
};

Setup to_setup(const Record& record) {
  Input in(record);
  Setup setup;
  const std::uint8_t flags = in.u8();
  setup.config.dns = (flags & 1U) != 0;
  setup.config.network = {{{0xfd}}, (flags & 2U) != 0 ? 120U : 64U};
  setup.search = lines(in.rest());
  return setup;
}

std::string describe(const std::optional<Dhcp6Request>& r) {
  if (!r) {
    return "none";
  }
  std::string out = fmt::format("type {} id {:06x} client \"{}\" server \"{}\"{}", static_cast<int>(r->type),
                                r->transaction_id, printable(text(r->client_id)),
                                printable(text(r->server_id)), r->rapid_commit ? " rapid" : "");
  for (const Dhcp6Association& a : r->associations) {
    out += fmt::format(" {}:{}", static_cast<int>(a.kind), a.iaid);
    for (const Ipv6Address& address : a.addresses) {
      out += "," + sys::to_string(address);
    }
  }
  out += r->asks_for_options ? " wants" : "";
  for (const std::uint16_t code : r->wanted) {
    out += fmt::format(" {}", code);
  }
  return out;
}

// What one association's lease is known by.
std::string lessee(const Dhcp6Request& request, std::uint32_t iaid) {
  return fmt::format("{} {}", iaid, text(request.client_id));
}

// An address in a reply.
struct Granted {
  Ipv6Address address;
  std::uint32_t preferred = 0;
  std::uint32_t valid = 0;
};

Granted to_granted(sys::Bytes value) {
  Granted granted;
  for (std::size_t i = 0; i < granted.address.bytes.size(); ++i) {
    granted.address.bytes.at(i) = sys::load_u8(&value[i]);
  }
  granted.preferred = sys::load_be32(&value[16]);
  granted.valid = sys::load_be32(&value[20]);
  return granted;
}

class Session {
 public:
  explicit Session(const Setup& setup) : setup_(setup), server_(setup.config, clock_) {
    server_.set_search(setup.search);
  }

  void handle(sys::Duration pause, std::uint8_t where, sys::Bytes message) {
    clock_.advance(pause);
    const auto request = expected_dhcp6_request(message);
    auto decoded = nat::decode_dhcp6_request(message);
    if (fault("dhcp6: address") && decoded && !decoded->associations.empty()) {
      ++decoded->associations[0].iaid;
    }
    FUZZ_REQUIRE(describe(decoded) == describe(request), "a DHCPv6 message is read as {}, it says {}",
                 describe(decoded), describe(request));
    const std::array<sys::IpAddress, 4> destinations{nat::kAllDhcp6Servers, nat::kAllDhcp6Servers,
                                                     setup_.config.network.host(2), nat::kRouterAddress};
    const sys::Endpoint to{destinations.at(where % destinations.size()), nat::kDhcp6ServerPort};
    FUZZ_REQUIRE(server_.serves(to), "the server does not serve {}", sys::to_string(to));
    const auto reply = server_.answer(message, client_, to);
    if (!reply) {
      return;
    }
    FUZZ_REQUIRE(request, "a malformed DHCPv6 message is answered");
    check(*request, *reply, to.address == nat::kAllDhcp6Servers);
  }

 private:
  void check(const Dhcp6Request& request, const nat::Dhcp6Reply& reply, bool multicast) {
    std::vector<std::byte> payload = reply.payload;
    if (fault("dhcp6: cut off")) {
      payload.pop_back();
    }
    const auto view = test::view_dhcp6_reply(payload);
    FUZZ_REQUIRE(view, "a malformed DHCPv6 reply");
    FUZZ_REQUIRE(payload.size() <= 1232, "a DHCPv6 reply of {} bytes", payload.size());
    FUZZ_REQUIRE(reply.destination == (sys::Endpoint{client_.address, 546}), "a DHCPv6 reply to {}",
                 sys::to_string(reply.destination));
    check_frame(request, *view);
    check_configuration(request, *view);
    if (!multicast) {
      FUZZ_REQUIRE(view->status() == 5 && view->associations.empty(),
                   "a DHCPv6 message by unicast is served");
      return;
    }
    note_given_back(request);
    check_associations(request, *view, payload);
  }

  static void check_frame(const Dhcp6Request& request, const Dhcp6View& view) {
    FUZZ_REQUIRE(view.transaction_id == request.transaction_id, "a DHCPv6 reply to somebody else");
    FUZZ_REQUIRE(view.has(2) && view.values.at(2) == test::server_duid(), "a DHCPv6 reply of another server");
    const bool named = !request.client_id.empty();
    FUZZ_REQUIRE(view.has(1) == named && (!named || view.values.at(1) == request.client_id),
                 "a DHCPv6 reply with another client identifier");
    const bool advertises = request.type == Dhcp6Type::solicit && !view.has(14);
    FUZZ_REQUIRE(view.type == (advertises ? test::kAdvertise6 : test::kReply6) || view.status() == 5,
                 "a DHCPv6 message of type {} is answered by one of type {}", static_cast<int>(request.type),
                 view.type);
    FUZZ_REQUIRE(!view.has(14) || (request.rapid_commit && request.type == Dhcp6Type::solicit),
                 "a DHCPv6 reply in a haste that nobody has");
    FUZZ_REQUIRE(request.server_id.empty() || request.server_id == test::server_duid(),
                 "a DHCPv6 message to another server is answered");
  }

  void check_configuration(const Dhcp6Request& request, const Dhcp6View& view) const {
    for (const unsigned code : {23U, 24U}) {
      const bool wanted =
          !request.asks_for_options || std::count(request.wanted.begin(), request.wanted.end(), code) > 0;
      FUZZ_REQUIRE(!view.has(code) || wanted, "a DHCPv6 reply with the option {}, which nobody wants", code);
    }
    FUZZ_REQUIRE(!view.has(23) || setup_.config.dns, "a DHCPv6 reply with a name server that there is not");
    if (view.has(24)) {
      FUZZ_REQUIRE(read_names(view.values.at(24)), "a DHCPv6 reply with a malformed search list");
    }
  }

  void note_given_back(const Dhcp6Request& request) {
    for (const Dhcp6Association& association : request.associations) {
      for (const Ipv6Address& address : association.addresses) {
        const std::string client = lessee(request, association.iaid);
        if (request.type == Dhcp6Type::release) {
          book_.released(address, client);
        } else if (request.type == Dhcp6Type::decline) {
          book_.declined(address, client, kDeclined);
        }
      }
    }
  }

  void check_associations(const Dhcp6Request& request, const Dhcp6View& view, sys::Bytes payload) {
    const auto options = test::split_dhcp6_options(payload.subspan(4));
    for (const auto& [code, value] : *options) {
      if (code != 3 && code != 4 && code != 25) {
        continue;
      }
      FUZZ_REQUIRE(test::describe_dhcp6_association(code, value) != "malformed",
                   "a DHCPv6 reply with a malformed association");
      const std::uint32_t iaid = sys::load_be32(value.data());
      const bool asked = std::any_of(request.associations.begin(), request.associations.end(),
                                     [code = code, iaid](const auto& a) {
                                       return static_cast<unsigned>(a.kind) == code && a.iaid == iaid;
                                     });
      FUZZ_REQUIRE(asked, "a DHCPv6 reply with an association that nobody asked for");
      if (code == 3) {
        check_addresses(lessee(request, iaid), value, view.type == test::kAdvertise6);
      }
    }
  }

  // `association`: the value of an IA_NA option.
  void check_addresses(const std::string& client, sys::Bytes association, bool only_offers) {
    const auto options = test::split_dhcp6_options(association.subspan(12));
    for (const auto& [code, value] : *options) {
      if (code != 5) {
        continue;
      }
      const Granted granted = to_granted(value);
      FUZZ_REQUIRE(granted.preferred <= granted.valid, "an address preferred for longer than it is valid");
      if (granted.valid == 0) {
        continue;  // not to be used any more
      }
      FUZZ_REQUIRE(granted.valid == 86400, "a lease of {} seconds", granted.valid);
      check_pool(granted.address);
      if (only_offers) {
        book_.check_free_for(granted.address, client);
      } else {
        book_.granted(granted.address, fault("dhcp6: two clients") ? std::to_string(++strangers_) : client,
                      kLease);
      }
    }
  }

  void check_pool(const Ipv6Address& address) const {
    const bool small = setup_.config.network.prefix == 120;
    const unsigned first = small ? 0x64 : 0x100;
    const unsigned number = address.bytes[14] * 256U + address.bytes[15];
    FUZZ_REQUIRE(setup_.config.network.contains(address) && number >= first && number < first + 16,
                 "{} is given, which is not in the pool", sys::to_string(address));
  }

  const Setup& setup_;
  const sys::Endpoint client_{*sys::parse_ip("fe80::5054:ff:fe12:3456"), 546};
  sys::ManualClock clock_;
  nat::Dhcp6Server server_;
  LeaseBook book_{clock_};
  int strangers_ = 0;  // of the fault
};

void run(sys::Bytes input) {
  const std::vector<Record> records = split_records(input);
  if (records.empty()) {
    return;
  }
  const Setup setup = to_setup(records[0]);
  Session session(setup);
  for (const Record& record : std::span(records).subspan(1)) {
    Input in(record);
    const sys::Duration pause = in.u8() * kStep;
    const std::uint8_t where = in.u8();
    session.handle(pause, where, in.rest());
  }
}

std::string print(sys::Bytes input) {
  const std::vector<Record> records = split_records(input);
  std::string out;
  for (std::size_t i = 1; i < records.size(); ++i) {
    Input in(records[i]);
    const unsigned pause = in.u8();
    const unsigned where = in.u8();
    out += fmt::format("+{} min to {}: {}\n", pause * kStep.count(), where % 4,
                       describe(expected_dhcp6_request(in.rest())));
  }
  return out;
}

constexpr auto kKnownOptions = std::to_array<unsigned>({1, 2, 3, 4, 5, 6, 8, 13, 14, 23, 24, 25, 26});
constexpr TlvFormat kOptions{.number_size = 2, .known = kKnownOptions};

// What stands before the options of an association (RFC 8415 21.4).
constexpr std::size_t kIaFixed = 12;

void replace_options(std::vector<std::byte>& bytes, std::size_t fixed, const std::vector<Tlv>& options) {
  const std::vector<std::byte> joined = join_tlvs(options, kOptions);
  bytes.resize(fixed);
  bytes.insert(bytes.end(), joined.begin(), joined.end());
}

void mutate_options(std::vector<std::byte>& bytes, std::size_t fixed, Random& random) {
  if (bytes.size() < fixed) {
    return;
  }
  std::vector<Tlv> options = split_tlvs(std::span(bytes).subspan(fixed), kOptions);
  // Half of the time inside of an association.
  const std::size_t at = random.below(options.size());
  const bool nested = at < options.size() && (options[at].type == 3 || options[at].type == 25);
  if (nested && options[at].value.size() >= kIaFixed && random.one_in(2)) {
    std::vector<std::byte>& association = options[at].value;
    std::vector<Tlv> inner = split_tlvs(std::span(association).subspan(kIaFixed), kOptions);
    mutate_tlvs(inner, kOptions, random);
    replace_options(association, kIaFixed, inner);
  } else {
    mutate_tlvs(options, kOptions, random);
  }
  replace_options(bytes, fixed, options);
}

void mutate_message(Record& record, Random& random) {
  if (random.one_in(3)) {
    mutate_record_bytes(record, random);
  } else {
    mutate_options(record, kMessageAt + 4, random);
  }
}

std::size_t mutate(sys::MutableBytes data, std::size_t size, std::size_t max_size, Random& random) {
  return mutate_records(data, size, max_size, random, mutate_message);
}

}  // namespace

const Harness kHarness{run, print, mutate};

}  // namespace l4n::fuzz
