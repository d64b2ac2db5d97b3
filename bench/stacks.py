"""What is compared: each stack gives a guest its network, in the laboratory of the end-to-end tests.

    guest netns --tap0--> [stack in the host netns] --veth--> wan netns (servers)
"""
import socket

import api
from lab import DNS, DNS6, HOST_IP, HOST_IP6, WAN_IP, WAN_IP6
from namespaces import wait_for

LINK_HOST_IP = "10.0.2.2"
LINK_GUEST_IP = "10.0.2.100"
FORWARDED_PORT = 8090


class SlirpLike:
    """slirp4netns, and what has its command line."""

    def __init__(self, path):
        self.path = path

    server = WAN_IP     # where the guest finds the servers
    resolver = DNS      # and where its DNS questions go
    entrance = HOST_IP  # where the outside finds FORWARDED_PORT of the guest
    options = ()

    def serve(self, lab, guest, mtu):
        """Gives the guest its network, until the laboratory ends; returns the running Program."""
        path = api.api_path(lab)
        program = lab.launch(*self.options, "-c", "-m", mtu, "-a", path, guest.pid, "tap0",
                             program=self.path).wait_ready()
        self.forward(path)
        return program

    def forward(self, path):
        api.add_forward(path, "tcp", FORWARDED_PORT, FORWARDED_PORT)


class SlirpLike6(SlirpLike):
    """The same over IPv6."""

    server = WAN_IP6
    resolver = DNS6
    entrance = HOST_IP6
    options = ("-6",)

    def forward(self, path):
        api.add_forward(path, "tcp", FORWARDED_PORT, FORWARDED_PORT, host_addr="::")


class Pasta:
    def __init__(self, path):
        self.path = path

    server = WAN_IP
    resolver = "10.99.9.53"
    entrance = HOST_IP

    def serve(self, lab, guest, mtu):
        lab.host.run("ip", "netns", "attach", "guest", str(guest.pid))  # a path below /proc it cannot open
        program = lab.launch("--foreground", "--config-net", "--mtu", mtu, "--runas", "0",
                             "--ns-ifname", "tap0", "-t", FORWARDED_PORT, "-u", "none", "-T", "none",
                             "-U", "none", "--dns-forward", self.resolver, "--netns", "/run/netns/guest",
                             program=self.path, ready=False)
        wait_for(lambda: "default" in guest.run("ip", "route").stdout, "pasta's default route in the guest")
        return program


class Veth:
    """The kernel alone: a veth pair and routing in the host namespace. No process is in the way."""

    server = WAN_IP
    resolver = WAN_IP
    entrance = LINK_GUEST_IP

    def serve(self, lab, guest, mtu):
        link(lab, guest, mtu)
        lab.host.sysctl("net.ipv4.ip_forward", 1)
        lab.wan.run("ip", "route", "add", f"{LINK_GUEST_IP}/32", "via", HOST_IP)


class Relay:
    """The practical limit of a process that relays TCP: it has kernel TCP on both sides, and no TAP."""

    def __init__(self, path, ports):
        self.path, self.ports = path, ports

    server = LINK_HOST_IP
    resolver = None  # TCP only
    entrance = None  # and only outward

    def serve(self, lab, guest, mtu):
        link(lab, guest, mtu)
        program = lab.launch(LINK_HOST_IP, WAN_IP, *self.ports, program=self.path, ready=False)
        wait_for(lambda: listens(lab.host, LINK_HOST_IP, self.ports[-1]), "the relay listens")
        return program


def link(lab, guest, mtu):
    """A plain veth between guest and host."""
    lab.host.sh(f"ip link add guest0 mtu {mtu} type veth peer name tap0 mtu {mtu} netns {guest.pid};"
                f"ip addr add {LINK_HOST_IP}/24 dev guest0; ip link set guest0 up")
    guest.sh(f"ip addr add {LINK_GUEST_IP}/24 dev tap0; ip link set tap0 up;"
             f"ip route add default via {LINK_HOST_IP}")


def listens(place, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with place.socket(family=family) as probe:
        return probe.connect_ex((address, int(port))) == 0
