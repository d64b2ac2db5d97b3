// A DNS server for bench/peers.py that costs next to nothing: every question comes back as its own empty
// answer.
//
//     bench_dns_answerer ADDRESS PORT
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s ADDRESS PORT\n", argv[0]);
    return 2;
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<in_port_t>(std::strtoul(argv[2], nullptr, 10)));
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (::inet_pton(AF_INET, argv[1], &address.sin_addr) != 1 || fd < 0 ||
      ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    std::perror("cannot bind");
    return 1;
  }
  constexpr std::size_t kBatch = 32;
  constexpr std::size_t kLargest = 512;
  std::array<std::array<unsigned char, kLargest>, kBatch> data{};
  std::array<sockaddr_in, kBatch> peers{};
  std::array<iovec, kBatch> parts{};
  std::array<mmsghdr, kBatch> messages{};
  for (;;) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      parts[i] = {data[i].data(), data[i].size()};
      messages[i].msg_hdr = {};
      messages[i].msg_hdr.msg_name = &peers[i];
      messages[i].msg_hdr.msg_namelen = sizeof peers[i];
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int got = ::recvmmsg(fd, messages.data(), kBatch, MSG_WAITFORONE, nullptr);
    for (int i = 0; i < got; ++i) {
      const auto n = static_cast<std::size_t>(i);
      parts[n].iov_len = messages[n].msg_len;
      data[n][2] |= 0x80U;  // QR: a response (RFC 1035 4.1.1)
    }
    if (got > 0) {
      ::sendmmsg(fd, messages.data(), static_cast<unsigned>(got), 0);
    }
  }
}
