#include "netns/interface_addresses.hpp"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

namespace l4n::netns {
namespace {

constexpr unsigned kNotUsable = ~0U;

struct Reading {
  InterfaceAddresses found;
  unsigned rank = kNotUsable;  // of found.address; smaller is better
};

struct Attributes {
  bool is_v4 = true;
  std::optional<sys::IpAddress> local;    // IFA_LOCAL: only where there may be another end
  std::optional<sys::IpAddress> address;  // IFA_ADDRESS: of a point-to-point interface the other end
  std::uint32_t flags = 0;
};

std::optional<sys::IpAddress> read_address(const nlattr* attribute, bool is_v4) {
  const std::size_t size = mnl_attr_get_payload_len(attribute);
  if (is_v4 && size == sizeof(std::uint32_t)) {
    return sys::Ipv4Address{ntohl(mnl_attr_get_u32(attribute))};
  }
  sys::Ipv6Address v6;
  if (is_v4 || size != v6.bytes.size()) {
    return std::nullopt;
  }
  std::memcpy(v6.bytes.data(), mnl_attr_get_payload(attribute), size);
  return v6;
}

int note_attribute(const nlattr* attribute, void* argument) {
  auto& found = *static_cast<Attributes*>(argument);
  switch (mnl_attr_get_type(attribute)) {
    case IFA_LOCAL:
      found.local = read_address(attribute, found.is_v4);
      break;
    case IFA_ADDRESS:
      found.address = read_address(attribute, found.is_v4);
      break;
    case IFA_FLAGS:
      if (mnl_attr_get_payload_len(attribute) == sizeof(std::uint32_t)) {
        found.flags = mnl_attr_get_u32(attribute);
      }
      break;
    default:
      break;
  }
  return MNL_CB_OK;
}

// How good an address is to send from; the scope is the smaller the wider it is.
unsigned rank_of(const sys::IpAddress& address, unsigned scope, std::uint32_t flags) {
  if (address.is_v4()) {
    return scope;
  }
  const bool tentative =
      (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) != 0 && (flags & IFA_F_OPTIMISTIC) == 0;
  if (tentative || sys::is_link_local(address.v6())) {
    return kNotUsable;
  }
  constexpr unsigned kScopes = 256;
  return scope + ((flags & IFA_F_TEMPORARY) != 0 ? kScopes : 0) +
         ((flags & IFA_F_DEPRECATED) != 0 ? 2 * kScopes : 0);
}

int note_address(const nlmsghdr* message, void* argument) {
  auto& reading = *static_cast<Reading*>(argument);
  const auto* header = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(message));
  if (message->nlmsg_type != RTM_NEWADDR) {
    return MNL_CB_OK;
  }
  Attributes attributes;
  attributes.is_v4 = reading.found.is_v4;
  attributes.flags = header->ifa_flags;  // IFA_FLAGS has those beyond 8 bits as well
  static_cast<void>(mnl_attr_parse(message, sizeof *header, note_attribute, &attributes));
  // IPv4 always has both; IPv6 has IFA_LOCAL only beside another end.
  const auto address = attributes.local || attributes.is_v4 ? attributes.local : attributes.address;
  if (!address) {
    return MNL_CB_OK;
  }
  if (reading.found.own.size() < kMaxOwnAddresses) {
    reading.found.own.push_back(*address);
  }
  const unsigned rank = rank_of(*address, header->ifa_scope, attributes.flags);
  if (header->ifa_index == reading.found.index && rank < reading.rank) {
    reading.found.address = *address;
    reading.rank = rank;
  }
  return MNL_CB_OK;
}

}  // namespace

sys::Result<InterfaceAddresses> read_interface_addresses(const std::string& interface, bool is_v4) {
  auto socket = open_netlink();
  if (!socket) {
    return socket.error();
  }
  Reading reading;
  reading.found.is_v4 = is_v4;
  reading.found.address = is_v4 ? sys::IpAddress(sys::Ipv4Address{}) : sys::IpAddress(sys::Ipv6Address{});
  reading.found.index = ::if_nametoindex(interface.c_str());

  alignas(nlmsghdr) std::array<char, 64> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETADDR;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request->nlmsg_seq = 1;
  auto* header = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifaddrmsg)));
  header->ifa_family = is_v4 ? AF_INET : AF_INET6;
  if (const int code = ask_netlink(**socket, *request, note_address, &reading); code != 0) {
    return sys::errno_error(code, "cannot read the addresses of " + interface);
  }
  return std::move(reading.found);
}

AddressWatch::AddressWatch(sys::EventLoop& loop, std::string interface, bool is_v4,
                           std::function<void(const InterfaceAddresses&)> changed)
    : loop_(loop), interface_(std::move(interface)), is_v4_(is_v4), changed_(std::move(changed)) {}

AddressWatch::~AddressWatch() {
  if (socket_ != nullptr) {
    loop_.forget(mnl_socket_get_fd(socket_.get()));
  }
}

sys::Result<void> AddressWatch::start() {
  // Links too: an interface that was renamed leaves no trace among the addresses.
  auto socket = open_netlink((is_v4_ ? RTMGRP_IPV4_IFADDR : RTMGRP_IPV6_IFADDR) | RTMGRP_LINK);
  if (!socket) {
    return socket.error();
  }
  socket_ = *std::move(socket);
  if (auto added = loop_.add(mnl_socket_get_fd(socket_.get()), EPOLLIN, *this); !added) {
    return added;
  }
  report();
  return {};
}

// What the messages say in detail does not matter, nor whether some were lost: the state is read anew.
void AddressWatch::on_event(std::uint32_t /*events*/) noexcept {
  std::array<std::byte, 64> unused;  // NOLINT(cppcoreguidelines-pro-type-member-init): not looked at
  const int fd = mnl_socket_get_fd(socket_.get());
  while (::recv(fd, unused.data(), unused.size(), MSG_DONTWAIT) >= 0 || errno == ENOBUFS || errno == EINTR) {
  }
  report();
}

void AddressWatch::report() {
  auto now = read_interface_addresses(interface_, is_v4_);
  if (now && (!told_ || *told_ != *now)) {
    told_ = *now;
    changed_(*now);
  }
}

}  // namespace l4n::netns
