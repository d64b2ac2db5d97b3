// The DHCP server: requests are read as other code reads them, replies are what a strict client takes, and no
// address belongs to two clients.
//
// Input: records. The first one configures the server; each of the others begins with a byte that tells how
// many quarter hours pass before the rest of it, a message, arrives.
#include "nat/dhcp_server.hpp"

#include <algorithm>
#include <array>

#include "fuzz/engine/harness.hpp"
#include "fuzz/engine/input.hpp"
#include "fuzz/engine/oracle.hpp"
#include "fuzz/reference/dhcp_request.hpp"
#include "fuzz/reference/dns_name.hpp"
#include "fuzz/reference/lease_book.hpp"
#include "fuzz/structure/records.hpp"
#include "fuzz/structure/tlv.hpp"
#include "fuzz/support/fault.hpp"
#include "fuzz/support/text.hpp"
#include "tests/support/dhcp_client.hpp"

namespace l4n::fuzz {
namespace {

using nat::DhcpRequest;
using nat::DhcpType;
using sys::Ipv4Address;
using test::DhcpView;

constexpr std::chrono::seconds kLease{86400};
constexpr std::chrono::seconds kDeclined{600};
constexpr std::chrono::minutes kStep{15};
constexpr stack::MacAddress kSender{0x02, 0x5e, 0, 0, 0, 1};

struct Setup {
  nat::DhcpServer::Config config;
  std::vector<std::string> search;
};

Setup to_setup(const Record& record) {
  Input in(record);
  Setup setup;
  setup.config.dns = in.boolean();
  setup.config.mtu = in.in_range(68, 65521);
  setup.search = lines(in.rest());
  return setup;
}

// Who a request is from, whatever form its identifier has.
std::string client_of(const DhcpRequest& request) {
  if (!request.client_id.empty()) {
    return text(request.client_id);
  }
  return "\x01" + text(std::as_bytes(std::span(request.chaddr)));
}

std::string hex(sys::Bytes bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    out += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  }
  return out;
}

// One line that says all of it.
std::string describe(const std::optional<DhcpRequest>& r) {
  if (!r) {
    return "none";
  }
  const auto address = [](const std::optional<Ipv4Address>& a) { return a ? sys::to_string(*a) : "-"; };
  return fmt::format(
      "type {} xid {:08x}{} ciaddr {} giaddr {} chaddr {} requested {} server {} size {} id {}",
      static_cast<int>(r->type), r->xid, r->broadcast ? " broadcast" : "", sys::to_string(r->ciaddr),
      sys::to_string(r->giaddr), hex(std::as_bytes(std::span(r->chaddr))), address(r->requested_address),
      address(r->server_id), r->max_message_size ? std::to_string(*r->max_message_size) : "-",
      hex(r->client_id));
}

class Session {
 public:
  explicit Session(const Setup& setup) : setup_(setup), server_(setup.config, clock_) {
    server_.set_search(setup.search);
  }

  void handle(sys::Duration pause, sys::Bytes message) {
    clock_.advance(pause);
    const auto request = expected_dhcp_request(message);
    auto decoded = nat::decode_dhcp_request(message);
    if (fault("dhcp: xid") && decoded) {
      ++decoded->xid;
    }
    FUZZ_REQUIRE(describe(decoded) == describe(request), "a DHCP request is read as {}, it says {}",
                 describe(decoded), describe(request));
    const auto reply = server_.answer(message, kSender);
    if (!request) {
      FUZZ_REQUIRE(!reply, "a malformed DHCP request is answered");
      return;
    }
    note_given_back(*request);
    if (reply) {
      check(*request, *reply);
    }
    FUZZ_REQUIRE(server_.leases().in_use() <= 16, "{} leases of 16", server_.leases().in_use());
  }

 private:
  [[nodiscard]] Ipv4Address own() const { return setup_.config.network.host(2); }

  void note_given_back(const DhcpRequest& request) {
    if (request.giaddr != Ipv4Address{} || request.server_id.value_or(own()) != own()) {
      return;
    }
    if (request.type == DhcpType::release) {
      book_.released(request.ciaddr, client_of(request));
    } else if (request.type == DhcpType::decline && request.requested_address) {
      book_.declined(*request.requested_address, client_of(request), kDeclined);
    }
  }

  void check(const DhcpRequest& request, const nat::DhcpReply& reply) {
    std::vector<std::byte> payload = reply.payload;
    if (fault("dhcp: no end option")) {
      std::replace(payload.begin() + test::kDhcpOptionsAt, payload.end(), std::byte{255}, std::byte{0});
    }
    const auto view = test::view_dhcp_reply(payload);
    FUZZ_REQUIRE(view, "a DHCP reply that no client takes");
    FUZZ_REQUIRE(request.giaddr == Ipv4Address{}, "the request of a relay is answered");
    check_frame(request, *view);
    check_type(request, *view);
    check_configuration(*view);
    check_size(request, payload.size());
    check_destination(request, *view, reply);
    if (view->type() != test::kNak && view->yiaddr != Ipv4Address{}) {
      check_address(request, *view);
    }
  }

  void check_frame(const DhcpRequest& request, const DhcpView& view) const {
    const auto mac = std::as_bytes(std::span(request.chaddr));
    FUZZ_REQUIRE(view.xid == request.xid && view.broadcast == request.broadcast &&
                     std::equal(mac.begin(), mac.end(), view.chaddr.begin()),
                 "a DHCP reply to somebody else");
    FUZZ_REQUIRE(view.address(54) == own(), "a DHCP reply of the server {}",
                 sys::to_string(view.address(54)));
    FUZZ_REQUIRE(view.has(61) == !request.client_id.empty() &&
                     (!view.has(61) || view.values.at(61) == request.client_id),
                 "a DHCP reply with another client identifier");
  }

  static void check_type(const DhcpRequest& request, const DhcpView& view) {
    const unsigned type = view.type();
    const bool fits = (request.type == DhcpType::discover && type == test::kOffer) ||
                      (request.type == DhcpType::request && (type == test::kAck || type == test::kNak)) ||
                      (request.type == DhcpType::inform && type == test::kAck);
    FUZZ_REQUIRE(fits, "a DHCP message of type {} is answered by one of type {}",
                 static_cast<int>(request.type), type);
    const bool gives = request.type != DhcpType::inform && type != test::kNak;
    FUZZ_REQUIRE((view.yiaddr != Ipv4Address{}) == gives && view.has(51) == gives,
                 "a DHCP reply of type {} with the address {}", type, sys::to_string(view.yiaddr));
  }

  void check_configuration(const DhcpView& view) const {
    const bool configures = view.type() != test::kNak;
    FUZZ_REQUIRE(view.has(1) == configures && view.has(3) == configures && view.has(26) == configures,
                 "a DHCP reply without mask, router or MTU");
    if (!configures) {
      return;
    }
    const auto mtu = static_cast<std::uint32_t>(setup_.config.mtu);
    FUZZ_REQUIRE(view.number(1) == 0xffffff00 && view.address(3) == own() && view.number(26) == mtu,
                 "a DHCP reply with another mask, router or MTU");
    FUZZ_REQUIRE(view.has(6) == setup_.config.dns, "a DHCP reply {} name server",
                 view.has(6) ? "with a" : "without");
    if (view.has(119)) {
      FUZZ_REQUIRE(read_names(view.values.at(119)), "a DHCP reply with a malformed search list");
    }
  }

  // RFC 2132 9.10; and one packet without fragments, where the MTU allows.
  void check_size(const DhcpRequest& request, std::size_t size) const {
    const std::size_t taken = std::max<std::size_t>(request.max_message_size.value_or(576), 576);
    const std::size_t most = std::min<std::size_t>(taken, std::max(setup_.config.mtu, 576U)) - 28;
    FUZZ_REQUIRE(size <= most, "a DHCP reply of {} bytes where {} are taken", size, most);
  }

  // RFC 2131 4.1.
  static void check_destination(const DhcpRequest& request, const DhcpView& view,
                                const nat::DhcpReply& reply) {
    const Ipv4Address broadcast = sys::make_ipv4(255, 255, 255, 255);
    Ipv4Address expected = view.broadcast || view.yiaddr == Ipv4Address{} ? broadcast : view.yiaddr;
    if (request.ciaddr != Ipv4Address{}) {
      expected = request.ciaddr;
    }
    if (view.type() == test::kNak) {
      expected = broadcast;
    }
    FUZZ_REQUIRE(reply.destination == (sys::Endpoint{expected, 68}), "a DHCP reply to {} instead of {}",
                 sys::to_string(reply.destination), sys::to_string(expected));
  }

  void check_address(const DhcpRequest& request, const DhcpView& view) {
    const std::uint32_t number = view.yiaddr.value - setup_.config.network.address.value;
    FUZZ_REQUIRE(number >= 15 && number <= 30, "{} is given, which is not in the pool",
                 sys::to_string(view.yiaddr));
    const std::string client = fault("dhcp: two clients") ? std::to_string(++strangers_) : client_of(request);
    if (view.type() == test::kAck) {
      FUZZ_REQUIRE(view.number(51) == 86400, "a lease of {} seconds", view.number(51));
      book_.granted(view.yiaddr, client, kLease);
    } else {
      book_.check_free_for(view.yiaddr, client);
    }
  }

  const Setup& setup_;
  sys::ManualClock clock_;
  nat::DhcpServer server_;
  LeaseBook book_{clock_};
  int strangers_ = 0;  // of the fault
};

void run(sys::Bytes input) {
  std::vector<Record> records = split_records(input);
  if (records.empty()) {
    return;
  }
  const Setup setup = to_setup(records[0]);
  Session session(setup);
  for (const Record& record : std::span(records).subspan(1)) {
    Input in(record);
    const sys::Duration pause = in.u8() * kStep;
    session.handle(pause, in.rest());
  }
}

std::string print(sys::Bytes input) {
  const std::vector<Record> records = split_records(input);
  std::string out;
  for (std::size_t i = 1; i < records.size(); ++i) {
    Input in(records[i]);
    const unsigned pause = in.u8();
    out += fmt::format("+{} min {}\n", pause * kStep.count(), describe(expected_dhcp_request(in.rest())));
  }
  return out;
}

constexpr auto kSingleOptions = std::to_array<unsigned>({0, 255});
constexpr auto kKnownOptions = std::to_array<unsigned>({50, 52, 53, 54, 57, 61, 55, 12, 0, 255});
constexpr TlvFormat kOptions{.single = kSingleOptions, .known = kKnownOptions};

// The fixed part byte by byte, the options as options.
void mutate_message(Record& record, Random& random) {
  constexpr std::size_t kFixed = 1 + test::kDhcpOptionsAt;
  if (record.size() < kFixed || random.one_in(3)) {
    mutate_record_bytes(record, random);
    return;
  }
  std::vector<Tlv> options = split_tlvs(std::span(record).subspan(kFixed), kOptions);
  mutate_tlvs(options, kOptions, random);
  const std::vector<std::byte> joined = join_tlvs(options, kOptions);
  record.resize(kFixed);
  record.insert(record.end(), joined.begin(), joined.end());
}

std::size_t mutate(sys::MutableBytes data, std::size_t size, std::size_t max_size, Random& random) {
  return mutate_records(data, size, max_size, random, mutate_message);
}

}  // namespace

const Harness kHarness{run, print, mutate};

}  // namespace l4n::fuzz
