#include "nat/dns_message.hpp"

namespace l4n::nat {
namespace {

// Octets 2 and 3 of the header: QR(1) Opcode(4) AA TC RD, RA Z(3) RCODE(4).
constexpr std::uint8_t kResponse = 0x80;
constexpr std::uint8_t kOpcodeAndRecursion = 0x79;
constexpr std::uint8_t kRecursionAvailable = 0x80;
constexpr std::uint8_t kServerFailure = 2;

bool is_response(sys::Bytes message) noexcept { return (sys::load_u8(&message[2]) & kResponse) != 0; }

// Where the first question ends; the size of the header when there is none or it is malformed.
std::size_t question_end(sys::Bytes message) noexcept {
  if (sys::load_be16(&message[4]) == 0) {
    return kDnsHeaderSize;
  }
  sys::ByteReader reader(message.subspan(kDnsHeaderSize));
  for (std::uint8_t label = reader.u8(); label != 0 && !reader.failed(); label = reader.u8()) {
    if (label > 63) {
      return kDnsHeaderSize;  // a compressed name cannot stand in a question
    }
    reader.skip(label);
  }
  reader.skip(4);  // type and class
  return reader.failed() ? kDnsHeaderSize : message.size() - reader.left();
}

}  // namespace

bool is_dns_query(sys::Bytes message) noexcept {
  return message.size() >= kDnsHeaderSize && !is_response(message);
}

bool is_dns_response_to(sys::Bytes response, sys::Bytes query) noexcept {
  return response.size() >= kDnsHeaderSize && is_response(response) &&
         sys::load_be16(&response[0]) == sys::load_be16(&query[0]);
}

std::vector<std::byte> dns_server_failure(sys::Bytes query) {
  const std::size_t end = question_end(query);
  std::vector<std::byte> answer(query.begin(), query.begin() + static_cast<std::ptrdiff_t>(end));
  const std::uint8_t flags = sys::load_u8(&query[2]) & kOpcodeAndRecursion;
  answer[2] = static_cast<std::byte>(flags | kResponse);
  answer[3] = static_cast<std::byte>(kRecursionAvailable | kServerFailure);
  const bool has_question = end > kDnsHeaderSize;
  sys::store_be16(&answer[4], has_question ? 1 : 0);
  sys::store_be16(&answer[6], 0);
  sys::store_be16(&answer[8], 0);
  sys::store_be16(&answer[10], 0);
  return answer;
}

}  // namespace l4n::nat
