// The production filter, on in a child that then makes one system call.
#include "netns/seccomp_policy.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "tests/netns/child_process.hpp"

namespace l4n::netns {
namespace {

constexpr int kNotInstalled = 100;
constexpr unsigned kSecondsForOneCall = 60;
constexpr pid_t kInit = 0x3ffffffe;  // beyond the largest possible PID, as the next
constexpr pid_t kMonitor = 0x3fffffff;

// Calls that are newer than the headers that we may be built with have the same number on every machine.
constexpr long kOpenTree = 428;
constexpr long kMoveMount = 429;
constexpr long kFsopen = 430;
constexpr long kPidfdGetfd = 438;
constexpr int kSetFirewall = 64;  // <linux/netfilter_ipv4/ip_tables.h>, which C++ does not take

// How a child ended that made the call: "returned", or how it was ended. Whatever the call returns is right.
std::string outcome_of(const std::function<void()>& call, const SeccompRequest& request) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    std::signal(SIGABRT, SIG_DFL);  // doctest handles it
    std::signal(SIGSEGV, SIG_DFL);
    ::alarm(kSecondsForOneCall);  // should one that must kill wait instead
    const bool installed = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && install_seccomp(request);
    if (!installed) {
      ::_exit(kNotInstalled);
    }
    call();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (WIFSIGNALED(status)) {
    return WTERMSIG(status) == SIGSYS ? "killed by seccomp" : "killed by " + std::to_string(WTERMSIG(status));
  }
  return WEXITSTATUS(status) == 0 ? "returned" : "exit status " + std::to_string(WEXITSTATUS(status));
}

struct Row {
  const char* what;
  std::function<void()> call;
};

// By number: the C library may have several ways to do what its function's name says.
template <class... Arguments>
std::function<void()> raw(long number, Arguments... arguments) {
  return [=] { ::syscall(number, arguments...); };
}

std::function<void()> make_socket(int family, int type, int protocol) {
  return raw(SYS_socket, family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

std::function<void()> map(int prot, int flags = MAP_PRIVATE | MAP_ANONYMOUS) {
  return [=] { static_cast<void>(::mmap(nullptr, 4096, prot, flags, -1, 0)); };
}

std::function<void()> set_option(int level, int name) {
  return [=] {
    const int on = 1;
    ::setsockopt(-1, level, name, &on, sizeof on);
  };
}

const SeccompRequest kWorker = {kMonitor, std::nullopt};
const SeccompRequest kSupervisor = {kMonitor, kInit};

const std::vector<Row>& forbidden() {
  static const std::vector<Row> rows = {
#ifdef SYS_open
      {"open", raw(SYS_open, "/", O_RDONLY)},
      {"creat", raw(SYS_creat, "x", 0)},
      {"unlink", raw(SYS_unlink, "x")},
      {"rename", raw(SYS_rename, "x", "y")},
      {"stat", raw(SYS_stat, "/", nullptr)},
      {"access", raw(SYS_access, "/", 0)},
      {"fork", raw(SYS_fork)},
      {"vfork", [] { ::syscall(SYS_vfork); }},
#endif
      {"openat", raw(SYS_openat, AT_FDCWD, "/", O_RDONLY)},
      {"openat with a descriptor", raw(SYS_openat, 0, "x", O_RDONLY)},
      {"name_to_handle_at", raw(SYS_name_to_handle_at, AT_FDCWD, "/", nullptr, nullptr, 0)},
      {"open_by_handle_at", raw(SYS_open_by_handle_at, -1, nullptr, 0)},
      {"unlinkat", raw(SYS_unlinkat, AT_FDCWD, "x", 0)},
      {"renameat2", raw(SYS_renameat2, AT_FDCWD, "x", AT_FDCWD, "y", 0)},
      {"linkat", raw(SYS_linkat, AT_FDCWD, "x", AT_FDCWD, "y", 0)},
      {"symlinkat", raw(SYS_symlinkat, "x", AT_FDCWD, "y")},
      {"mknodat", raw(SYS_mknodat, AT_FDCWD, "x", 0, 0)},
      {"truncate", raw(SYS_truncate, "x", 0)},
      {"mkdirat", raw(SYS_mkdirat, AT_FDCWD, "x", 0)},
      {"faccessat", raw(SYS_faccessat, AT_FDCWD, "/", 0)},
      {"readlinkat", raw(SYS_readlinkat, AT_FDCWD, "x", nullptr, 0)},
      {"chdir", raw(SYS_chdir, "/")},
      {"fchdir", raw(SYS_fchdir, -1)},
      {"chroot", raw(SYS_chroot, "/")},
      {"fchmod", raw(SYS_fchmod, -1, 0)},
      {"getdents64", raw(SYS_getdents64, -1, nullptr, 0)},
      {"execve", raw(SYS_execve, "/bin/true", nullptr, nullptr)},
      {"execveat", raw(SYS_execveat, -1, "", nullptr, nullptr, AT_EMPTY_PATH)},
      {"clone", raw(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr)},
      {"a thread", raw(SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, nullptr,
                       nullptr, nullptr, nullptr)},
      {"setns", raw(SYS_setns, -1, 0)},
      {"unshare", raw(SYS_unshare, 0)},
      {"mount", raw(SYS_mount, nullptr, "/", nullptr, 0, nullptr)},
      {"umount2", raw(SYS_umount2, "/x", 0)},
      {"pivot_root", raw(SYS_pivot_root, ".", ".")},
      {"fsopen", raw(kFsopen, "tmpfs", 0)},
      {"open_tree", raw(kOpenTree, AT_FDCWD, "/", 0)},
      {"move_mount", raw(kMoveMount, -1, "", -1, "", 0)},
      {"ptrace", raw(SYS_ptrace, 0, 0, nullptr, nullptr)},
      {"process_vm_readv", raw(SYS_process_vm_readv, 0, nullptr, 0, nullptr, 0, 0)},
      {"process_vm_writev", raw(SYS_process_vm_writev, 0, nullptr, 0, nullptr, 0, 0)},
      {"bpf", raw(SYS_bpf, 0, nullptr, 0)},
      {"seccomp", raw(SYS_seccomp, 0, 0, nullptr)},
      {"prctl", raw(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0)},
      {"io_uring_setup", raw(SYS_io_uring_setup, 1, nullptr)},
      {"io_uring_enter", raw(SYS_io_uring_enter, -1, 0, 0, 0, nullptr, 0)},
      {"io_uring_register", raw(SYS_io_uring_register, -1, 0, nullptr, 0)},
      {"pidfd_open", raw(SYS_pidfd_open, 1, 0)},
      {"pidfd_getfd", raw(kPidfdGetfd, -1, 0, 0)},
      {"pidfd_send_signal", raw(SYS_pidfd_send_signal, -1, 0, nullptr, 0)},
      {"userfaultfd", raw(SYS_userfaultfd, 0)},
      {"perf_event_open", raw(SYS_perf_event_open, nullptr, 0, 0, -1, 0)},
      {"keyctl", raw(SYS_keyctl, 0, 0, 0, 0, 0)},
      {"add_key", raw(SYS_add_key, nullptr, nullptr, nullptr, 0, 0)},
      {"memfd_create", raw(SYS_memfd_create, "x", 0)},
      {"shmget", raw(SYS_shmget, 0, 0, 0)},
      {"mq_open", raw(SYS_mq_open, "x", 0)},
      {"init_module", raw(SYS_init_module, nullptr, 0, "")},
      {"kexec_load", raw(SYS_kexec_load, 0, 0, nullptr, 0)},
      {"sysinfo", raw(SYS_sysinfo, nullptr)},
      {"uname", raw(SYS_uname, nullptr)},
      {"setuid", raw(SYS_setuid, 0)},
      {"setgroups", raw(SYS_setgroups, 0, nullptr)},
      {"capset", raw(SYS_capset, nullptr, nullptr)},
      {"personality", raw(SYS_personality, 0xffffffffUL)},
#ifndef __SANITIZE_ADDRESS__  // UndefinedBehaviorSanitizer makes pipes
      {"pipe2", raw(SYS_pipe2, nullptr, 0)},
#endif
      {"dup", raw(SYS_dup, -1)},
      {"fcntl", raw(SYS_fcntl, -1, F_GETFL)},
      {"epoll_create1", raw(SYS_epoll_create1, 0)},
      {"eventfd2", raw(SYS_eventfd2, 0, 0)},
      {"inotify_init1", raw(SYS_inotify_init1, 0)},
      {"signalfd4", raw(SYS_signalfd4, -1, nullptr, 0, 0)},
      {"timerfd_create", raw(SYS_timerfd_create, CLOCK_MONOTONIC, 0)},
      {"sendmmsg", raw(SYS_sendmmsg, -1, nullptr, 0, 0)},
      {"getpeername", raw(SYS_getpeername, -1, nullptr, nullptr)},
      {"socketpair", raw(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, nullptr)},
      {"AF_UNIX socket", make_socket(AF_UNIX, SOCK_STREAM, 0)},
      {"AF_NETLINK socket", make_socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)},
      {"AF_PACKET socket", make_socket(AF_PACKET, SOCK_RAW, 0)},
      {"AF_ALG socket", make_socket(AF_ALG, SOCK_SEQPACKET, 0)},
      {"AF_VSOCK socket", make_socket(AF_VSOCK, SOCK_STREAM, 0)},
      {"raw socket", make_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)},
      {"SCTP socket", make_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP)},
      {"raw IPv6 socket", make_socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)},
      {"ICMPv6 by an IPv4 socket", make_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMPV6)},
      {"UDP-Lite socket for IPv6", make_socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDPLITE)},
      {"SO_ATTACH_FILTER", set_option(SOL_SOCKET, SO_ATTACH_FILTER)},
      {"SO_MARK", set_option(SOL_SOCKET, SO_MARK)},
      {"IP_TRANSPARENT", set_option(IPPROTO_IP, IP_TRANSPARENT)},
      {"IPT_SO_SET_REPLACE", set_option(IPPROTO_IP, kSetFirewall)},
      {"TCP_ULP", set_option(IPPROTO_TCP, TCP_ULP)},
      {"IPV6_HDRINCL", set_option(IPPROTO_IPV6, IPV6_HDRINCL)},
      {"IPV6_ADD_MEMBERSHIP", set_option(IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP)},
      {"SO_PEERCRED",
       [] {
         socklen_t length = 0;
         ::getsockopt(-1, SOL_SOCKET, SO_PEERCRED, nullptr, &length);
       }},
      {"mmap of code", map(PROT_READ | PROT_EXEC)},
      {"mmap of a file", map(PROT_READ, MAP_PRIVATE)},
      {"mmap of code that is shared", map(PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS)},
      {"pkey_mprotect", raw(SYS_pkey_mprotect, nullptr, 0, PROT_READ, 0)},
      {"mprotect of code", raw(SYS_mprotect, nullptr, 0, PROT_READ | PROT_EXEC)},
      {"futex to wait", raw(SYS_futex, nullptr, FUTEX_WAIT, 0, nullptr)},
      {"TIOCSTI", raw(SYS_ioctl, -1, TIOCSTI, nullptr)},
      {"TUNSETIFF", raw(SYS_ioctl, -1, TUNSETIFF, nullptr)},
      {"SIOCSIFADDR", raw(SYS_ioctl, -1, SIOCSIFADDR, nullptr)},
      {"FIONBIO", raw(SYS_ioctl, -1, FIONBIO, nullptr)},
      {"kill of every process", raw(SYS_kill, -1, SIGKILL)},
      {"kill of another process", raw(SYS_kill, kInit + 2, SIGKILL)},
      {"SIGTERM for the monitor", raw(SYS_kill, kMonitor, SIGTERM)},
      {"rt_sigqueueinfo", raw(SYS_rt_sigqueueinfo, kInit, SIGKILL, nullptr)},
      {"tgkill of another process", raw(SYS_tgkill, kInit, kInit, SIGABRT)},
      {"sched_setaffinity", raw(SYS_sched_setaffinity, 0, 0, nullptr)},
      {"setrlimit", raw(SYS_prlimit64, 0, 0, nullptr, nullptr)},
      {"a call that does not exist", raw(4000)},
  };
  return rows;
}

#ifdef __x86_64__
// getpid(2) by the entry for 32-bit programs, where calls have other numbers: 20 is writev(2) for the others.
void call_as_32_bit_program() {
  int result = 20;
  asm volatile("int $0x80" : "+a"(result) : : "memory");
}
#endif

// What only the supervisor of `run` may do.
const std::vector<Row>& supervision() {
  static const std::vector<Row> rows = {
      {"a signal for ourselves", [] { ::kill(::getpid(), 0); }},
      {"a signal for our group", raw(SYS_kill, 0, 0)},
      {"a look at a group", raw(SYS_kill, -kInit, 0)},
      {"init's end", raw(SYS_kill, kInit, SIGKILL)},
      {"getsid", raw(SYS_getsid, 0)},
      {"getpgrp", [] { ::getpgrp(); }},
      {"pending signals",
       [] {
         sigset_t set;
         ::sigpending(&set);
       }},
      {"a signal's action",
       [] {
         struct sigaction action {};
         ::sigaction(SIGINT, nullptr, &action);
       }},
      {"a continuation",
       [] {
         sigset_t set;
         sigemptyset(&set);
         sigaddset(&set, SIGCONT);
         const timespec now{};
         ::sigtimedwait(&set, nullptr, &now);
       }},
      {"TIOCGPGRP", [] { ::tcgetpgrp(-1); }},
      {"TIOCSPGRP", [] { ::tcsetpgrp(-1, kInit); }},
  };
  return rows;
}

const std::vector<Row>& allowed() {
  static const std::vector<Row> rows = {
      {"read", [] { ::read(-1, nullptr, 0); }},
      {"write", [] { ::write(-1, nullptr, 0); }},
      {"writev", [] { ::writev(-1, nullptr, 0); }},
      {"send", [] { ::send(-1, nullptr, 0, 0); }},
      {"recv", [] { ::recv(-1, nullptr, 0, 0); }},
      {"sendmsg", [] { ::sendmsg(-1, nullptr, 0); }},
      {"recvmsg", [] { static_cast<void>(::recvmsg(-1, nullptr, 0)); }},
      {"close", [] { ::close(-1); }},
      {"shutdown", [] { ::shutdown(-1, SHUT_WR); }},
      {"connect", [] { static_cast<void>(::connect(-1, nullptr, 0)); }},
      {"bind", [] { static_cast<void>(::bind(-1, nullptr, 0)); }},
      {"listen", [] { ::listen(-1, 1); }},
      {"accept4", [] { ::accept4(-1, nullptr, nullptr, 0); }},
      {"getsockname", [] { ::getsockname(-1, nullptr, nullptr); }},
      {"epoll_ctl", [] { ::epoll_ctl(-1, EPOLL_CTL_DEL, -1, nullptr); }},
      {"epoll_wait",
       [] {
         epoll_event event{};
         ::epoll_wait(-1, &event, 1, 0);
       }},
      {"poll", [] { ::poll(nullptr, 0, 0); }},
      {"epoll_pwait", raw(SYS_epoll_pwait, -1, nullptr, 1, 0, nullptr, 0)},
      {"clock_gettime", raw(SYS_clock_gettime, CLOCK_MONOTONIC, nullptr)},
      {"nanosleep",
       [] {
         const timespec little{0, 1};
         ::nanosleep(&little, nullptr);
       }},
      {"getrandom", [] { ::getrandom(nullptr, 0, 0); }},
      {"brk", raw(SYS_brk, nullptr)},
      {"mmap", map(PROT_READ | PROT_WRITE)},
      {"futex to wake", raw(SYS_futex, nullptr, FUTEX_WAKE_PRIVATE, 0, nullptr)},
      {"munmap", raw(SYS_munmap, nullptr, 0)},
      {"mremap", raw(SYS_mremap, nullptr, 0, 0, 0)},
      {"mprotect", raw(SYS_mprotect, nullptr, 0, PROT_READ | PROT_WRITE)},
      {"madvise", raw(SYS_madvise, nullptr, 0, 0)},
      {"much memory",
       [] {
         for (std::size_t size = 16; size <= std::size_t{64} << 20U; size *= 2) {
           std::vector<char> memory(size);
           memory.resize(size * 2);
         }
       }},
      {"an exception",
       [] {
         try {
           static_cast<void>(std::stoi("x"));
         } catch (const std::exception&) {
           return;
         }
       }},
      {"stdio", [] { std::fprintf(stderr, "%s", ""); }},
      {"waitpid", [] { ::waitpid(-1, nullptr, WNOHANG); }},
      {"exit", raw(SYS_exit, 0)},
      {"sigprocmask", [] { ::sigprocmask(SIG_BLOCK, nullptr, nullptr); }},
      {"getpid", raw(SYS_getpid)},
      {"sched_getaffinity", raw(SYS_sched_getaffinity, 0, 0, nullptr)},
      {"TCP socket", make_socket(AF_INET, SOCK_STREAM, 0)},
      {"UDP socket", make_socket(AF_INET, SOCK_DGRAM, 0)},
      {"ping socket", make_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)},
      {"TCP socket for IPv6", make_socket(AF_INET6, SOCK_STREAM, 0)},
      {"UDP socket for IPv6", make_socket(AF_INET6, SOCK_DGRAM, 0)},
      {"ping socket for IPv6", make_socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6)},
      {"blocking TCP socket", raw(SYS_socket, AF_INET, SOCK_STREAM, 0)},
      {"TCP_NODELAY", set_option(IPPROTO_TCP, TCP_NODELAY)},
      {"IP_TTL", set_option(IPPROTO_IP, IP_TTL)},
      {"IPV6_V6ONLY", set_option(IPPROTO_IPV6, IPV6_V6ONLY)},
      {"IPV6_UNICAST_HOPS", set_option(IPPROTO_IPV6, IPV6_UNICAST_HOPS)},
      {"IPV6_TCLASS", set_option(IPPROTO_IPV6, IPV6_TCLASS)},
      {"IPV6_MTU_DISCOVER", set_option(IPPROTO_IPV6, IPV6_MTU_DISCOVER)},
      {"IPV6_ADDR_PREFERENCES", set_option(IPPROTO_IPV6, IPV6_ADDR_PREFERENCES)},
      {"IPV6_RECVERR", set_option(IPPROTO_IPV6, IPV6_RECVERR)},
      {"IPV6_RECVPKTINFO", set_option(IPPROTO_IPV6, IPV6_RECVPKTINFO)},
      {"IPV6_RECVHOPLIMIT", set_option(IPPROTO_IPV6, IPV6_RECVHOPLIMIT)},
      {"IPV6_RECVTCLASS", set_option(IPPROTO_IPV6, IPV6_RECVTCLASS)},
      {"SO_ERROR",
       [] {
         int error = 0;
         socklen_t length = sizeof error;
         ::getsockopt(-1, SOL_SOCKET, SO_ERROR, &error, &length);
       }},
      {"TUNSETOFFLOAD", raw(SYS_ioctl, -1, TUNSETOFFLOAD, 0)},
      {"the end of a monitor that hangs", raw(SYS_kill, kMonitor, SIGKILL)},
  };
  return rows;
}

void check_all(const std::vector<Row>& rows, const SeccompRequest& request, const std::string& expected) {
  for (const Row& row : rows) {
    CAPTURE(std::string(row.what));
    CHECK(outcome_of(row.call, request) == expected);
  }
}

TEST_CASE("seccomp: a forbidden call kills the worker") {
  check_all(forbidden(), kWorker, "killed by seccomp");
  check_all(supervision(), kWorker, "killed by seccomp");
}

TEST_CASE("seccomp: a forbidden call kills the supervisor of run") {
  check_all(forbidden(), kSupervisor, "killed by seccomp");
}

// Beyond the last call that any kernel has: new ones get the next numbers.
constexpr int kNumbers = 500;

TEST_CASE("seccomp: whatever number the table does not name kills") {
  std::set<int> named;
  for (const SeccompRule& rule : seccomp_policy(kWorker)) {
    named.insert(::seccomp_syscall_resolve_name(rule.call));
  }
#ifdef __x86_64__
  named.insert({335, 336});  // uretprobe, uprobe: the kernel's traps of its own, which it shows to no filter
#endif
  for (int number = 0; number < kNumbers; ++number) {
    if (named.count(number) == 0) {
      CAPTURE(number);
      CHECK(outcome_of(raw(number, 0, 0, 0, 0, 0, 0), kWorker) == "killed by seccomp");
    }
  }
}

TEST_CASE("seccomp: of all kinds of sockets four can be made") {
  const auto kind = [](int family, int type) { return std::to_string(family) + " " + std::to_string(type); };
  std::vector<std::string> made;
  for (int family = 0; family < AF_MAX; ++family) {
    for (int type = 0; type <= SOCK_PACKET; ++type) {
      if (outcome_of(make_socket(family, type, 0), kWorker) != "killed by seccomp") {
        made.push_back(kind(family, type));
      }
    }
  }
  CHECK(made == std::vector<std::string>{kind(AF_INET, SOCK_STREAM), kind(AF_INET, SOCK_DGRAM),
                                         kind(AF_INET6, SOCK_STREAM), kind(AF_INET6, SOCK_DGRAM)});
}

#ifdef __x86_64__
TEST_CASE("seccomp: calls by another architecture's numbers kill") {
  CHECK(outcome_of(raw(0x40000000 | SYS_getpid), kWorker) == "killed by seccomp");  // x32
  // Where the kernel has no such entry the instruction itself is a fault.
  const std::string outcome = outcome_of(call_as_32_bit_program, kWorker);
  CHECK((outcome == "killed by seccomp" || outcome == "killed by " + std::to_string(SIGSEGV)));
}
#endif

TEST_CASE("seccomp: the worker's own calls work") {
  check_all(allowed(), kWorker, "returned");
  check_all(allowed(), kSupervisor, "returned");
  check_all(supervision(), kSupervisor, "returned");
}

TEST_CASE("seccomp: abort() ends the process by its own signal") {
  CHECK(outcome_of([] { std::abort(); }, kWorker) == "killed by " + std::to_string(SIGABRT));
}

TEST_CASE("seccomp: what the C library may try fails gently") {
  struct Refusal {
    const char* what;
    long number;
    int error;
  };
  const std::vector<Refusal> refusals = {
#ifdef SYS_newfstatat
      {"newfstatat", SYS_newfstatat, ENOSYS},
#endif
      {"statx", SYS_statx, ENOSYS},
      {"fstat", SYS_fstat, ENOSYS},
      {"openat2", 437, ENOSYS},
      {"faccessat2", 439, ENOSYS},
      {"clone3", 435, ENOSYS},
      {"rseq", SYS_rseq, ENOSYS},
      {"epoll_pwait2", 441, ENOSYS},
  };
  for (const Refusal& refusal : refusals) {
    CAPTURE(std::string(refusal.what));
    const auto call = [&] {
      errno = 0;
      const long outcome = ::syscall(refusal.number, 0, 0, 0, 0, 0, 0);
      ::_exit(outcome == -1 && errno == refusal.error ? 0 : 1);
    };
    CHECK(outcome_of(call, kWorker) == "returned");
  }
  CHECK(outcome_of([] { ::_exit(::isatty(-1) == 0 && errno == ENOTTY ? 0 : 1); }, kWorker) == "returned");
}

TEST_CASE("seccomp: every rule has a name, a reason and at most one test per argument") {
  for (const SeccompRule& rule : seccomp_policy(kSupervisor)) {
    REQUIRE(rule.call != nullptr);
    CAPTURE(std::string(rule.call));
    CHECK(::seccomp_syscall_resolve_name(rule.call) != __NR_SCMP_ERROR);
    REQUIRE(rule.why != nullptr);
    CHECK_FALSE(std::string(rule.why).empty());
    unsigned seen = 0;
    for (const ArgumentTest& test : rule.tests) {
      CHECK((seen & (1U << test.index)) == 0);
      seen |= 1U << test.index;
    }
  }
}

TEST_CASE("seccomp: an error names the step") {
  const std::string outcome = testing::run_in_child([] {
    // Without no_new_privs only who has CAP_SYS_ADMIN may load a filter.
    const auto installed = testing::become_user(65534) ? install_seccomp(kWorker) : sys::Result<void>();
    return installed ? "it was loaded" : installed.error().message();
  });
  CHECK(outcome.starts_with("seccomp: cannot load the filter: "));
}

}  // namespace
}  // namespace l4n::netns
