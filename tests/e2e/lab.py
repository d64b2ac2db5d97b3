"""The laboratory of the end-to-end tests: a small internet in namespaces of its own.

    guest netns --tap0--> [PROGRAM in the host netns] --veth--> wan netns (plays the internet)

Nothing here is named in /run/netns of the machine: every namespace belongs to a holder process, so any
number of labs can run side by side. A holder reads from a pipe of ours and ends with it, and the runner is
the first process of a PID namespace, hence a lab vanishes even when its test is killed. PROGRAM never runs
in the machine's own network namespace, and it sees a private /etc and a private /dev/net/tun, so the machine
is left as it was.
"""
import atexit
import contextlib
import dataclasses
import functools
import os
import shutil
import socket
import subprocess
import tempfile

from namespaces import Failed, Guest, Holder, Place, as_user, family_of, kill_pid
from program import TAG, Program, new_tag, processes_tagged

WAN_IP = "10.99.0.2"        # the server outside
WAN_IP2 = "10.99.0.3"       # a second server address
WAN_IP3 = "10.99.0.4"       # a third one, on which nothing is ever served
WAN_GATEWAY = "10.99.0.254"  # the host's default gateway
HOST_IP = "10.99.0.1"       # the host's own address toward wan
NO_HOST_IP = "10.98.1.1"    # wan answers ICMP 3/1, host unreachable
PROHIBITED_IP = "10.98.3.1"  # wan answers ICMP 3/13, administratively prohibited
NO_NET_IP = "10.97.0.1"     # wan answers ICMP 3/0, network unreachable
BLACKHOLE_IP = "10.98.9.1"  # wan swallows everything

# The same in IPv6.
WAN_IP6 = "2001:db8:99::2"
WAN_IP6_2 = "2001:db8:99::3"
WAN_IP6_3 = "2001:db8:99::4"
WAN_GATEWAY6 = "2001:db8:99::fe"
HOST_IP6 = "2001:db8:99::1"
PROHIBITED_IP6 = "2001:db8:98:3::1"  # wan answers ICMPv6 1/1, administratively prohibited
NO_HOST_IP6 = "2001:db8:98:1::1"     # wan answers ICMPv6 1/3, address unreachable
NO_NET_IP6 = "2001:db8:97::1"        # wan answers ICMPv6 1/0, no route to destination
BLACKHOLE_IP6 = "2001:db8:98:9::1"   # wan swallows everything

# For a run by hand of a test with options that it does not use itself: E2E_FLAGS="--enable-sandbox".
EXTRA_OPTIONS = os.environ.get("E2E_FLAGS", "").split()

GATEWAY = "10.0.2.2"        # what the guest sees, with the default --cidr
DNS = "10.0.2.3"
GUEST_IP = "10.0.2.100"
GATEWAY6 = "fd00::2"
DNS6 = "fd00::3"
GUEST_IP6 = "fd00::100"
ROUTER6 = "fe80::2"


@dataclasses.dataclass(frozen=True)
class Network:
    """The addresses above in one family, for the cases that run in either."""
    options: tuple  # with which the program serves it
    wan: str
    wan2: str
    wan3: str
    host: str
    host2: str  # a second address of the host, for the cases that add it
    prefix: int
    no_host: str
    no_net: str
    prohibited: str
    blackhole: str
    gateway: str
    dns: str
    guest: str
    unused: str  # in the guest's own network, and nobody's
    loopback: str
    anywhere: str

    @property
    def family(self):
        return family_of(self.wan)

    @property
    def is_ipv6(self):
        return self.family == socket.AF_INET6

    def choose(self, ipv4, ipv6):
        """Of what is not an address, but differs as well."""
        return ipv6 if self.is_ipv6 else ipv4


IPV4 = Network(options=(), wan=WAN_IP, wan2=WAN_IP2, wan3=WAN_IP3, host=HOST_IP, host2="10.99.0.9", prefix=24,
               no_host=NO_HOST_IP, no_net=NO_NET_IP, prohibited=PROHIBITED_IP, blackhole=BLACKHOLE_IP,
               gateway=GATEWAY, dns=DNS, guest=GUEST_IP, unused="10.0.2.77", loopback="127.0.0.1",
               anywhere="0.0.0.0")
IPV6 = Network(options=("-6",), wan=WAN_IP6, wan2=WAN_IP6_2, wan3=WAN_IP6_3, host=HOST_IP6,
               host2="2001:db8:99::9", prefix=64, no_host=NO_HOST_IP6, no_net=NO_NET_IP6,
               prohibited=PROHIBITED_IP6, blackhole=BLACKHOLE_IP6, gateway=GATEWAY6, dns=DNS6,
               guest=GUEST_IP6, unused="fd00::77", loopback="::1", anywhere="::")


@functools.cache
def etc_template():
    """One copy of /etc without resolv.conf per test script; the labs take links to its files."""
    folder = tempfile.mkdtemp(prefix="e2e-lab-etc-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run(["cp", "-a", "/etc", f"{folder}/etc"], check=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{folder}/etc/resolv.conf")
    return f"{folder}/etc"


class Lab:
    """Host and wan, joined and addressed in both families; `net` is the one that the test is about. Use it as
    a context manager."""

    def __init__(self, program, user=None, net=IPV4):
        self.program = os.path.abspath(program)
        self.user = user
        self.net = net
        self.programs = []
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self._stack = stack
            self._build()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        return self._stack.__exit__(*exception)

    def _build(self):
        self.directory = tempfile.mkdtemp(prefix="e2e-lab-")
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        if self.user is not None:
            self.program = self._readable_copy(self.program)
        self._wan_holder = self._hold(["unshare", "-n"])
        self._host_holder = self._hold(["unshare", "-m", "-n"])
        self._view_holder = self._hold(["unshare", "-m"])
        self.wan = Place(self._stack, self._wan_holder.ns("net"), self.net.wan)
        self.host = Place(self._stack, self._host_holder.ns("net"), self.net.host,
                          self._host_holder.ns("mnt"))
        self._set_up_host()
        self._set_up_wan()
        if self.net is IPV6:
            self._set_up_dead_end()
        view = Place(self._stack, self._view_holder.ns("net"), self.net.guest, self._view_holder.ns("mnt"))
        view.run("mount", "--bind", self._copy_of_etc("guest-etc", DNS), "/etc")

    def _hold(self, enter):
        holder = Holder(enter)
        self._stack.callback(holder.close)
        return holder

    def _readable_copy(self, program):
        """The build may lie in a folder that an unprivileged user cannot enter."""
        folder = tempfile.mkdtemp(prefix="e2e-lab-bin-")
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        os.chmod(folder, 0o755)
        copy = os.path.join(folder, os.path.basename(program))
        shutil.copy(program, copy)
        os.chmod(copy, 0o755)
        return copy

    def _copy_of_etc(self, name, nameserver):
        """A copy of the folder, to be bind-mounted: so resolv.conf can be replaced by rename within it."""
        copy = f"{self.directory}/{name}"
        subprocess.run(["cp", "-al", etc_template(), copy], check=True)
        with open(f"{copy}/resolv.conf", "w", encoding="ascii") as file:
            file.write(f"nameserver {nameserver}\n")
        return copy

    def _set_up_host(self):
        """Private files first (/etc, a /dev/net/tun for everyone, an empty /run/netns), then the network."""
        self.host.sh(
            f"mount --bind {self._copy_of_etc('etc', WAN_IP)} /etc;"
            "mkdir -p /run/netns /dev/net; mount -t tmpfs -o mode=755 e2e /run/netns;"
            "mount -t tmpfs -o mode=755 e2e /dev/net; mknod -m 666 /dev/net/tun c 10 200;"
            f"ip link set lo up; ip link add up0 type veth peer name down0 netns {self._wan_holder.pid};"
            f"ip addr add {HOST_IP}/24 dev up0; ip -6 addr add {HOST_IP6}/64 dev up0 nodad;"
            f"ip link set up0 up; ip route add default via {WAN_GATEWAY};"
            f"ip -6 route add default via {WAN_GATEWAY6}")
        self.host.sysctl("net.ipv4.ping_group_range", "0 2147483647")

    def _set_up_wan(self):
        own = (WAN_IP, WAN_IP2, WAN_IP3, WAN_GATEWAY)
        own6 = (WAN_IP6_2, WAN_IP6_3, WAN_GATEWAY6)
        addresses = "".join([*(f"ip addr add {ip}/24 dev down0;" for ip in own),
                             f"ip -6 addr add {WAN_IP6}/64 dev down0 nodad;",
                             # Deprecated, so that nothing leaves from them which was not sent to them.
                             *(f"ip -6 addr add {ip}/64 dev down0 nodad preferred_lft 0;" for ip in own6)])
        self.wan.sh(f"ip link set lo up; ip link set down0 up; {addresses}"
                    "ip route add unreachable 10.98.1.0/24; ip route add prohibit 10.98.3.0/24;"
                    "ip route add blackhole 10.98.9.0/24;"
                    "ip -6 route add prohibit 2001:db8:98:3::/64;"
                    "ip -6 route add blackhole 2001:db8:98:9::/64")
        self.wan.sysctl("net.ipv4.ip_forward", 1)  # else wan does not say that it has no route
        self.wan.sysctl("net.ipv4.icmp_ratelimit", 0)
        self.wan.sysctl("net.ipv6.conf.all.forwarding", 1)
        self.wan.sysctl("net.ipv6.icmp.ratelimit", 0)

    def _set_up_dead_end(self):
        """A link on which wan asks for its neighbours and hears nothing: no kind of IPv6 route makes a router
        say "address unreachable"."""
        self.wan.sh("ip link add dead0 type veth peer name dead1; ip link set dead0 up; ip link set dead1 up;"
                    "ip -6 route add 2001:db8:98:1::/64 dev dead0")
        self.wan.sysctl("net.ipv6.neigh.dead0.retrans_time_ms", 20)

    @contextlib.contextmanager
    def owned_by(self, stack):
        """What is made within, guests and programs, ends with that stack, and not with the lab."""
        own, self._stack = self._stack, stack
        try:
            yield
        finally:
            self._stack = own

    @property
    def wan_pid(self):
        """A process that lives in wan, for those who move interfaces there."""
        return self._wan_holder.pid

    # resolv.conf of the program

    @property
    def resolv_conf(self):
        return f"{self.directory}/etc/resolv.conf"

    def replace_resolv_conf(self, text):
        """Replaces it by rename, as resolvconf, NetworkManager and DHCP clients do."""
        with open(self.resolv_conf + ".new", "w", encoding="ascii") as file:
            file.write(text)
        os.rename(self.resolv_conf + ".new", self.resolv_conf)

    # guests and programs

    def guest(self, **options):
        """A new guest, owned by the lab's user unless user= says otherwise (None is root)."""
        return Guest(self._stack, self._view_holder, options.get("user", self.user), self.net.guest)

    def neighbour(self, guest):
        """A second process in a guest's namespaces, of the same user: a Holder, and the Place it lives in."""
        enter = ["nsenter", f"--net={guest.net}"]
        if self.user is not None:
            enter = [*as_user(self.user), "nsenter", f"--user={guest.holder.ns('user')}",
                     "--preserve-credentials", f"--net={guest.net}"]
        holder = self._hold(enter)
        return holder, Place(self._stack, holder.ns("net"), self.net.guest, self._view_holder.ns("mnt"))

    @contextlib.contextmanager
    def named_netns(self, name):
        """A namespace made by `ip netns add`, in the host's private /run/netns. Yields its Place and path."""
        self.host.run("ip", "netns", "add", name)
        path = f"/run/netns/{name}"
        seen_from_here = f"/proc/{self._host_holder.pid}/root{path}"
        try:
            yield Place(self._stack, seen_from_here, self.net.guest, self._view_holder.ns("mnt")), path
        finally:
            self.host.run("ip", "netns", "del", name, check=False)

    def program_command(self, argv, before, program):
        """The whole command line: host's namespaces, an ordinary descriptor limit, what a test puts before (another
        limit, for one), the user, the program."""
        user = as_user(self.user)[:-1] if self.user is not None else ["setpriv"]
        return self.host.command(["prlimit", "--nofile=1024:", "--", *before,
                                  *user, "--pdeathsig", "KILL", "--", program, *argv])

    def launch(self, *argv, **options):
        """Starts the program without waiting; it ends with the lab."""
        words = [str(a) for a in argv]
        at = 1 if words[:1] == ["run"] else 0
        program = Program(self, [*words[:at], *EXTRA_OPTIONS, *words[at:]], **options)
        self.programs.append(program)
        self._stack.callback(program.close)
        return program

    def serve(self, guest, *options, configure=True, **settings):
        """Gives the guest its network: starts the program on it and waits until it is ready."""
        configure = ["-c"] if configure else []
        words = [*configure, *self.net.options, *options]
        return self.launch(*words, guest.pid, "tap0", **settings).wait_ready()

    def guest_with_network(self, *options):
        """A new guest, and the program behind it."""
        guest = self.guest()
        return guest, self.serve(guest, *options)

    def run_program(self, *argv, **options):
        """Runs the program to its end, for command lines that must fail or only print something."""
        return self.run_as(self.program, *argv, **options)

    def run_as(self, program, *argv, before=(), seconds=20, pass_fds=()):
        """As run_program(), with the program's file name. Also checks that nothing of the run is left: output
        is read to its end, which a surviving child that kept the pipes open would delay."""
        tag = new_tag()
        command = self.program_command([str(a) for a in argv], before, program)
        try:
            done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                  timeout=seconds, env={**os.environ, TAG: tag}, pass_fds=pass_fds)
        except subprocess.TimeoutExpired:
            raise Failed(f"still runs after {seconds} s: {' '.join(map(str, argv))}") from None
        finally:
            left = processes_tagged(tag)
            for pid in left:
                kill_pid(pid)
        if left:
            raise Failed(f"processes left behind: {left}")
        return done
