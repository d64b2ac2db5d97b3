#include "netns/seccomp_policy.hpp"

#include <fmt/format.h>
#include <linux/futex.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <type_traits>

// Linux 6.3; C libraries learned of it later.
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

namespace l4n::netns {
namespace {

using sys::Result;
using Rules = std::vector<SeccompRule>;

// Calls that are allowed whatever their arguments.
struct FreeCall {
  const char* call;
  const char* why;
  Need need = Need::everywhere;
};

constexpr auto kAlways = std::to_array<FreeCall>({
    // Data. Descriptors are what was open at seal(), and sockets.
    {"read", "frames from the TAP; signalfd, init's channel"},
    {"write", "log lines to stderr, the ready byte"},
    {"writev", "frames to the TAP; musl's stdio"},
    {"sendto", "send(2): to DNS servers, API clients, init"},
    {"send", "the same on 32-bit ARM"},
    {"recvfrom", "recv(2): TCP, DNS, the monitor, API clients"},
    {"recv", "the same on 32-bit ARM"},
    {"sendmsg", "TCP, UDP and ping with several buffers or control messages"},
    {"recvmsg", "UDP and ping with control messages, error queues"},
    {"close", "flows, listeners, clients that end"},
    {"shutdown", "the guest's half-close"},
    // Sockets. What kind they may be of is decided by socket(2), below.
    {"connect", "flows, DNS"},
    {"bind", "forwards, --outbound-addr"},
    {"listen", "TCP forwards"},
    {"accept4", "clients of TCP forwards and of the API"},
    {"getsockname", "the port that a listener got, the local address of a flow"},
    // The loop.
    {"epoll_ctl", "to watch a descriptor"},
    {"epoll_wait", "to sleep"},
    {"epoll_pwait", "the same where the C library or the architecture has only this one", Need::by_library},
    {"poll", "whether the peer of a frame socket has left"},
    {"ppoll", "the same where the C library or the architecture has only this one", Need::by_library},
    {"ppoll_time64", "the same on 32-bit machines"},
    {"clock_gettime", "the clock, where the vDSO does not answer", Need::by_library},
    {"clock_gettime64", "the same on 32-bit machines"},
    {"clock_nanosleep", "to wait for the monitor at the end", Need::by_library},
    {"clock_nanosleep_time64", "the same on 32-bit machines"},
    {"nanosleep", "the same with older C libraries", Need::by_library},
    {"restart_syscall", "a sleep goes on after the process was stopped and continued", Need::by_library},
    {"getrandom", "identifiers of pings by a raw socket"},
    {"sched_yield", "the reader in the guest gets its turn after a burst"},
#ifdef __SANITIZE_ADDRESS__
    {"sigaltstack", "AddressSanitizer asks for it before what does not return", Need::by_library},
    {"pipe2", "UndefinedBehaviorSanitizer tries whether an object can be read", Need::by_library},
#endif
    // Memory; what could make it executable is below.
    {"brk", "malloc", Need::by_library},
    {"munmap", "malloc; frame buffers", Need::by_library},
    {"mremap", "malloc", Need::by_library},
    {"madvise", "malloc; frame buffers that are idle", Need::by_library},
    {"sched_getaffinity", "malloc counts the processors when memory runs short", Need::by_library},
    // The end.
    {"wait4", "the monitor's end, the command's"},
    {"exit_group", "exit"},
    {"exit", "exit", Need::by_library},
    {"rt_sigreturn", "the return from a signal handler", Need::by_library},
    {"sigreturn", "the same on 32-bit machines"},
    {"rt_sigprocmask", "abort(); the supervisor stops itself"},
    {"getpid", "abort(); the supervisor stops itself"},
    {"gettid", "abort()", Need::in_trouble},
});

constexpr auto kForRun = std::to_array<FreeCall>({
    {"getpgrp", "whose the terminal is"},
    {"getpgid", "the same where there is no getpgrp", Need::by_library},
    {"getsid", "whether a hang-up came to us alone"},
    {"rt_sigpending", "a signal that came before there was a command"},
    {"rt_sigtimedwait", "whether we were continued"},
    {"rt_sigtimedwait_time64", "the same on 32-bit machines"},
});

// Calls of the C library that has another way, or whose failure it bears.
struct RefusedCall {
  const char* call;
  int error;
  const char* why;
};

constexpr auto kRefused = std::to_array<RefusedCall>({
    {"fstat", ENOSYS, "stdio asks for the best size of its buffer"},
    {"fstat64", ENOSYS, "the same on 32-bit machines"},
    {"newfstatat", ENOSYS, "the same with newer C libraries"},
    {"statx", ENOSYS, "the same"},
    {"openat2", ENOSYS, "may be tried before openat, which kills"},
    {"faccessat2", ENOSYS, "may be tried before faccessat, which kills"},
    {"clone3", ENOSYS, "may be tried before clone, which kills"},
    {"rseq", ENOSYS, "an optimisation of newer C libraries"},
    {"epoll_pwait2", ENOSYS, "may be tried before epoll_pwait"},
});

// An int: the kernel ignores what the upper half of the register holds.
constexpr std::uint64_t kInt = 0xffffffffU;

constexpr ArgumentTest is(unsigned index, std::uint64_t value) { return {index, kInt, value & kInt}; }
constexpr ArgumentTest is_signed(unsigned index, int value) {
  return is(index, static_cast<std::uint32_t>(value));
}
constexpr ArgumentTest lacks(unsigned index, std::uint64_t bits) { return {index, bits, 0}; }
constexpr ArgumentTest includes(unsigned index, std::uint64_t bits) { return {index, bits, bits}; }

void add_memory(Rules& rules) {
  constexpr unsigned kProt = 2;
  constexpr unsigned kFlags = 3;
  for (const char* call : {"mmap", "mmap2"}) {
    rules.push_back({call,
                     {lacks(kProt, PROT_EXEC), includes(kFlags, MAP_ANONYMOUS)},
                     0,
                     "malloc; frame buffers: memory, not files, and no code",
                     Need::by_library});
  }
  rules.push_back({"mprotect", {lacks(kProt, PROT_EXEC)}, 0, "malloc: no code", Need::by_library});
}

// There is one thread and thus nobody to wait for, but pthread_once() wakes everybody who might be there.
void add_futex(Rules& rules) {
  for (const char* call : {"futex", "futex_time64"}) {
    rules.push_back({call,
                     {{1, kInt & ~std::uint64_t{FUTEX_PRIVATE_FLAG}, FUTEX_WAKE}},
                     0,
                     "pthread_once: the first C++ exception finds the unwinder's tables",
                     Need::by_library});
  }
}

void add_sockets(Rules& rules) {
  struct Kind {
    int family;
    int type;
    int protocol;
    const char* why;
  };
  constexpr auto kKinds = std::to_array<Kind>({
      {AF_INET, SOCK_STREAM, 0, "TCP"},
      {AF_INET, SOCK_DGRAM, 0, "UDP"},
      {AF_INET, SOCK_DGRAM, IPPROTO_ICMP, "ping"},
      {AF_INET6, SOCK_STREAM, 0, "TCP over IPv6"},
      {AF_INET6, SOCK_DGRAM, 0, "UDP over IPv6"},
      {AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6, "ping over IPv6"},
  });
  constexpr std::uint64_t kTypeOnly = kInt & ~std::uint64_t{SOCK_NONBLOCK | SOCK_CLOEXEC};
  for (const Kind& kind : kKinds) {
    rules.push_back({"socket",
                     {is_signed(0, kind.family),
                      {1, kTypeOnly, static_cast<std::uint64_t>(kind.type)},
                      is_signed(2, kind.protocol)},
                     0,
                     kind.why});
  }
}

void add_socket_options(Rules& rules) {
  struct Option {
    int level;
    int name;
    const char* why;
  };
  constexpr auto kSet = std::to_array<Option>({
      {SOL_SOCKET, SO_OOBINLINE, "the urgent byte stays in the stream"},
      {SOL_SOCKET, SO_KEEPALIVE, "a host that has vanished is noticed"},
      {SOL_SOCKET, SO_LINGER, "to reset a connection"},
      {SOL_SOCKET, SO_REUSEADDR, "forwards"},
      {SOL_SOCKET, SO_RCVBUF, "room for a burst of datagrams"},
      {SOL_SOCKET, SO_BINDTOIFINDEX, "--outbound-addr with an interface"},
      {IPPROTO_TCP, TCP_NODELAY, "segments are the guest's"},
      {IPPROTO_UDP, UDP_GRO, "datagrams in batches"},
      {IPPROTO_IP, IP_TTL, "the guest's TTL"},
      {IPPROTO_IP, IP_TOS, "the guest's TOS"},
      {IPPROTO_IP, IP_MTU_DISCOVER, "the guest's DF"},
      {IPPROTO_IP, IP_RECVERR, "ICMP errors come to the error queue"},
      {IPPROTO_IP, IP_PKTINFO, "the address that a datagram was sent to"},
      {IPPROTO_IP, IP_RECVTTL, "the TTL of a ping's answer"},
      {IPPROTO_IP, IP_RECVTOS, "the TOS of a ping's answer"},
      {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, "--outbound-addr"},
      {IPPROTO_IP, IP_LOCAL_PORT_RANGE, "many connections to one destination"},
      {IPPROTO_IPV6, IPV6_V6ONLY, "IPv6 sockets take no IPv4"},
      {IPPROTO_IPV6, IPV6_UNICAST_HOPS, "the guest's hop limit"},
      {IPPROTO_IPV6, IPV6_TCLASS, "the guest's traffic class"},
      {IPPROTO_IPV6, IPV6_MTU_DISCOVER, "whether the host may fragment"},
      {IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, "--outbound-addr6 with an interface: no temporary address"},
      {IPPROTO_IPV6, IPV6_RECVERR, "ICMPv6 errors come to the error queue"},
      {IPPROTO_IPV6, IPV6_RECVPKTINFO, "the address that a datagram was sent to"},
      {IPPROTO_IPV6, IPV6_RECVHOPLIMIT, "the hop limit of a ping's answer"},
      {IPPROTO_IPV6, IPV6_RECVTCLASS, "the traffic class of a ping's answer"},
  });
  for (const Option& option : kSet) {
    rules.push_back({"setsockopt", {is_signed(1, option.level), is_signed(2, option.name)}, 0, option.why});
  }
  rules.push_back(
      {"getsockopt", {is_signed(1, SOL_SOCKET), is_signed(2, SO_ERROR)}, 0, "how a connect went"});
}

void add_ioctls(Rules& rules) {
  rules.push_back({"ioctl", {is(1, TUNSETOFFLOAD)}, 0, "a TAP that goes on without us loses its offloads"});
  rules.push_back(
      {"ioctl", {is(1, TCGETS)}, ENOTTY, "stdio asks whether it has a terminal", Need::by_library});
}

void add_own_end(Rules& rules) {
  const int self = ::getpid();
  for (const char* call : {"tgkill", "tkill"}) {
    const unsigned signal = call[1] == 'g' ? 2 : 1;
    rules.push_back({call, {is_signed(0, self), is_signed(signal, SIGABRT)}, 0, "abort()", Need::in_trouble});
  }
}

void add_kill(Rules& rules, pid_t child, const char* why, Need need) {
  if (child > 0) {
    rules.push_back({"kill", {is_signed(0, child), is_signed(1, SIGKILL)}, 0, why, need});
  }
}

void add_supervisor(Rules& rules, pid_t init) {
  constexpr ArgumentTest kNoAction{1, ~std::uint64_t{0}, 0};
  add_kill(rules, init, "ends what the command left behind", Need::everywhere);
  rules.push_back({"kill", {is_signed(0, ::getpid())}, 0, "the supervisor stops with the command"});
  rules.push_back({"kill", {is_signed(0, 0)}, 0, "our process group shares the terminal's signals"});
  rules.push_back({"kill", {is_signed(1, 0)}, 0, "whether the terminal's process group is gone"});
  rules.push_back({"rt_sigaction", {kNoAction}, 0, "whether a signal is ignored"});
  rules.push_back({"ioctl", {is(1, TIOCGPGRP)}, 0, "whose the terminal is"});
  rules.push_back({"ioctl", {is(1, TIOCSPGRP)}, 0, "the terminal comes back to us"});
}

// seccomp.

struct ReleaseFilter {
  void operator()(scmp_filter_ctx filter) const noexcept { ::seccomp_release(filter); }
};
using Filter = std::unique_ptr<std::remove_pointer_t<scmp_filter_ctx>, ReleaseFilter>;

struct Attribute {
  scmp_filter_attr name;
  std::uint32_t value;
  const char* what;
};

constexpr auto kAttributes = std::to_array<Attribute>({
    // Calls of another architecture (32-bit ones on a 64-bit machine) have other numbers.
    {SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS, "refuse other architectures"},
    {SCMP_FLTATR_CTL_NNP, 0, "leave no_new_privs to the caller"},
    {SCMP_FLTATR_API_SYSRAWRC, 1, "get the kernel's errors"},
});

sys::Error cannot(int outcome, std::string_view what) {
  return sys::errno_error(-outcome, fmt::format("seccomp: cannot {}", what));
}

int add(scmp_filter_ctx filter, const SeccompRule& rule) {
  const int number = ::seccomp_syscall_resolve_name(rule.call);
  if (number == __NR_SCMP_ERROR) {
    return 0;  // newer than this libseccomp, and thus than the C library that is built with it
  }
  std::vector<scmp_arg_cmp> tests;
  for (const ArgumentTest& test : rule.tests) {
    tests.push_back({test.index, SCMP_CMP_MASKED_EQ, test.mask, test.value});
  }
  const std::uint32_t action =
      rule.error == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(static_cast<std::uint32_t>(rule.error));
  return ::seccomp_rule_add_array(filter, action, number, static_cast<unsigned>(tests.size()), tests.data());
}

}  // namespace

std::vector<SeccompRule> seccomp_policy(const SeccompRequest& request) {
  Rules rules;
  for (const FreeCall& free : kAlways) {
    rules.push_back({free.call, {}, 0, free.why, free.need});
  }
  for (const RefusedCall& refused : kRefused) {
    rules.push_back({refused.call, {}, refused.error, refused.why, Need::by_library});
  }
  add_memory(rules);
  add_futex(rules);
  add_sockets(rules);
  add_socket_options(rules);
  add_ioctls(rules);
  add_own_end(rules);
  add_kill(rules, request.monitor, "a monitor that hangs", Need::in_trouble);
  if (request.init) {
    for (const FreeCall& free : kForRun) {
      rules.push_back({free.call, {}, 0, free.why, free.need});
    }
    add_supervisor(rules, *request.init);
  }
  return rules;
}

Result<void> install_seccomp(std::span<const SeccompRule> policy) {
  const Filter filter(::seccomp_init(SCMP_ACT_KILL_PROCESS));
  if (!filter) {
    return sys::plain_error("seccomp: cannot make a filter");
  }
  for (const Attribute& attribute : kAttributes) {
    if (const int outcome = ::seccomp_attr_set(filter.get(), attribute.name, attribute.value); outcome != 0) {
      return cannot(outcome, attribute.what);
    }
  }
  for (const SeccompRule& rule : policy) {
    if (const int outcome = add(filter.get(), rule); outcome != 0) {
      return cannot(outcome, fmt::format("add a rule for {} ({})", rule.call, rule.why));
    }
  }
  if (const int outcome = ::seccomp_load(filter.get()); outcome != 0) {
    return cannot(outcome, "load the filter");
  }
  return {};
}

Result<void> install_seccomp(const SeccompRequest& request) {
  return install_seccomp(seccomp_policy(request));
}

}  // namespace l4n::netns
