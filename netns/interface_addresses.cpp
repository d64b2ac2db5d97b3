#include "netns/interface_addresses.hpp"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <utility>

namespace l4n::netns {
namespace {

struct Reading {
  InterfaceAddresses found;
  unsigned scope = RT_SCOPE_NOWHERE;  // of found.address; a wider one is a smaller number
};

// Of a point-to-point interface IFA_ADDRESS is the other end.
int note_local_address(const nlattr* attribute, void* argument) {
  if (mnl_attr_get_type(attribute) == IFA_LOCAL &&
      mnl_attr_get_payload_len(attribute) == sizeof(std::uint32_t)) {
    *static_cast<std::optional<sys::Ipv4Address>*>(argument) =
        sys::Ipv4Address{ntohl(mnl_attr_get_u32(attribute))};
  }
  return MNL_CB_OK;
}

int note_address(const nlmsghdr* message, void* argument) {
  auto& reading = *static_cast<Reading*>(argument);
  if (message->nlmsg_type != RTM_NEWADDR) {
    return MNL_CB_OK;
  }
  const auto* header = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(message));
  std::optional<sys::Ipv4Address> address;
  static_cast<void>(mnl_attr_parse(message, sizeof *header, note_local_address, &address));
  if (!address) {
    return MNL_CB_OK;
  }
  if (reading.found.own.size() < kMaxOwnAddresses) {
    reading.found.own.push_back(*address);
  }
  if (header->ifa_index == reading.found.index && header->ifa_scope < reading.scope) {
    reading.found.address = *address;
    reading.scope = header->ifa_scope;
  }
  return MNL_CB_OK;
}

}  // namespace

sys::Result<InterfaceAddresses> read_interface_addresses(const std::string& interface) {
  auto socket = open_netlink();
  if (!socket) {
    return socket.error();
  }
  Reading reading;
  reading.found.index = ::if_nametoindex(interface.c_str());

  alignas(nlmsghdr) std::array<char, 64> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETADDR;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request->nlmsg_seq = 1;
  auto* header = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ifaddrmsg)));
  header->ifa_family = AF_INET;
  if (const int code = ask_netlink(**socket, *request, note_address, &reading); code != 0) {
    return sys::errno_error(code, "cannot read the addresses of " + interface);
  }
  return std::move(reading.found);
}

AddressWatch::AddressWatch(sys::EventLoop& loop, std::string interface,
                           std::function<void(const InterfaceAddresses&)> changed)
    : loop_(loop), interface_(std::move(interface)), changed_(std::move(changed)) {}

AddressWatch::~AddressWatch() {
  if (socket_ != nullptr) {
    loop_.forget(mnl_socket_get_fd(socket_.get()));
  }
}

sys::Result<void> AddressWatch::start() {
  // Links too: an interface that was renamed leaves no trace among the addresses.
  auto socket = open_netlink(RTMGRP_IPV4_IFADDR | RTMGRP_LINK);
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
  auto now = read_interface_addresses(interface_);
  if (now && (!told_ || *told_ != *now)) {
    told_ = *now;
    changed_(*now);
  }
}

}  // namespace l4n::netns
