#include "fuzz/world/operations.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace l4n::fuzz {
namespace {

constexpr auto kKinds = static_cast<std::size_t>(OperationKind::count);
constexpr std::uint8_t kAtOnce = 0x80;

// The names of the fields that an operation uses; a `-` in front: it holds a signed number.
struct Names {
  std::string_view operation;
  std::string_view a;
  std::string_view b;
  std::string_view c;
};
constexpr std::array<Names, kKinds> kNames{{
    {"syn", "options", "to", ""},
    {"data", "length", "-offset", "flags"},
    {"ack", "-offset", "window", "back"},
    {"window", "bytes", "", ""},
    {"fin", "", "", ""},
    {"rst", "-offset", "", ""},
    {"segment", "flags", "-seq", "-ack"},
    {"syn-ack", "options", "", ""},
    {"automatic", "on", "", ""},
    {"repeat", "", "", ""},
    {"host connects", "plan", "error", ""},
    {"host accept", "", "", ""},
    {"host refuse", "error", "", ""},
    {"host write", "length", "", ""},
    {"host fin", "", "", ""},
    {"host rst", "error", "", ""},
    {"host allow", "bytes", "", ""},
    {"host limit", "send", "receive", ""},
    {"host break-sends", "error", "", ""},
    {"advance", "time", "unit", ""},
    {"full", "on", "", ""},
    {"neighbour", "answers", "form", ""},
    {"udp", "to", "length", "flags"},
    {"host udp-answer", "from", "length", "segment"},
    {"host udp-error", "error", "from", ""},
    {"ping", "to", "length", "flags"},
    {"host ping-answer", "error", "from", "another"},
    {"dns", "question", "to", ""},
    {"host dns-answer", "length", "flags", ""},
    {"host dns-error", "error", "", ""},
    {"fragment", "offset", "length", "more"},
    {"forward", "protocol", "port", ""},
    {"host client", "from", "", ""},
    {"host udp-client", "from", "length", ""},
    {"remove-forward", "", "", ""},
    {"forward-range", "protocol", "port", "count"},
    {"host no-sockets", "udp", "ping", "dns"},
    {"host break-pings", "error", "", ""},
    {"host udp-limits", "segment", "mtu", "error"},
    {"host exhaust", "error", "", ""},
    {"resolvers", "servers", "", ""},
    {"search", "domains", "length", ""},
    {"port-ends", "error", "", ""},
}};

std::string field_text(std::string_view name, std::uint16_t value) {
  if (name.empty()) {
    return {};
  }
  return name.starts_with('-') ? fmt::format(" {}={}", name.substr(1), as_signed(value))
                               : fmt::format(" {}={}", name, value);
}

// --- mutation ---

constexpr std::array<std::uint16_t, 24> kInteresting{
    0,    1,    2,    3,    7,    8,      64,     100,    255,    256,    536,   1023,
    1459, 1460, 1461, 4096, 8192, 0x7fff, 0x8000, 0xffff, 0xfffe, 0xfff0, 64000, 30};

std::uint16_t field(Random& random) {
  switch (random.below(4)) {
    case 0:
      return static_cast<std::uint16_t>(random.next());
    case 1:
      return static_cast<std::uint16_t>(random.below(8));
    case 2:
      return 0;
    default:
      return kInteresting[random.below(kInteresting.size())];
  }
}

Operation random_operation(Random& random) {
  Operation operation;
  operation.kind = static_cast<OperationKind>(random.below(kKinds));
  operation.at_once = random.one_in(6);
  operation.who = static_cast<std::uint8_t>(random.below(random.one_in(4) ? 256 : 3));
  operation.a = field(random);
  operation.b = field(random);
  operation.c = random.one_in(2) ? std::uint16_t{0} : field(random);
  return operation;
}

void change_field(Operation& operation, Random& random) {
  switch (random.below(6)) {
    case 0:
      operation.who = static_cast<std::uint8_t>(random.below(4));
      break;
    case 1:
      operation.at_once = !operation.at_once;
      break;
    case 2:
      operation.a = field(random);
      break;
    case 3:
      operation.b = field(random);
      break;
    case 4:
      operation.c = field(random);
      break;
    default:
      operation.a = static_cast<std::uint16_t>(operation.a + random.below(5) - 2);
  }
}

using Operations = std::vector<Operation>;

Operations decode(sys::Bytes bytes) {
  Operations operations;
  for (Input in(bytes); in.left() >= Operation::kSize;) {
    operations.push_back(Operation::take(in));
  }
  return operations;
}

void insert(Operations& operations, std::size_t at, const Operations& what) {
  operations.insert(operations.begin() + static_cast<std::ptrdiff_t>(at), what.begin(), what.end());
}

Operations part_of(const Operations& operations, Random& random) {
  const std::size_t from = random.below(operations.size());
  const std::size_t n = 1 + random.below(std::min<std::size_t>(operations.size() - from, 8));
  const auto begin = operations.begin() + static_cast<std::ptrdiff_t>(from);
  return {begin, begin + static_cast<std::ptrdiff_t>(n)};
}

void mutate_once(Operations& operations, Random& random) {
  if (operations.empty() || random.one_in(4)) {
    insert(operations, random.below(operations.size() + 1), {random_operation(random)});
    return;
  }
  const std::size_t at = random.below(operations.size());
  switch (random.below(6)) {
    case 0:
      operations.erase(operations.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 1:
      std::swap(operations[at], operations[random.below(operations.size())]);
      break;
    case 2:
      insert(operations, at, part_of(operations, random));
      break;
    case 3:
      operations[at] = random_operation(random);
      break;
    default:
      change_field(operations[at], random);
  }
}

}  // namespace

Operation Operation::take(Input& in) noexcept {
  Operation operation;
  const std::uint8_t kind = in.u8();
  operation.at_once = (kind & kAtOnce) != 0;
  operation.kind = static_cast<OperationKind>((kind & ~kAtOnce) % kKinds);
  operation.who = in.u8();
  operation.a = in.u16();
  operation.b = in.u16();
  operation.c = in.u16();
  return operation;
}

void Operation::put(sys::MutableBytes out) const noexcept {
  sys::ByteWriter writer(out);
  writer.u8(static_cast<std::uint8_t>(static_cast<unsigned>(kind) | (at_once ? kAtOnce : 0U)));
  writer.u8(who);
  writer.be16(a);
  writer.be16(b);
  writer.be16(c);
}

std::string Operation::text() const {
  const Names& names = kNames.at(static_cast<std::size_t>(kind));
  return fmt::format("{} {}{}{}{}{}\n", names.operation, who, field_text(names.a, a), field_text(names.b, b),
                     field_text(names.c, c), at_once ? " &" : "");
}

std::size_t mutate_operations(sys::MutableBytes data, std::size_t header, std::size_t size,
                              std::size_t max_size, Random& random) {
  if (size < header || random.one_in(50)) {
    std::generate_n(data.begin(), header, [&] { return random.one_in(3) ? random.byte() : std::byte{0}; });
    size = std::max(size, header);
  }
  Operations operations = decode(data.subspan(header, size - header));
  for (std::size_t rounds = 1 + random.below(3); rounds > 0; --rounds) {
    mutate_once(operations, random);
  }
  operations.resize(std::min(operations.size(), (max_size - header) / Operation::kSize));
  for (std::size_t i = 0; i < operations.size(); ++i) {
    operations[i].put(data.subspan(header + i * Operation::kSize, Operation::kSize));
  }
  return header + operations.size() * Operation::kSize;
}

}  // namespace l4n::fuzz
